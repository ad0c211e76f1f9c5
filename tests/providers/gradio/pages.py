"""The descriptions of real apps: one of each common shape, on Gradio 4.44.1, 5.50.0 and 6.31.0.

They come from ``tests/real/shapes_app.py``, without the properties that nothing here reads; a test on the real servers
compares them.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from glmclient.providers.gradio.page import Page

__all__ = ["VERSIONS", "described", "page_of", "shapes_of"]

VERSIONS = ("4.44.1", "5.50.0", "6.31.0")
_FOLDER = Path(__file__).parent / "pages"


@cache
def _read(version: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((_FOLDER / f"{version}.json").read_text("utf-8"))
    return read


def shapes_of(version: str) -> tuple[str, ...]:
    """Return the names of the apps of one version."""
    return tuple(_read(version))


def described(version: str, shape: str) -> dict[str, Any]:
    """Return what an app tells: ``config`` and ``info``."""
    whole: dict[str, Any] = _read(version)[shape]
    return whole


def page_of(version: str, shape: str, *, named: bool = False) -> Page:
    """Return the page of an app, with the names of its parameters if ``named``."""
    told = described(version, shape)
    page = Page.parse(told["config"], {})
    return page.with_names(told["info"]) if named else page
