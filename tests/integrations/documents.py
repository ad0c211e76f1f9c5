"""The pages of docs/integrations, run beside the library that they are about."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["blocks_of"]

_ROOT = Path(__file__).resolve().parents[2]
_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks_of(page: str, language: str) -> list[str]:
    """Return the blocks of a page in docs/integrations that are in a language, in order."""
    text = (_ROOT / "docs" / "integrations" / page).read_text(encoding="utf-8")
    return [body for name, body in _FENCE.findall(text) if name == language]
