"""The output file of a batch: appended line by line, locked, and safe against being killed.

Each line is written with one call before the next row is reported as done, so a killed process loses nothing that it
reported. Only fsync, which protects against a power cut, is batched: once a second or every 256 lines, in a thread of
its own, because it can take 50 ms on a disk. A line without its line end is the torn rest of a killed run and is cut
off when the file is opened.
"""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from ..closing import SyncClosing
from ..errors import ConfigurationError

__all__ = ["Journal"]

SYNC_SECONDS = 1.0
SYNC_LINES = 256
_BLOCK = 1 << 16
_BEGINNING = b'{"id":"'
"""How each line begins, in both formats."""


class Journal(SyncClosing):
    """One output file, open and locked.

    Args:
        path: the file; it is created where it does not exist.
        is_line: tells whether a line is one of this kind of file.

    Raises:
        ConfigurationError: the path is not a regular file, it begins with another kind of line, or another process
            writes to it.
        OSError: the file cannot be opened.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        is_line: Callable[[bytes], bool] = lambda line: True,
    ) -> None:
        self.path: Path = Path(path)
        existed = self.path.exists()
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
        # Without O_NONBLOCK, opening a named pipe would wait for a reader.
        self._fd = os.open(self.path, flags | getattr(os, "O_NONBLOCK", 0), 0o666)
        try:
            if not stat.S_ISREG(os.fstat(self._fd).st_mode):
                raise ConfigurationError(f"{self.path} is not a regular file; name another output.")
            _lock(self._fd, self.path)
            self._check_content(is_line)
            self._size = self._cut_torn_line()
        except BaseException:
            os.close(self._fd)
            raise
        if not existed:
            _sync_folder(self.path.parent)
        self.failure: OSError | None = None
        """The error of an fsync, once one failed."""
        self._unsynced = 0
        self._changed = threading.Condition()
        self._closing = False
        self._syncer = threading.Thread(
            target=self._sync_often, name="glmclient.fsync", daemon=True
        )
        self._syncer.start()

    def _check_content(self, is_line: Callable[[bytes], bool]) -> None:
        """Refuse a file of another kind, before anything of it is cut off or appended to.

        One whole line of ours is enough. A file of a single torn line is recognized by how every line begins.
        """
        with open(self.path, "rb") as file:
            head = file.read(len(_BEGINNING))
            file.seek(0)
            lines = (is_line(line) for line in file if line.endswith(b"\n"))
            ours = head == _BEGINNING[: len(head)] or any(lines)
        if not ours:
            raise ConfigurationError(
                f"{self.path} exists and is not the output of a batch: name another output, or remove it."
            )

    def _cut_torn_line(self) -> int:
        end = size = os.fstat(self._fd).st_size
        while end > 0:
            start = max(end - _BLOCK, 0)
            os.lseek(self._fd, start, os.SEEK_SET)
            block = os.read(self._fd, end - start)
            position = block.rfind(b"\n")
            if position >= 0:
                end = start + position + 1
                break
            end = start
        if end != size:
            os.ftruncate(self._fd, end)
        return end

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """Yield the offset and the bytes of each line, without holding the file in memory."""
        with open(self.path, "rb") as file:
            offset = 0
            for line in file:
                yield offset, line
                offset += len(line)

    def append(self, line: bytes) -> int:
        """Write one line, its line end included, and return where it begins.

        Raises:
            OSError: the line could not be written, as on a full disk; the file is as it was before.
        """
        if self.failure is not None:
            raise self.failure
        try:
            rest = memoryview(line)
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        except OSError:
            os.ftruncate(self._fd, self._size)
            raise
        start = self._size
        self._size += len(line)
        with self._changed:
            self._unsynced += 1
            if self._unsynced == 1 or self._unsynced >= SYNC_LINES:
                self._changed.notify()
        return start

    def _sync_often(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._unsynced or self._closing)
                self._changed.wait_for(
                    lambda: self._unsynced >= SYNC_LINES or self._closing, SYNC_SECONDS
                )
                self._unsynced, closing = 0, self._closing
            try:
                os.fsync(self._fd)
            except OSError as error:
                # After a failed fsync the kernel may have dropped the pages: nothing written later is trusted.
                self.failure = error
                return
            if closing:
                return

    def close(self) -> None:
        """Bring everything to the disk, and unlock the file.

        Raises:
            OSError: the last fsync failed.
        """
        if self._closing:
            return
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._syncer.join()
        os.close(self._fd)
        if self.failure is not None:
            raise self.failure


def _lock(fd: int, path: Path) -> None:
    """Take the operating system's lock, which ends with the process: a killed run leaves none."""
    try:
        if os.name == "nt":
            import msvcrt

            # Far behind any content: Windows' locks keep readers from the locked bytes.
            os.lseek(fd, 1 << 40, os.SEEK_SET)
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        else:
            import fcntl

            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise ConfigurationError(
            f"another process writes to {path}: wait for it to end, or name another output."
        ) from error


def _sync_folder(folder: Path) -> None:
    """Bring the entry of a new file to the disk; Windows has no such call for folders."""
    if os.name == "nt":
        return
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
