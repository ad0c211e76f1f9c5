"""Many questions: the limiter, the pool behind `map`, and files of questions with crash-safe resume."""
