"""Requests and response heads as values, and what can be said of URLs, headers and JSON without a network."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from ..errors import ConfigurationError

__all__ = [
    "Head",
    "Request",
    "checked_base_url",
    "checked_headers",
    "checked_key",
    "dump_json",
    "is_json",
    "is_web_address",
    "load_json",
    "load_object",
    "origin",
    "without_user",
]

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_DIGITS = re.compile("[0-9]{1,18}")
_LABELS = re.compile(r"[0-9A-Za-z_-]+(\.[0-9A-Za-z_-]+)*")
"""The underscore is no letter of host names, but containers are called so."""
_FORBIDDEN_IN_VALUE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request; its headers and body are not shown, because they hold keys and prompts."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Head:
    """The status and headers of a response; header names are lower case.

    Args:
        cookies: the values of ``Set-Cookie``, which must not be joined.
        size: bytes of the header fields, as they came.
        fields: their number.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    cookies: tuple[str, ...] = field(default=(), repr=False)
    size: int = field(default=0, repr=False, compare=False)
    fields: int = field(default=0, repr=False, compare=False)

    @classmethod
    def of(cls, status: int, headers: Iterable[tuple[str, str]]) -> Head:
        """Build a head from header pairs; repeated headers are joined, ``Set-Cookie`` is kept apart.

        Source: RFC 9110 §5.3 (combining), RFC 6265 §3 (``Set-Cookie`` must not be folded).
        """
        joined: dict[str, str] = {}
        cookies: list[str] = []
        size = fields = 0
        for name, value in headers:
            fields += 1
            size += len(name) + len(value) + 4  # the colon, a space and the end of the line
            lower = name.lower()
            if lower == "set-cookie":
                cookies.append(value)
            else:
                joined[lower] = f"{joined[lower]}, {value}" if lower in joined else value
        return cls(status, joined, tuple(cookies), size, fields)

    @property
    def content_type(self) -> str:
        """The media type, lower case, without parameters; ``""`` if none was sent."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def malformed(self) -> str:
        """What makes it no head of a response over HTTP/1.1; ``""`` if nothing does.

        HTTP libraries differ in what they let pass, and a wrong guess at where a body ends would be a wrong answer.
        Sources: RFC 9112 §6.1 and §6.3 (framing), RFC 9110 §5.5 (NUL) and §15.2.2 (101 only where it was asked for).
        """
        if self.status == 101:
            return "101 Switching Protocols, which was not asked for"
        coding = self.headers.get("transfer-encoding", "chunked")
        if coding.strip().lower() != "chunked":
            return f"Transfer-Encoding: {coding[:80]!r}"
        lengths = {length.strip() for length in self.headers.get("content-length", "0").split(",")}
        if len(lengths) > 1 or not _DIGITS.fullmatch(lengths.pop()):
            return f"Content-Length: {self.headers['content-length'][:80]!r}"
        if any("\0" in value for value in self.headers.values()):
            return "a header with a NUL"
        return ""


def checked_base_url(url: str, what: str = "base_url") -> str:
    """Return ``url`` without a trailing slash.

    Raises:
        ConfigurationError: it is not an absolute http or https URL, or carries a query or credentials.
    """
    if not isinstance(url, str):
        raise ConfigurationError(
            f"{what} must be a string such as 'https://host/path', not {type(url).__name__}."
        )
    text = url.strip().rstrip("/")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise ConfigurationError(
            f"{what} is not a URL: {error}. Write it as 'https://host/path'."
        ) from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise ConfigurationError(
            f"{what} must start with http:// or https:// and name a host; got {_shown(text)!r}."
        )
    if parts.username is not None or parts.password is not None:
        raise ConfigurationError(f"{what} must not hold credentials; give the key as api_key=.")
    if parts.query or parts.fragment or any(c.isspace() for c in text):
        raise ConfigurationError(
            f"{what} must be scheme, host and path alone, without query, fragment or spaces."
        )
    if not _is_host(parts.hostname):
        raise ConfigurationError(
            f"{what} names the host {parts.hostname[:80]!r}, which is not a name that a host can have."
        )
    return text


def is_web_address(text: str) -> bool:
    """Tell whether a text from outside begins as an absolute http or https address with a host."""
    scheme, mark, rest = text.partition("://")
    return bool(mark) and scheme in ("http", "https") and bool(rest.partition("/")[0])


def _is_host(name: str) -> bool:
    """Tell whether a host can have this name: an address, or labels as RFC 1035 §2.3.4 has them."""
    if ":" in name:
        return True  # urlsplit has checked the brackets around an IPv6 address
    try:
        encoded = name.removesuffix(".").encode("idna").decode()
    except UnicodeError:  # an empty label, or one of more than 63 characters
        return False
    return len(encoded) <= 253 and _LABELS.fullmatch(encoded) is not None


def _shown(url: str) -> str:
    """Return what was given, without what may be secret in it: a user, a password, a query."""
    scheme, slashes, rest = url.partition("://") if "://" in url else ("", "", url)
    _, user, address = rest.rpartition("@")
    return f"{scheme}{slashes}{'***@' if user else ''}{re.split('[?#]', address)[0]}"[:80]


def origin(url: str) -> str:
    """Return scheme, host and port of ``url``: what may be shown and compared."""
    parts = urlsplit(url)
    default = {"http": 80, "https": 443}.get(parts.scheme)
    port = f":{parts.port}" if parts.port and parts.port != default else ""
    host = parts.hostname or ""
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{port}"


def without_user(url: str) -> str:
    """Return ``url`` without the user and password in it."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def checked_headers(headers: Mapping[str, str] | None) -> dict[str, str]:
    """Return a copy of the caller's headers.

    Raises:
        ConfigurationError: a name is no token or a value holds a line break or characters outside latin-1
            (RFC 9110 §5.5).
    """
    if headers is not None and not isinstance(headers, Mapping):
        raise ConfigurationError(
            f"headers must be a mapping of names to values, not {type(headers).__name__}."
        )
    checked: dict[str, str] = {}
    for name, value in (headers or {}).items():
        if not isinstance(name, str) or not _TOKEN.fullmatch(name):
            raise ConfigurationError(f"header name {name!r} is not a valid HTTP token.")
        checked_header_value(name, value)
        checked[name] = value
    return checked


