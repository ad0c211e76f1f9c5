"""Files that are their owner's business: whole or not there, and readable by nobody else."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tempfile

__all__ = ["read_regular", "told_what_to_do", "write_private"]


def read_regular(path: str | os.PathLike[str], limit: int) -> bytes:
    """Return the content of a regular file of bounded size.

    Devices and pipes are refused: reading them may wait, or return bytes, without end.

    Args:
        path: where; a link is followed.
        limit: bytes at most.

    Raises:
        OSError: there is no such file, it is not a regular file, or it is larger than ``limit``.
    """
    # Without O_NONBLOCK, opening a named pipe waits for a writer.
    descriptor = os.open(
        path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    )
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", os.fspath(path))
        content = file.read(limit + 1)
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"it is larger than {limit:,} bytes", os.fspath(path))
    return content


def write_private(path: str | os.PathLike[str], text: str) -> None:
    """Write a file of mode 0600 in one step: a reader sees the old one or the new one, never half of it.

    Args:
        path: where; a link is followed.
        text: the content, written as UTF-8 with its line ends as they are.

    Raises:
        OSError: the folder is missing, full or not writable; what was there stays. It names ``path``.
    """
    try:
        _replace(os.path.realpath(path), text)
    except FileNotFoundError as error:
        raise told_what_to_do(error, path, "make its folder first, or give another path") from None
    except OSError as error:
        raise told_what_to_do(
            error, path, "give another path, or see that this one can be written"
        ) from None


def told_what_to_do(error: OSError, path: str | os.PathLike[str], advice: str) -> OSError:
    """Return ``error`` as one of the same class that names ``path``, the only file that the caller knows."""
    return OSError(error.errno, f"{error.strerror}; {advice}", os.fspath(path))


def _replace(target: str, text: str) -> None:
    """Write a file beside ``target``, then put it in its place."""
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
