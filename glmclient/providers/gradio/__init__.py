"""Gradio chat apps: both halves of their dialect."""
