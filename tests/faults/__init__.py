"""What goes wrong on the way, made to happen by a server of bare sockets."""
