"""The chat completions API of the GLM platform and of every OpenAI-compatible server: both halves of its dialect."""
