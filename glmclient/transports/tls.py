"""TLS contexts, built when the first https request needs one and then shared by the whole process."""

from __future__ import annotations

import os
import ssl
import threading

__all__ = ["tls_context"]

_contexts: dict[tuple[int, bool | str], ssl.SSLContext] = {}
_lock = threading.Lock()


def tls_context(verify: bool | str) -> ssl.SSLContext:
    """Return the context for ``verify``; building one takes some 20 ms.

    Args:
        verify: ``True`` for the certificate authorities of certifi, a path to a bundle file or directory of
            your own, or ``False`` to trust anybody.
    """
    key = (os.getpid(), verify)
    with _lock:
        context = _contexts.get(key)
        if context is None:
            context = _contexts[key] = _built(verify)
    return context


def _built(verify: bool | str) -> ssl.SSLContext:
    if isinstance(verify, str):
        if os.path.isdir(verify):
            return ssl.create_default_context(capath=verify)
        return ssl.create_default_context(cafile=verify)
    if verify:
        import certifi

        return ssl.create_default_context(cafile=certifi.where())
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
