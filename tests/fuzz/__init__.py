"""Fuzzing: any bytes, in any cut, give events or a `GLMError`, and the same ones."""
