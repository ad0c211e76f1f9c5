"""The server of every measurement: a thread or a task a connection, on loopback.

The first part of a request's path says what to send and how:

``many``     many frames a write, as a fast model behind a proxy arrives
``single``   one frame a chunk of the transfer coding, which is what an HTTP library hands over as one read
``paced``    one frame a millisecond
``short``    a short stream, for counting connections and for many at once
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading

from .measure import open_files
from .payloads import CONCURRENT_EVENTS, PLATFORM_EVENTS, SNAPSHOT_FRAMES, platform, snapshots

HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream;charset=UTF-8\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)
connections = 0


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def groups(frames: list[bytes], size: int) -> list[bytes]:
    """Return the frames joined to pieces of about ``size`` bytes."""
    joined, piece, length = [], [], 0
    for frame in frames:
        piece.append(frame)
        length += len(frame)
        if length >= size:
            joined.append(b"".join(piece))
            piece, length = [], 0
    return joined + ([b"".join(piece)] if piece else [])


class Payloads:
    """The bodies, made once."""

    def __init__(self) -> None:
        self.bodies: dict[tuple[str, str, int], list[bytes]] = {}

    def body(self, path: str) -> tuple[list[bytes], float]:
        """Return the writes and the seconds between them."""
        parts = path.strip("/").split("/")
        how, count = parts[0], int(parts[1]) if len(parts) > 1 and parts[1].isdigit() else 0
        kind = "snapshots" if "guest" in path else "platform"
        key = (how, kind, count)
        if key not in self.bodies:
            default = {"short": CONCURRENT_EVENTS, "paced": 1000}.get(
                how, PLATFORM_EVENTS if kind == "platform" else SNAPSHOT_FRAMES
            )
            frames = (platform if kind == "platform" else snapshots)(count or default)
            if how == "many":
                writes = [chunk(group) for group in groups(frames, 16_384)]
            else:
                writes = [chunk(frame) for frame in frames]
                writes = groups(writes, 16_384) if how == "single" else writes
            self.bodies[key] = [*writes, b"0\r\n\r\n"]
        return self.bodies[key], 1e-3 if how == "paced" else 0.0


async def serve(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, payloads: Payloads
) -> None:
    global connections
    connections += 1
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            path = head.split(" ", 2)[1]
            length = next(
                (
                    int(x.split(":")[1])
                    for x in head.split("\r\n")
                    if x.lower().startswith("content-length")
                ),
                0,
            )
            if length:
                await reader.readexactly(length)
            if path == "/connections":
                body = json.dumps(connections).encode()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
                await writer.drain()
                continue
            writes, pause = payloads.body(path)
            writer.write(HEAD)
            if "/short" in path or path.startswith("/short"):
                # Let all streams open first, then send in a few writes, as a busy server would.
                for start in range(0, len(writes), 10):
                    await asyncio.sleep(0.01)
                    writer.write(b"".join(writes[start : start + 10]))
                    await writer.drain()
                continue
            for data in writes:
                writer.write(data)
                await writer.drain()
                if pause:
                    await asyncio.sleep(pause)
    except (asyncio.IncompleteReadError, ConnectionError):
        return
    finally:
        writer.close()


async def main() -> None:
    open_files(4096)
    payloads = Payloads()
    server = await asyncio.start_server(
        lambda r, w: serve(r, w, payloads), "127.0.0.1", 0, backlog=4096, limit=1 << 20
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    # The benchmark closes our standard input when it ends, however it ends.
    threading.Thread(
        target=lambda: (sys.stdin.read(), __import__("os")._exit(0)), daemon=True
    ).start()
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
