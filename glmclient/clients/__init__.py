"""The two clients and what they share."""
