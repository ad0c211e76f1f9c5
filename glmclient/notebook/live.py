"""Showing an answer while it comes: in a notebook painted over and over in its place, in a terminal as plain text."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
import uuid
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from itertools import zip_longest
from queue import SimpleQueue
from threading import Event as Flag
from typing import TYPE_CHECKING, Any, TextIO

from ..cli.display.cells import visible
from ..errors import GLMError
from ..events import Event
from ..reply import Reply
from .parts import Part, error_part
from .view import AnswerView, extras

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from ..streams.async_stream import AsyncStream
    from ..streams.base import BaseStream
    from ..streams.sync_stream import Stream

__all__ = ["AnswerInterrupted", "ashow", "show"]

INTERVAL = 0.1
"""Seconds between two paintings at least: ten a second look live, and leave the page time for the rest."""
_SHARE = 3
"""A painting is followed by a pause this many times as long: it takes a quarter of the time at most."""


class AnswerInterrupted(KeyboardInterrupt):
    """The interrupt button ended an answer; what came of it was kept."""

    def _render_traceback_(self) -> list[str]:
        """Return what a notebook prints in place of a traceback; nothing went wrong."""
        return [f"Interrupted: {self}"]


class _Panel:
    """One output of a cell, painted over in its place."""

    def __init__(self) -> None:
        self._id = uuid.uuid4().hex
        self._shown: Part | None = None

    def paint(self, part: Part) -> None:
        """Show ``part``; what is shown already is left alone, so that what was unfolded in it stays so."""
        if part == self._shown:
            return
        _publish(part, self._id, update=self._shown is not None)
        self._shown = part


class Painter:
    """Paints a view while events come, in a thread of its own, so that no painting holds back the stream.

    The view belongs to the thread while it runs, and to the caller before and after.

    Args:
        view: what is there already.
        interval: seconds between two paintings, at least.
        single: paint all of it in one output, for where a second one would come too late for its cell.
        clock: seconds, to measure a painting.
    """

    def __init__(
        self,
        view: AnswerView,
        interval: float = INTERVAL,
        single: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.view = view
        self._interval = interval
        self._single = single
        self._clock = clock
        self._panels: list[_Panel] = []
        self._events: SimpleQueue[Event] = SimpleQueue()
        self._news, self._over = Flag(), Flag()
        self._thread = ThreadPoolExecutor(1, "glmclient-painter")
        self._painting: Future[None]

    def say(self, event: Event) -> None:
        """Have ``event`` painted soon."""
        self._events.put(event)
        self._news.set()

    def start(self) -> Self:
        """Paint what is there, and begin to wait for more."""
        self._paint()
        # The context tells a notebook which cell an output belongs to.
        self._painting = self._thread.submit(copy_context().run, self._run)
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._news.set()
        self._thread.shutdown()
        self.view.end(error)
        self._paint()
        self._painting.result()  # raises what went wrong in the thread

    def _run(self) -> None:
        while not self._over.is_set():
            self._news.wait()
            self._news.clear()
            started = self._clock()
            self._paint()
            self._over.wait(max(self._interval, _SHARE * (self._clock() - started)))

    def _paint(self) -> None:
        self.view.add([self._events.get() for _ in range(self._events.qsize())])
        parts = [self.view.whole()] if self._single else self.view.parts()
        self._panels += [_Panel() for _ in parts[len(self._panels) :]]
        for panel, part in zip_longest(self._panels, parts, fillvalue=Part("", "")):
            panel.paint(part)  # type: ignore[union-attr]


class _PlainText:
    """An answer on a terminal: its text while it comes, and at the end what else it holds.

    Args:
        out: standard output.
        text: what came already.
    """

    def __init__(self, out: TextIO, text: str) -> None:
        self._out = out
        self._held = ""
        self.write(text)

    def write(self, piece: str) -> None:
        """Write a piece; a carriage return at its end waits for the line feed that may follow."""
        text = self._held + piece
        self._held = "\r" if text.endswith("\r") else ""
        self._out.write(visible(text.removesuffix(self._held)))
        self._out.flush()

    def end(self, reply: Reply) -> Reply:
        """Write what ``reply`` holds beside its text, and return it."""
        lines = [visible(self._held), *map(visible, extras(reply))]
        self._out.write("\n".join(lines) + "\n")
        self._out.flush()
        return reply


def show(stream: Stream, *, interval: float = INTERVAL) -> Reply:
    """Read ``stream`` to its end and show it while it comes; return the answer.

    Args:
        stream: an answer, read from its beginning or from where it stands.
        interval: seconds between two paintings, at least.

    Raises:
        GLMError: what went wrong; what came stays in the cell, on the stream and on ``error.partial``.
        AnswerInterrupted: the interrupt button ended the answer; what came stays in the cell and on the stream.
    """
    try:
        if not draws():
            text = _PlainText(sys.stdout, stream.text)
            for piece in stream.text_stream:
                text.write(piece)
            return text.end(stream.reply())
        with Painter(_so_far(stream), interval).start() as painter:
            for event in stream:
                painter.say(event)
    except KeyboardInterrupt:
        stream.close()
        raise AnswerInterrupted("the answer was ended; what came of it is kept.") from None
    return stream.reply()


async def ashow(stream: AsyncStream, *, interval: float = INTERVAL) -> Reply:
    """Read ``stream`` to its end and show it while it comes; return the answer. The twin of `show`.

    Raises:
        GLMError: what went wrong; what came stays in the cell, on the stream and on ``error.partial``.
    """
    if not draws():
        text = _PlainText(sys.stdout, stream.text)
        async for piece in stream.text_stream:
            text.write(piece)
        return text.end(await stream.reply())
    return await _painted(stream, Painter(_so_far(stream), interval).start())


async def _painted(stream: AsyncStream, painter: Painter) -> Reply:
    # A notebook's loop that sleeps on its sockets sees the interrupt button only when something wakes it.
    waking = asyncio.ensure_future(_ticking(INTERVAL))
    try:
        with painter:
            async for event in stream:
                painter.say(event)
    finally:
        waking.cancel()
    return await stream.reply()


async def _ticking(interval: float) -> None:
    while True:  # noqa: ASYNC110 - to be woken is the purpose
        await asyncio.sleep(interval)


def display_stream(stream: Stream | AsyncStream) -> None:
    """Show a stream that is the value of a cell; an error becomes a card below what came."""
    from ..streams.async_stream import AsyncStream

    if isinstance(stream, AsyncStream):
        _display_soon(stream)
        return
    try:
        show(stream)
    except GLMError as error:
        if not draws():
            raise
        display_error(error)


def _display_soon(stream: AsyncStream) -> None:
    """Show an asynchronous stream that is the value of a cell: the cell ends at once, and the answer comes in below."""
    if not draws():
        sys.stdout.write(f"{stream!r}\n")
        return

    # Painted before the cell ends: later, only what is there can be painted over.
    painter = Painter(_so_far(stream), single=True).start()

    async def reading() -> None:
        with contextlib.suppress(GLMError):  # its card is in the output
            await _painted(stream, painter)

    task = asyncio.ensure_future(reading())
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)


_tasks: set[Any] = set()
"""asyncio holds tasks weakly: what is to run to its end must be held."""


def display_error(error: GLMError) -> None:
    """Show an error as a card."""
    _publish(error_part(error), uuid.uuid4().hex)


def draws() -> bool:
    """Tell whether outputs go to a page, which can be painted over, and not to a terminal."""
    core = sys.modules.get("IPython.core.displaypub")
    shell = sys.modules["IPython"].get_ipython() if core is not None else None
    # IPython's plain publisher prints what it is given.
    return shell is not None and type(shell.display_pub) is not core.DisplayPublisher  # type: ignore[union-attr]


def _publish(part: Part, display_id: str, *, update: bool = False) -> None:
    from IPython.display import display

    data = {"text/html": part.html, "text/plain": visible(part.plain)}
    display(data, raw=True, display_id=display_id, update=update)  # type: ignore[no-untyped-call]


def _so_far(stream: BaseStream) -> AnswerView:
    typed: Any = stream._typed
    if typed is None:
        return AnswerView.of(stream.partial)
    from ..schemas.answer import TypedAnswer

    return AnswerView.of(stream.partial, TypedAnswer(typed.question))
