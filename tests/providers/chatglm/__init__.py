"""ChatGLM's dialect."""
