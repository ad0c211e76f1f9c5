"""TLS contexts, built when the first https request needs one and then shared by the whole process."""

from __future__ import annotations

import os
import ssl

from ..errors import ConfigurationError

__all__ = ["plain_context", "tls_context"]

_contexts: dict[tuple[int, bool | str], ssl.SSLContext] = {}
_PLAIN = (0, False)


def tls_context(verify: bool | str) -> ssl.SSLContext:
    """Return the context for ``verify``; building one takes some 20 ms.

    Args:
        verify: ``True`` for the certificate authorities of certifi, a path to a bundle file or directory of
            your own, or ``False`` to trust anybody.

    Raises:
        ConfigurationError: the path holds no certificates.
    """
    # No lock guards it, because a fork could copy that locked: two contexts made at once are as good as one.
    key = (os.getpid(), verify)
    context = _contexts.get(key)
    if context is None:
        context = _contexts.setdefault(key, _built(verify))
    return context


def plain_context() -> ssl.SSLContext:
    """Return an empty context, for libraries that want one even for http and would load authorities for it."""
    context = _contexts.get(_PLAIN)
    if context is None:
        context = _contexts.setdefault(_PLAIN, ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    return context


def _built(verify: bool | str) -> ssl.SSLContext:
    if isinstance(verify, str):
        folder = os.path.isdir(verify)
        try:
            return ssl.create_default_context(
                cafile=None if folder else verify, capath=verify if folder else None
            )
        except OSError as error:  # ssl.SSLError is one
            raise ConfigurationError(
                f"verify names {verify!r}, which cannot be used: {error}. Give a PEM file of CA certificates, or a "
                "folder made by `openssl rehash`."
            ) from None
    if verify:
        import certifi

        return ssl.create_default_context(cafile=certifi.where())
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
