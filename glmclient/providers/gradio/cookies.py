"""The cookies of an app, by which a replicated service keeps a session in one place."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ...core.http import Head

__all__ = ["cookies_after"]

_COOKIE = re.compile(
    r"([!#$%&'*+\-.^_`|~0-9A-Za-z]+)=([\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e\"]*)"
)
_ADDRESS = re.compile(r"[0-9.]+")
"""An IPv4 address has no domain above it."""
_COOKIE_BYTES = 4096
"""Bytes of one cookie with its attributes; a longer one is ignored (RFC 6265 §6.1)."""
_COOKIES = 50
"""Cookies of one host; of more, the oldest are forgotten (RFC 6265 §6.1)."""
_EXPIRED = re.compile(r";\s*max-age\s*=\s*(?:0+|-\d+)\s*(?:;|$)", re.IGNORECASE)


def cookies_after(head: Head, known: Mapping[str, str], host: str) -> dict[str, str]:
    """Return the cookies to send after a response.

    Names and values matter: they go back to the origin that set them, for as long as the page is kept (RFC 6265 §4.1.1
    for what a cookie may hold). Their number and size are bounded, because they come back with every request.

    Args:
        head: of the response.
        known: the cookies before it.
        host: the host that sent it. A cookie for a domain that the host is not part of is ignored.
    """
    cookies = dict(known)
    for header in head.cookies:
        pair, _, attributes = header.partition(";")
        match = _COOKIE.fullmatch(pair.strip())
        if not match or len(header) > _COOKIE_BYTES or not _is_domain_of(attributes, host):
            continue
        cookies.pop(match[1], None)
        if not _EXPIRED.search(f";{attributes}"):
            cookies[match[1]] = match[2]
    for name in list(cookies)[:-_COOKIES]:
        del cookies[name]
    return cookies


def _is_domain_of(attributes: str, host: str) -> bool:
    """Tell whether a cookie is for the host that set it, or for a domain of that host (RFC 6265 §5.2.3, §5.3)."""
    domain = ""
    for attribute in attributes.split(";"):
        name, _, value = attribute.partition("=")
        if name.strip().lower() == "domain":
            domain = value.strip().lower().removeprefix(".")  # the last one counts
    host = host.lower()
    return domain in ("", host) or (host.endswith(f".{domain}") and not _ADDRESS.fullmatch(host))
