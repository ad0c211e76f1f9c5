"""What other libraries load of glmclient. Each module needs its own library; nothing else imports it."""

from __future__ import annotations

from ..errors import ConfigurationError

__all__ = ["missing_extra"]


def missing_extra(extra: str, error: ImportError) -> ConfigurationError:
    """Return the error for a library that an integration cannot import, with the command that installs it.

    Args:
        extra: the extra that has the library.
        error: what the import raised.
    """
    return ConfigurationError(
        f"this integration needs a library that cannot be imported ({error}). "
        f"Run: pip install 'glmclient[{extra}]'"
    )
