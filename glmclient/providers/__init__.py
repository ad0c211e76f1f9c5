"""One dialect a file: what is sent to a service, and what its frames mean."""
