"""ChatGLM's guest stream: both halves of its dialect."""
