"""Our clients beside their peers: the same server, the same bytes, each peer in a process of its own."""
