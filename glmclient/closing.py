"""What leaving a ``with`` block does: it closes, whatever ended the block."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["AsyncClosing", "SyncClosing"]


class SyncClosing:
    """The base of what is closed at the end of a ``with`` block."""

    __slots__ = ()

    def close(self) -> None:
        """Release what is held; a subclass says what that is."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class AsyncClosing:
    """The base of what is closed at the end of an ``async with`` block."""

    __slots__ = ()

    async def aclose(self) -> None:
        """Release what is held; a subclass says what that is."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()
