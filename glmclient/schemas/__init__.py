"""Typed answers: JSON schemas of types, and values of answers."""
