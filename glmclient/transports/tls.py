"""TLS contexts, built when the first https request needs one and then shared by the whole process."""

from __future__ import annotations

import os
import ssl

from ..errors import ConfigurationError
from .base import ClientCertificate

__all__ = ["plain_context", "tls_context"]

_contexts: dict[tuple[object, ...], ssl.SSLContext] = {}
_PLAIN = (0, False)


def tls_context(
    verify: bool | str, name: str = "verify", cert: ClientCertificate | None = None
) -> ssl.SSLContext:
    """Return the context for ``verify``; building one takes some 20 ms.

    Args:
        verify: ``True`` for the certificate authorities of certifi, a path to a bundle file or directory of
            your own, or ``False`` to accept every certificate.
        name: the argument or the environment variable that ``verify`` comes from, for messages.
        cert: the client's own certificate.

    Raises:
        ConfigurationError: the path holds no certificates, or ``cert`` cannot be used.
    """
    # No lock guards it, because a fork could copy that locked: two contexts made at once are as good as one.
    key: tuple[object, ...] = (os.getpid(), *_identity(verify))
    if cert is not None:
        key = (*key, cert, *_identity(cert.path), *_identity(cert.key or False))
    context = _contexts.get(key)
    if context is None:
        context = _built(verify, name)
        if cert is not None:
            _identify(context, cert)
        context = _contexts.setdefault(key, context)
    return context


def _identity(verify: bool | str) -> tuple[object, ...]:
    """Return what tells apart two values of ``verify``, or two paths of ``cert``.

    A path alone does not: relative paths mean another file in another folder, and files are replaced.
    """
    if isinstance(verify, str):
        path = os.path.realpath(verify)
        try:
            status = os.stat(path)
        except OSError:  # a list of folders, or a file that is gone: OpenSSL decides
            return (path,)
        return path, status.st_size, status.st_mtime_ns, status.st_ino
    return (verify,)


def plain_context() -> ssl.SSLContext:
    """Return an empty context, for libraries that want one even for http and would load authorities for it."""
    context = _contexts.get(_PLAIN)
    if context is None:
        context = _contexts.setdefault(_PLAIN, ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    return context


def _built(verify: bool | str, name: str) -> ssl.SSLContext:
    if isinstance(verify, str):
        # SSL_CERT_DIR may name several folders, which OpenSSL separates itself.
        folder = all(map(os.path.isdir, filter(None, verify.split(os.pathsep))))
        try:
            return ssl.create_default_context(
                cafile=None if folder else verify, capath=verify if folder else None
            )
        except OSError as error:  # ssl.SSLError is one
            raise ConfigurationError(
                f"{name} names {verify!r}, which cannot be used: {error}. Give a PEM file of CA certificates, or a "
                "folder made by `openssl rehash`."
            ) from None
    if verify:
        import certifi

        return ssl.create_default_context(cafile=certifi.where())
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _identify(context: ssl.SSLContext, cert: ClientCertificate) -> None:
    """Have ``context`` show the client's certificate where a server asks for one."""

    def password() -> str:
        # Without a function, OpenSSL would ask for the password on the terminal, and wait.
        if cert.password is None:
            raise ConfigurationError(
                "the private key of cert is encrypted; give its password as cert=(certificate, key, password)."
            )
        return cert.password

    try:
        context.load_cert_chain(cert.path, cert.key, password)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        if isinstance(error, ConfigurationError):
            raise
        paths = " and ".join(repr(path) for path in (cert.path, cert.key) if path is not None)
        raise ConfigurationError(
            f"cert names {paths}, which cannot be used: {error}. Give PEM files of a certificate and its private key, "
            "and the right password if the key is encrypted."
        ) from None
