"""Chunked bodies on httpx, as many chunks a read as are here already.

httpcore hands over one chunk a read, through six layers, and a service that streams makes a chunk of every token. h11,
which reads HTTP for it, tells one event at a time; here the events of what it has received already are told as one.
"""

from __future__ import annotations

from typing import Any

import h11

__all__ = ["JoinedEvents", "at_end", "join_events"]

_WAY = ("_httpcore_stream", "_stream", "_connection")
"""From the stream of a response to the connection that it is read from; none of it is public."""
_PARSER = "_h11_state"


class JoinedEvents:
    """An ``h11.Connection`` that joins the pieces of a body.

    Args:
        parser: the real one; all but the order of pieces is its own.
    """

    def __init__(self, parser: h11.Connection) -> None:
        self._parser = parser
        self._next: Any = None
        """What followed the pieces that were joined last: an event, or an error to raise."""

    def next_event(self) -> Any:
        """Return the next event; of a body, all that is here.

        Raises:
            h11.RemoteProtocolError: what came is not HTTP.
        """
        following, self._next = self._next, None
        if isinstance(following, h11.RemoteProtocolError):
            raise following
        if following is not None:
            return following
        event = self._parser.next_event()
        return self._joined(event) if type(event) is h11.Data else event

    def _joined(self, event: Any) -> h11.Data:
        pieces = []
        next_event, piece = self._parser.next_event, h11.Data
        try:
            while type(event) is piece:
                pieces.append(event.data)
                event = next_event()
        except h11.RemoteProtocolError as error:
            event = error
        if event is not h11.NEED_DATA:
            self._next = event
        return h11.Data(pieces[0] if len(pieces) == 1 else b"".join(pieces))

    @property
    def at_end(self) -> bool:
        """Whether the end of the body is the next event."""
        return type(self._next) is h11.EndOfMessage

    @property
    def their_state(self) -> Any:
        """How far the response has come, for httpcore to decide what becomes of the connection."""
        if self._next is not None:
            return h11.SEND_BODY  # its end is here, but was not told
        state = self._parser.their_state
        if state is h11.DONE and self._parser.trailing_data[0]:
            # Nobody asked for what follows: it would be read as the answer to the next request (RFC 9112 §9.2).
            return h11.MUST_CLOSE
        return state

    def __getattr__(self, name: str) -> Any:
        return getattr(self._parser, name)


def join_events(stream: object) -> bool:
    """Let the stream of an httpx response be read in as few pieces as it came; tell whether that could be done.

    Where something stands in for httpx, nothing changes but the speed. Should httpx not be what it was, a connection
    would also be kept whose service says more than it was asked for; a test tells.
    """
    connection = _connection(stream)
    parser = getattr(connection, _PARSER, None)
    if isinstance(parser, h11.Connection):
        setattr(connection, _PARSER, JoinedEvents(parser))
    return isinstance(parser, (h11.Connection, JoinedEvents))


def at_end(response: Any) -> bool:
    """Return whether the end of a body is here already, so that reading it does not wait."""
    stream: Any = None if response is None else response.stream
    own = getattr(stream, "at_end", None)  # aiohttp's
    if own is not None:
        return bool(own())
    parser = getattr(_connection(stream), _PARSER, None)
    return isinstance(parser, JoinedEvents) and parser.at_end


def _connection(stream: object) -> Any:
    connection: Any = stream
    for name in _WAY:
        connection = getattr(connection, name, None)
    return connection