def checked_header_value(name: str, value: str) -> str:
    """Return ``value`` if it may be sent as the header ``name``; its text is never shown in the error.

    Raises:
        ConfigurationError: it is not a string, holds a control character, or is not latin-1.
    """
    if not isinstance(value, str):
        raise ConfigurationError(
            f"the value of header {name!r} must be a string, not {type(value).__name__}."
        )
    if (
        _FORBIDDEN_IN_VALUE.search(value)
        or value != value.strip()
        or any(ord(c) > 255 for c in value)
    ):
        raise ConfigurationError(
            f"the value of header {name!r} holds a line break, a control character, spaces at its ends or a "
            "character outside latin-1 (its text is not shown, it may be a key). Remove it."
        )
    return value


def checked_key(key: str, what: str = "api_key") -> str:
    """Return ``key`` if it can be a key; it is never shown in the error.

    Raises:
        ConfigurationError: it is no string, empty, or holds what no key does.
    """
    if not isinstance(key, str) or not key:
        raise ConfigurationError(f"{what} must be a string that is not empty.")
    if not key.isascii() or not key.isprintable() or key != key.strip():
        raise ConfigurationError(
            f"{what} holds a character that no key has, and it is not shown here: keys are plain ASCII, without line "
            "breaks, and without spaces at their ends. Copy the key anew."
        )
    return key


def merged_headers(own: Mapping[str, str], callers: Mapping[str, str]) -> dict[str, str]:
    """Return ``own`` overridden by the caller's headers, names compared without case."""
    overridden = {name.lower() for name in callers}
    merged = {name: value for name, value in own.items() if name.lower() not in overridden}
    merged.update(callers)
    return merged


def dump_json(value: Any) -> bytes:
    """Return ``value`` as compact JSON in UTF-8.

    Raises:
        ConfigurationError: it holds something that JSON cannot.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"the request cannot be written as JSON: {error}.") from None
    try:
        return text.encode()
    except UnicodeEncodeError:
        # A lone surrogate has no UTF-8, but JSON can escape it (RFC 8259 §8.2).
        return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()


def load_json(text: str | bytes) -> Any:
    """Return the JSON value in ``text``, or ``None`` if there is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def load_object(text: str | bytes) -> dict[str, Any] | None:
    """Return the JSON object in ``text``, or ``None`` if there is none."""
    value = load_json(text)
    return value if isinstance(value, dict) else None


def is_json(content_type: str) -> bool:
    """Tell whether a media type is JSON (RFC 6839 §3.1 for the suffix)."""
    return content_type == "application/json" or content_type.endswith("+json")
