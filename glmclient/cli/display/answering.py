"""Reading one answer to its end, or to Ctrl-C, and showing it meanwhile."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from .answer_display import Display
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
            # If the display has failed it has cancelled the stream, and raises here why.
            display.end(whole=stream.finish is not None)
    return not interrupted


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
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_VisibleLines("%(name)s: %(message)s"))
    before = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO if verbose == 1 else logging.DEBUG)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(before)
