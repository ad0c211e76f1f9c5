"""Both clients, each test as the blocking one, on asyncio and on trio."""
