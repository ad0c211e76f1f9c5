"""The blocking transport, on requests and urllib3."""
