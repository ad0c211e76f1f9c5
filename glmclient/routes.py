"""Which proxy and which certificates a client uses: its arguments, then the environment.

Every client asks this module and no HTTP library decides for itself: requests, httpx and aiohttp read different
variables, and match ``NO_PROXY`` by different rules.
"""

from __future__ import annotations

import ipaddress
import os
import re
import sys
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from .errors import ConfigurationError
from .transports.base import ClientCertificate

__all__ = [
    "Cert",
    "EnvironmentProxies",
    "authorities",
    "checked_cert",
    "checked_proxy",
    "checked_verify",
    "environment_proxies",
]

File: TypeAlias = str | os.PathLike[str]
Cert: TypeAlias = File | tuple[File, File] | tuple[File, File | None, str]
"""A client certificate: a file with certificate and key, or the two files, or these and the password of the key."""

_PORTS = {"http": 80, "https": 443}
_SCHEMES = ("http", "https", "socks5", "socks5h")
_SYSTEM_SETTINGS = sys.platform in ("darwin", "win32")
"""These systems have proxy settings outside the environment."""
_AUTHORITIES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""In order of precedence: OpenSSL's own variables first, as httpx and Python read them."""
_NETWORK = re.compile(r"\[?([0-9A-Fa-f:.]+)\]?(/\d+)?")
_WITH_PORT = re.compile(r"(\[[^\]]*\]|[^:]*):(\d+)")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


# -- proxies -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class EnvironmentProxies:
    """The proxies that the environment names, as they were when the client was made.

    Args:
        proxies: the URL and the name of its variable, by the scheme of the request (``http``, ``https`` or ``all``).
        exceptions: the entries of ``NO_PROXY``.
        bypass: tells by the system's own settings whether a host needs no proxy.
    """

    proxies: Mapping[str, tuple[str, str]]
    exceptions: tuple[str, ...] = ()
    bypass: Callable[[str], bool] | None = None

    def proxy(self, url: str) -> str | None:
        """Return the proxy for a URL, or ``None``.

        Raises:
            ConfigurationError: the value of the variable is not the URL of a proxy.
        """
        parts = urllib.parse.urlsplit(url)
        value, name = self.proxies.get(parts.scheme) or self.proxies.get("all") or ("", "")
        host = (parts.hostname or "").rstrip(".")
        if not value or self._excepted(host, parts.port or _PORTS.get(parts.scheme)):
            return None
        return checked_proxy(value if "://" in value else f"http://{value}", name)

    def _excepted(self, host: str, port: int | None) -> bool:
        if self.bypass is not None and self.bypass(host):
            return True
        return any(_matches(entry, host, port) for entry in self.exceptions)


def environment_proxies() -> EnvironmentProxies:
    """Return the proxies of the environment, by eight look-ups: the other variables are not walked through.

    A variable in lower case wins over the one in capitals, also with an empty value, as in curl.
    """
    proxies = {}
    for scheme in ("http", "https", "all"):
        name, value = _variable(f"{scheme}_proxy")
        if scheme == "http" and name.isupper() and "REQUEST_METHOD" in os.environ:
            continue  # in a CGI script this variable is the request header "Proxy", which a stranger sends
        if value:
            proxies[scheme] = (value, name)
    exceptions = re.split(r"[\s,]+", _variable("no_proxy")[1].lower())
    if proxies or not _SYSTEM_SETTINGS:
        return EnvironmentProxies(proxies, tuple(filter(None, exceptions)))
    from urllib.request import getproxies, proxy_bypass

    settings = {
        scheme: (value, "the system's proxy setting") for scheme, value in getproxies().items()
    }
    return EnvironmentProxies(settings, bypass=lambda host: bool(proxy_bypass(host)))


def _variable(name: str) -> tuple[str, str]:
    """Return the name and the value of a variable in lower case, else in capitals."""
    value = os.environ.get(name)
    if value is None:
        name = name.upper()
        value = os.environ.get(name, "")
    return name, value.strip()


def _matches(entry: str, host: str, port: int | None) -> bool:
    """Tell whether an entry of ``NO_PROXY`` covers a host.

    ``example.test``, ``.example.test`` and ``*.example.test`` cover the name and everything below it; addresses are
    compared as addresses, so that ``::1``, ``[::1]`` and ``0:0::1`` are the same.
    """
    if entry == "*":
        return True
    network = _network(entry)
    if network is None and (match := _WITH_PORT.fullmatch(entry)):
        if int(match[2]) != port:
            return False
        entry = match[1]
        network = _network(entry)
    address = _address(host)
    if address is not None or network is not None:
        # Version numbers differ for IPv4 and IPv6: such a pair never matches.
        return address is not None and network is not None and address in network
    name = entry.removeprefix("*").strip(".")
    return bool(name) and (host == name or host.endswith(f".{name}"))


