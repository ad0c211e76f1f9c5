"""What the tests of several dialects share."""
