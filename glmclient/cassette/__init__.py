"""Record and replay: whole exchanges with a service in one file of text, without keys and ids."""

from __future__ import annotations

from .replaying import Replay

__all__ = ["Replay"]