def _address(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None


def _network(entry: str) -> Network | None:
    """Return the addresses that an entry names: a single one, or a CIDR block."""
    match = _NETWORK.fullmatch(entry)
    if match is None:
        return None
    try:
        return ipaddress.ip_network(f"{match[1]}{match[2] or ''}", strict=False)
    except ValueError:
        return None


def checked_proxy(proxy: str | None, name: str = "proxy") -> str | None:
    """Return the URL of a proxy. Messages never show the URL, since it may hold a password.

    Args:
        proxy: the URL, or ``None``.
        name: the argument or the variable, for messages.

    Raises:
        ConfigurationError: it is not the URL of a proxy, or it is a SOCKS proxy and the extra is missing.
    """
    if proxy is None:
        return None
    if not isinstance(proxy, str) or proxy.partition("://")[0].lower() not in _SCHEMES:
        where = "" if name == "proxy" else f"{name}: the "
        raise ConfigurationError(
            f"{where}proxy must be a URL with http://, https://, socks5:// or socks5h:// in front."
        )
    problem = _problem(proxy)
    if problem is not None:
        raise ConfigurationError(
            f"{name} is not a valid proxy URL: {problem} (the value is not shown). "
            "Give it as http://user:password@host:port."
        )
    if proxy.lower().startswith("socks"):
        import importlib.util

        if importlib.util.find_spec("socksio") is None:
            raise ConfigurationError(
                "SOCKS proxies need one more package: pip install 'glmclient[socks]'."
            )
    return proxy


def _problem(proxy: str) -> str | None:
    if re.search(r"[\x00-\x20\x7f]", proxy):
        return "it contains a space or a control character"
    rest = proxy.partition("://")[2]
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if "@" in rest[len(authority) :]:
        return (
            "'#', '/' and '?' in the user name or the password must be written as %23, %2F and %3F"
        )
    try:
        parts = urllib.parse.urlsplit(proxy)
        host, _port = parts.hostname, parts.port
    except ValueError:
        return "its host or its port cannot be read"
    return None if host else "it names no host"


# -- certificates ------------------------------------------------------------------------------------------


def authorities() -> tuple[bool | str, str]:
    """Return what ``verify=True`` means in this environment, and the name to use for it in messages.

    The first variable that is set decides, also if its path does not exist: the user wanted other authorities than the
    default ones, and a silent fallback would trust more or fewer hosts than that.
    """
    named = ((os.environ.get(name), name) for name in _AUTHORITIES)
    return next(((value, name) for value, name in named if value), (True, "verify"))


def checked_verify(verify: bool | File) -> bool | str:
    """Return ``verify`` with a path as text.

    Raises:
        ConfigurationError: it is something else, or the path does not exist.
    """
    if isinstance(verify, bool):
        return verify
    if not isinstance(verify, (str, os.PathLike)):
        raise ConfigurationError(
            f"verify must be True, False or a path to CA certificates, not {verify!r}."
        )
    path = os.fspath(verify)
    if not os.path.exists(path):
        raise ConfigurationError(
            f"verify names {path!r}, which does not exist; give a file or folder of CA certificates."
        )
    return path


def checked_cert(cert: Any) -> ClientCertificate | None:
    """Return the certificate that a client identifies itself with.

    Args:
        cert: a `Cert` or ``None``.

    Raises:
        ConfigurationError: it is something else, or a file does not exist. The password is never shown.
    """
    if cert is None:
        return None
    parts = cert if isinstance(cert, (tuple, list)) else (cert, None)
    path, key, password = (*parts, None, None, None)[:3]
    if (
        not 2 <= len(parts) <= 3
        or not isinstance(path, (str, os.PathLike))
        or not isinstance(key, (str, os.PathLike, type(None)))
        or not isinstance(password, (str, type(None)))
    ):
        raise ConfigurationError(
            "cert must be the path of a PEM file with certificate and private key, a pair of paths (certificate, key), "
            "or (certificate, key, password)."
        )
    for name in (path, key):
        if name is not None and not os.path.isfile(name):
            raise ConfigurationError(
                f"cert names {os.fspath(name)!r}, which is not a file; give PEM files of the certificate and its key."
            )
    return ClientCertificate(os.fspath(path), None if key is None else os.fspath(key), password)
