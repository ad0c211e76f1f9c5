"""What the terminal shows of an answer, an error or a wait."""
