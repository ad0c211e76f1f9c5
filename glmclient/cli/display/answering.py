"""Reading one answer to its end, or to Ctrl-C, and showing it meanwhile."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, TextIO

from .answer_display import Display, LiveDisplay
from .cells import visible

if TYPE_CHECKING:
    from ...streams.sync_stream import Stream

__all__ = ["answered", "told"]


def answered(stream: Stream, display: Display) -> bool:
    """Show an answer as it comes; return ``False`` if Ctrl-C ended it.

    Raises:
        GLMError: what went wrong; what came has been shown.
        BrokenPipeError: nobody reads what is shown any more.
        KeyboardInterrupt: a second Ctrl-C, while the first was being obeyed.
    """
    interrupted = False
    if isinstance(display, LiveDisplay):
        _shown.append(display)
    display.begin(stream.cancel)
    try:
        for event in stream:
            display.add(event)
    except KeyboardInterrupt:
        interrupted = True
    finally:
        try:
            stream.close()
        finally:
            _shown.clear()
            # If the display has failed it has cancelled the stream, and raises here why.
            display.end(whole=stream.finish is not None)
    return not interrupted


_shown: list[LiveDisplay] = []
"""The display of the answer that is being shown: log lines go through it, and do not cut into its lines."""


if TYPE_CHECKING:
    _Handler = logging.StreamHandler[TextIO]
else:
    _Handler = logging.StreamHandler  # it has no type arguments before Python 3.11


class _LogLines(_Handler):
    """Writes log records to standard error."""

    def emit(self, record: logging.LogRecord) -> None:
        if not _shown:
            super().emit(record)
            return
        try:
            _shown[-1].log(self.format(record))
        except Exception:  # noqa: BLE001 - as every handler of logging does: a log line must not end the answer
            self.handleError(record)


class _VisibleLines(logging.Formatter):
    """Formats log records for a terminal: they repeat what services send."""

    def format(self, record: logging.LogRecord) -> str:
        return visible(super().format(record))


@contextlib.contextmanager
def told(verbose: int) -> Iterator[None]:
    """Write the library's log to standard error meanwhile, for ``-v`` and ``-vv``."""
    if not verbose:
        yield
        return
    log = logging.getLogger("glmclient")
    handler = _LogLines(sys.stderr)
    handler.setFormatter(_VisibleLines("%(name)s: %(message)s"))
    before = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO if verbose == 1 else logging.DEBUG)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(before)
