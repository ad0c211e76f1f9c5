"""Runs: rounds of answers and tools until the model needs no more tools."""
