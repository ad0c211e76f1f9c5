"""What can go wrong on the way, and what comes of it; the page ``docs/faults.md`` is written from this table."""

from __future__ import annotations

import gzip
import select
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from glmclient import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    GLMError,
    LimitExceeded,
    Limits,
    NotFoundError,
    PermissionDeniedError,
    ProtocolError,
    QuotaExceededError,
    RateLimitError,
    ServerError,
    ServiceBlockedError,
    StreamInterrupted,
    Timeout,
)
from tests.clients.certificates import Authority

from .dialects import TEXTS, Dialect
from .proxy import refusing, socks_proxy, web_proxy
from .server import FaultServer, Gone, Peer, Play, at_accept, chunk, head

__all__ = ["FAULTS", "Fault"]

ONE, TWO, ALL = TEXTS
SOON = 0.4
"""Seconds of a limit that is to pass."""

Act: TypeAlias = Callable[[Peer, Dialect], None]
Reach: TypeAlias = Callable[[FaultServer, Authority], dict[str, Any]]


@dataclass(frozen=True)
class Fault:
    """One fault.

    Args:
        what: happens.
        act: plays it where the stream should be; at the beginning of the connection if it is marked so.
        error: what is raised; ``None`` if the answer comes all the same.
        tries: requests for a stream, with a policy of three attempts.
        text: what had come.
        limit: which limit or bound the error names.
        options: of the client.
        reach: more options, which need to know the server.
        own: other errors, and tries, of some dialects.
        tls: the server speaks TLS.
        dialects: those that it can happen to; all of them otherwise.
    """

    what: str
    act: Act
    error: type[GLMError] | None
    tries: int = 1
    text: str = ""
    limit: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    reach: Reach | None = None
    own: dict[str, tuple[type[GLMError] | None, int]] = field(default_factory=dict)
    tls: bool = False
    proxy: Play | None = None
    dialects: tuple[str, ...] = ("chatglm", "qwen", "zai", "openai")

    def outcome(self, dialect: str) -> tuple[type[GLMError] | None, int]:
        """Return the error and the requests for a stream with one dialect."""
        return self.own.get(dialect, (self.error, self.tries))

    def __str__(self) -> str:
        return self.what.replace("`", "")


# -- what a server can do ----------------------------------------------------------------------------------


def answer(peer: Peer, dialect: Dialect) -> None:
    dialect.answer(peer)


def reset(peer: Peer, dialect: Dialect) -> None:
    peer.reset()


def close(peer: Peer, dialect: Dialect) -> None:
    peer.close()


def never(peer: Peer, dialect: Dialect) -> None:
    raise AssertionError("nothing was to be asked")


def accepting(act: Act) -> Act:
    """Mark an act that begins before a request is read."""
    act.at_accept = True  # type: ignore[attr-defined]
    return act


@accepting
def reset_at_accept(peer: Peer, dialect: Dialect) -> None:
    peer.reset()


@accepting
def silent_at_accept(peer: Peer, dialect: Dialect) -> None:
    peer.until_gone()


def says(*pieces: bytes | int, end: str = "close", fields: tuple[str, ...] = ()) -> Act:
    """Send pieces, a number being that frame of the dialect in a chunk; then end in some way."""

    def act(peer: Peer, dialect: Dialect) -> None:
        for piece in pieces:
            peer.send(chunk(dialect.frames[piece]) if isinstance(piece, int) else piece)
        finish(peer, end)

    return act


def finish(peer: Peer, end: str) -> None:
    if end == "close":
        peer.close()
    elif end == "reset":
        peer.reset()
    elif end == "stall":
        peer.until_gone()


