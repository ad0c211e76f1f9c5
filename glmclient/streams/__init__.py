"""One answer while it is read: the part that both clients share, and a driver for each."""
