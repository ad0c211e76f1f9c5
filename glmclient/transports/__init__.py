"""How a step is performed, and what its failures are called; one library a file, and no decision in any."""
