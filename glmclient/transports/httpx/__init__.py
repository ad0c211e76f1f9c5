"""The asynchronous transport, on httpx and anyio."""
