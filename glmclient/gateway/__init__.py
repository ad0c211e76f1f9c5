"""An OpenAI-compatible server in front of any service: `create_app` makes the application, `glmclient serve` runs it.

It needs the extra ``gateway``. Nothing here is imported by a client.
"""

from __future__ import annotations

from ..errors import ConfigurationError

try:
    from .application import Gateway, create_app
except ImportError as error:
    raise ConfigurationError(
        f"the gateway needs a library that cannot be imported ({error}). Run: pip install 'glmclient[gateway]'"
    ) from error

__all__ = ["Gateway", "create_app"]
