"""Files that are their owner's business: whole or not there, and readable by nobody else."""

from __future__ import annotations

import contextlib
import os
import tempfile

__all__ = ["write_private"]


def write_private(path: str | os.PathLike[str], text: str) -> None:
    """Write a file of mode 0600 in one step: a reader sees the old one or the new one, never half of it.

    Args:
        path: where; a link is followed.
        text: the content, written as UTF-8 with its line ends as they are.

    Raises:
        OSError: the folder is missing, full or not writable; what was there stays.
    """
    target = os.path.realpath(path)
    folder, name = os.path.split(target)
    # mkstemp makes the file readable for its owner alone, in the folder where a rename is one step.
    descriptor, temporary = tempfile.mkstemp(prefix=f".{name}.", dir=folder)
    try:
        with open(descriptor, "w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
