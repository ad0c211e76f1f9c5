"""Several turns of one chat, and the file that they are saved in."""
