"""The libraries of the extra ``schema``, imported when a schema is used."""

from __future__ import annotations

import importlib
from typing import Any

from ..errors import ConfigurationError

__all__ = ["library"]


def library(name: str) -> Any:
    """Return a library of the extra ``schema``.

    Raises:
        ConfigurationError: it is not installed; the error names the command that installs it.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ConfigurationError(
            f"schemas and tools need {name.partition('.')[0]}, which is not installed ({error}). "
            "Run: pip install 'glmclient[schema]'"
        ) from None
