"""The terminal: ``glmclient "question"`` and its commands. Plain text needs no extra package."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        arguments: instead of those that the process was started with.
    """
    from .application import run

    return run(arguments)
