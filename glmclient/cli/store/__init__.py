"""What the command line keeps in files."""