def cut(what: str, end: str = "close") -> Act:
    """Send one frame, and the next one up to some place."""

    def act(peer: Peer, dialect: Dialect) -> None:
        frame = dialect.frames[1]
        character = next(i for i in range(len(frame)) if frame[i] & 0xC0 == 0x80)
        places = {"frame": len(frame) // 2, "character": character, "chunk": len(frame)}
        peer.send(head(), chunk(dialect.frames[0]))
        if what == "chunk":
            peer.send(chunk(frame)[: len(chunk(frame)) // 2])
        else:
            peer.send(chunk(frame[: places[what]]))
            if end == "last chunk":
                peer.send(chunk(b""))
        finish(peer, end)

    return act


def lasting(*before: bytes | int, piece: bytes) -> Act:
    """Send pieces for as long as the client takes them."""

    def act(peer: Peer, dialect: Dialect) -> None:
        for each in before:
            peer.send(chunk(dialect.frames[each]) if isinstance(each, int) else each)
        while True:
            peer.send(piece)

    return act


def trickling(*before: bytes | int, piece: bytes) -> Act:
    """Send pieces now and then, for as long as the client stays."""

    def act(peer: Peer, dialect: Dialect) -> None:
        for each in before:
            peer.send(chunk(dialect.frames[each]) if isinstance(each, int) else each)
        while not select.select([peer.socket], [], [], SOON / 8)[0]:
            peer.send(piece)
        peer.server.saw_gone.set()
        raise Gone

    return act


def replies(status: int, body: bytes = b"", *fields: str, kind: str = "application/json") -> Act:
    def act(peer: Peer, dialect: Dialect) -> None:
        peer.reply(status, body, *fields, kind=kind)

    return act


def refusing_in_a_200(peer: Peer, dialect: Dialect) -> None:
    peer.reply(200, dialect.refusal)


def unframed(peer: Peer, dialect: Dialect) -> None:
    """A body that the connection ends, cut."""
    peer.send(head(chunked=False), dialect.frames[0], dialect.frames[1][:20])
    peer.close()


def short(peer: Peer, dialect: Dialect) -> None:
    """Fewer bytes than promised."""
    peer.send(head(length=5000), dialect.frames[0])
    peer.close()


def encoded(coding: str, data: Callable[[bytes], bytes], end: str = "last chunk") -> Act:
    def act(peer: Peer, dialect: Dialect) -> None:
        body = data(b"".join(dialect.frames))
        peer.send(head(200, f"Content-Encoding: {coding}"), chunk(body))
        peer.send(chunk(b"") if end == "last chunk" else b"")
        peer.close()

    return act


def typed(kind: str | None) -> Act:
    def act(peer: Peer, dialect: Dialect) -> None:
        peer.send(head(kind=kind), *map(chunk, dialect.frames), chunk(b""))

    return act


def gone_bad(peer: Peer, dialect: Dialect) -> None:
    """The first event and the fault after it, in one chunk."""
    compressor = zlib.compressobj(wbits=31)
    packed = compressor.compress(dialect.frames[0]) + compressor.flush(zlib.Z_SYNC_FLUSH)
    peer.send(head(200, "Content-Encoding: gzip"), chunk(packed + b"\xff" * 20), chunk(b""))
    peer.close()


def corrupt(data: bytes) -> bytes:
    packed = gzip.compress(data, mtime=0)
    return packed[:20] + b"\xff\xff\xff\xff" + packed[24:]


def bomb(data: bytes) -> bytes:
    return gzip.compress(b"data: " + bytes(8 * 1024 * 1024), mtime=0)


def damaged(peer: Peer, dialect: Dialect) -> None:
    """Bytes that are no UTF-8 where nothing depends on them."""
    first, *rest = dialect.frames
    peer.stream(b": \xff\xfe\xc3\n\n" + first, *rest)


def whole_then(end: str) -> Act:
    def act(peer: Peer, dialect: Dialect) -> None:
        peer.send(head(), *map(chunk, dialect.frames))
        finish(peer, end)

    return act


# -- how a server is reached -------------------------------------------------------------------------------


def address(form: str) -> Reach:
    def reach(server: FaultServer, authority: Authority) -> dict[str, Any]:
        return {"base_url": form.format(port=server.port), "verify": authority.bundle}

    return reach


def untrusting(server: FaultServer, authority: Authority) -> dict[str, Any]:
    return {"verify": authority.other_bundle}


def nobody(server: FaultServer, authority: Authority) -> dict[str, Any]:
    """An address at which nobody listens."""
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return {"base_url": f"http://127.0.0.1:{taken.getsockname()[1]}"}


def no_proxy(server: FaultServer, authority: Authority) -> dict[str, Any]:
    return {"proxy": nobody(server, authority)["base_url"]}


def silent_proxy(peer: Peer) -> None:
    peer.until_gone()


@at_accept
def silent_socks(peer: Peer) -> None:
    peer.until_gone()


def slow_proxy(peer: Peer) -> None:
    """A proxy whose answer never ends, byte by byte."""
    trickling(b"HTTP/1.1 200 OK\r\n", piece=b"X")(peer, None)  # type: ignore[arg-type]


HTTPS = address("https://localhost:{port}")
ONCE = {"retry": None}
FIRST = {"timeout": Timeout(first_event=SOON), **ONCE}
IDLE = {"timeout": Timeout(idle=SOON), **ONCE}
TOTAL = {"timeout": Timeout(total=SOON)}
CONNECT = {"timeout": Timeout(connect=SOON), **ONCE}
SMALL = {"limits": Limits(line=50_000, frame=50_000, error_body=5_000)}
HEARTBEAT = chunk(b": heartbeat\n\n")

FAULTS: dict[str, list[Fault]] = {
    "No connection": [
        Fault("nobody listens at the address", never, APIConnectionError, 0, reach=nobody),
        Fault("the name of the host does not exist", never, APIConnectionError, 0,
              reach=address("http://service.invalid:{port}")),
        Fault("the connection is reset as soon as it is made", reset_at_accept, APIConnectionError, 0),
        Fault("nobody answers to TLS", silent_at_accept, APITimeoutError, 0, limit="connect",
              options=CONNECT, reach=HTTPS),
        Fault("the certificate is of an unknown authority", never, APIConnectionError, 0, tls=True,
              reach=untrusting),
        Fault("the certificate is for another name", never, APIConnectionError, 0, tls=True,
              reach=address("https://127.0.0.2:{port}")),
        Fault("the service speaks TLS, the address is http", never, APIConnectionError, 0, tls=True,
              reach=address("http://127.0.0.1:{port}")),
    ],
    "Proxies": [
        Fault("nobody listens at the proxy's address", never, APIConnectionError, 0, reach=no_proxy),
        Fault("the proxy wants a password", never, APIConnectionError, 0, proxy=web_proxy("user:password")),
        Fault("the proxy refuses to connect (403)", never, APIConnectionError, 0, proxy=refusing(403), tls=True),
        Fault("the proxy cannot connect (502)", never, APIConnectionError, 0, proxy=refusing(502), tls=True),
        Fault("the proxy says nothing", never, APITimeoutError, 0, limit="connect", proxy=silent_proxy,
              options=CONNECT, tls=True),
        Fault("the proxy's answer comes byte by byte and never ends", never, APITimeoutError, 0,
              limit="connect", proxy=slow_proxy, options=CONNECT, tls=True),
        Fault("the SOCKS proxy says nothing", never, APITimeoutError, 0, limit="connect", proxy=silent_socks,
              options=CONNECT),
        Fault("the SOCKS proxy cannot connect", never, APIConnectionError, 0, proxy=socks_proxy(reply=4)),
    ],
    "Before the first event": [
        Fault("reset before the head", reset, APIConnectionError, 3),
        Fault("closed before the head", close, APIConnectionError, 3),
        Fault("closed in the head", says(head()[:30]), APIConnectionError, 3),
        Fault("reset after the head", says(head(), end="reset"), APIConnectionError, 3),
        Fault("closed after the head", says(head()), APIConnectionError, 3),
        Fault("a body that is empty", says(head(), chunk(b"")), APIConnectionError, 3),
        Fault("nothing but heartbeats, then the end", says(head(), HEARTBEAT, chunk(b"")), APIConnectionError, 3),
        Fault("cut in the first frame", lambda p, d: (p.send(head(), chunk(d.frames[0][:-1])), p.close())[-1],
              APIConnectionError, 3),
        Fault("no head comes", says(end="stall"), APITimeoutError, 1, limit="first_event", options=FIRST),
        Fault("the head comes byte by byte and never ends", trickling(head()[:-2], piece=b"X"), APITimeoutError,
              1, limit="first_event", options=FIRST),
        Fault("nothing comes after the head", says(head(), end="stall"), APITimeoutError, 1,
              limit="first_event", options=FIRST),
        Fault("nothing comes after the head, and the idle limit is the nearer one", says(head(), end="stall"),
              APITimeoutError, 1, limit="idle", options=IDLE),
        Fault("nothing but heartbeats comes", trickling(head(), piece=HEARTBEAT), APITimeoutError, 1,
              limit="first_event", options=FIRST),
        Fault("nothing but heartbeats comes, in the total limit", trickling(head(), piece=HEARTBEAT),
              APITimeoutError, 1, limit="total", options=TOTAL),
    ],
    "After the first event": [
        Fault("reset between two frames", says(head(), 0, end="reset"), StreamInterrupted, text=ONE),
        Fault("closed between two frames", says(head(), 0), StreamInterrupted, text=ONE),
        Fault("the body ends in order, without the end mark", says(head(), 0, 1, chunk(b"")),
              StreamInterrupted, text=TWO),
        Fault("cut in a chunk", cut("chunk"), StreamInterrupted, text=ONE),
        Fault("reset in a chunk", cut("chunk", "reset"), StreamInterrupted, text=ONE),
        Fault("cut in a frame", cut("frame"), StreamInterrupted, text=ONE),
        Fault("the body ends in order in the middle of a frame", cut("frame", "last chunk"),
              StreamInterrupted, text=ONE),
        Fault("cut in a character", cut("character"), StreamInterrupted, text=ONE),
        Fault("cut in a body that the connection ends", unframed, StreamInterrupted, text=ONE),
        Fault("fewer bytes come than Content-Length says", short, StreamInterrupted, text=ONE),
        Fault("nothing comes any more", says(head(), 0, end="stall"), APITimeoutError, text=ONE, limit="idle",
              options=IDLE),
        Fault("half a frame comes, and nothing any more", cut("frame", "stall"), APITimeoutError, text=ONE,
              limit="idle", options=IDLE),
        Fault("nothing but heartbeats comes any more", trickling(head(), 0, piece=HEARTBEAT), APITimeoutError,
              text=ONE, limit="total", options={"timeout": Timeout(total=1.5)}),
        Fault("a frame comes byte by byte and never ends", trickling(head(), 0, chunk(b"data: "), piece=chunk(b"x")),
              APITimeoutError, text=ONE, limit="total", options={"timeout": Timeout(total=1.5)}),
    ],
    "After the end mark": [
        Fault("reset", whole_then("reset"), None),
        Fault("closed without the last chunk", whole_then("close"), None),
        Fault("the body stays open", whole_then("stall"), None),
    ],
    "Bytes that are wrong": [
        Fault("something that is not HTTP", says(b"220 mail.example ESMTP\r\n\r\n"), ProtocolError),
        Fault("a head with a line that is no header", says(b"HTTP/1.1 200 OK\r\nwhat?\r\n\r\n"), ProtocolError),
        Fault("a chunk whose size is no number", says(head(), 0, b"zz\r\nxx\r\n"), ProtocolError, text=ONE),
        Fault("a chunk whose size has a sign", says(head(), 0, b"-5\r\nhello\r\n"), ProtocolError, text=ONE),
        Fault("a chunk whose size is written `0x5`", says(head(), 0, b"0x5\r\nhello\r\n"), ProtocolError, text=ONE),
        Fault("a chunk that does not end where it should", says(head(), 0, b"5\r\n: hi\nXX5\r\n"), ProtocolError,
              text=ONE),
        Fault("a chunk whose size ends with a line feed alone", says(head(), 0, b"5\n: hi\n\r\n"), ProtocolError,
              text=ONE),
        Fault("`Content-Length: -5`", says(head(200, "Content-Length: -5", chunked=False), 0), ProtocolError),
        Fault("two different `Content-Length`",
              says(head(200, "Content-Length: 5", "Content-Length: 6", chunked=False), 0), ProtocolError),
        Fault("`Transfer-Encoding: gzip, chunked`",
              says(head(200, "Transfer-Encoding: gzip, chunked", chunked=False), 0), ProtocolError),
        Fault("a header without a name", says(head(200, ": a"), 0), ProtocolError),
        Fault("a header with a NUL", says(head(200, "X-A: a\0b"), 0), ProtocolError),
        Fault("101, which was not asked for", says(head(101, "Upgrade: x", "Connection: upgrade", chunked=False), 0),
              ProtocolError),
        Fault("bytes that are no UTF-8, in a comment", damaged, None),
        Fault("`Content-Type: text/event-stream; charset=latin-1`",
              typed("text/event-stream; charset=latin-1"), None),
        Fault("`Content-Type: text/plain`", typed("text/plain"), None),
        Fault("no `Content-Type`", typed(None), None),
        Fault("a page for people", replies(200, b"<!DOCTYPE html><title>Hello</title>", kind="text/html"),
              ServiceBlockedError),
        Fault("a page that calls itself a stream",
              replies(200, b"<!DOCTYPE html><title>Hello</title>", kind="text/event-stream"), ServiceBlockedError,
              own={"qwen": (APIConnectionError, 3)}),
        Fault("frames of which none is JSON", replies(200, b"data: {\n\ndata: <\n\n", kind="text/event-stream"),
              ProtocolError),
        Fault("a coding that was not asked for (br)", encoded("br", bytes), ProtocolError),
        Fault("gzip that is corrupt", encoded("gzip", corrupt), ProtocolError),
        Fault("gzip that goes bad after the first event", gone_bad, ProtocolError, text=ONE),
        Fault("gzip that is cut", encoded("gzip", lambda data: gzip.compress(data)[:40]), APIConnectionError, 3),
        Fault("gzip that ends without its checksum", encoded("gzip", lambda data: gzip.compress(data)[:-8]), None),
    ],
    "Without end": [
        Fault("a head of more and more headers",
              lasting(b"HTTP/1.1 200 OK\r\n", piece=b"X-More: " + b"y" * 990 + b"\r\n"), LimitExceeded,
              limit="header"),
        Fault("a head of one long line", lasting(b"HTTP/1.1 200 OK\r\nX: ", piece=b"y" * 1000), LimitExceeded,
              limit="header"),
        Fault("a head of 101 fields", says(head(200, *(f"X-{i}: y" for i in range(99)))), LimitExceeded,
              limit="headers"),
        Fault("a line of a chunk's size", lasting(head(), piece=b"1" * 1000), LimitExceeded, limit="header"),
        Fault("a trailer", lasting(head(), b"0\r\n", piece=b"X: " + b"y" * 990 + b"\r\n"), LimitExceeded,
              limit="header"),
        Fault("a line of the stream", lasting(head(), chunk(b"data: "), piece=chunk(b"x" * 1000)), LimitExceeded,
              limit="sse_line", options=SMALL),
        Fault("a frame of the stream", lasting(head(), piece=chunk(b"data: " + b"x" * 1000 + b"\n")),
              LimitExceeded, limit="sse_frame", options=SMALL),
        Fault("a gzip bomb", encoded("gzip", bomb), LimitExceeded, limit="decompressed_ratio"),
        Fault("the body of a refusal", lasting(head(500, kind="application/json"), piece=chunk(b"x" * 1000)),
              ServerError, 3, options=SMALL),
        Fault("a body behind the end mark", lambda p, d: lasting(head(), 0, 1, 2, piece=HEARTBEAT)(p, d), None),
    ],
    "Redirects": [
        Fault(f"{status} to itself, without end", lambda p, d, s=status: p.reply(  # type: ignore[misc]
            s, b"", f"Location: {p.request.target}"), APIStatusError)
        for status in (301, 302, 303, 307, 308)
    ] + [
        Fault("307 to another host", replies(307, b"", "Location: http://elsewhere.invalid/"), APIStatusError),
        Fault("302 to nowhere", replies(302), APIStatusError),
    ],
    "Refusals": [
        Fault("400", replies(400), BadRequestError),
        Fault("401", replies(401), AuthenticationError),
        Fault("402", replies(402), QuotaExceededError),
        Fault("403", replies(403), PermissionDeniedError),
        Fault("404", replies(404), NotFoundError),
        Fault("405", replies(405), NotFoundError),
        Fault("408", replies(408), ServerError, 3),
        Fault("409", replies(409), BadRequestError, 3),
        Fault("410", replies(410), NotFoundError),
        Fault("413", replies(413), BadRequestError),
        Fault("422", replies(422), BadRequestError),
        Fault("425", replies(425), ServerError, 3),
        Fault("429", replies(429), RateLimitError, 3),
        Fault("429 with `Retry-After` of an hour", replies(429, b"", "Retry-After: 3600"), RateLimitError, 1),
        Fault("500", replies(500), ServerError, 3),
        Fault("501", replies(501), ServerError),
        Fault("502", replies(502), ServerError, 3),
        Fault("503", replies(503), ServerError, 3),
        Fault("504", replies(504), ServerError, 3),
        Fault("529", replies(529), ServerError, 3),
        Fault("500 whose body is cut", says(head(500, length=500), b"half"), ServerError, 3),
        Fault("204", replies(204), APIStatusError, own=dict.fromkeys(("zai", "openai"), (APIConnectionError, 3))),
        Fault("the JSON of a refusal in a 200", refusing_in_a_200, BadRequestError,
              own={"qwen": (ServerError, 1)}),
    ],
}  # fmt: skip
