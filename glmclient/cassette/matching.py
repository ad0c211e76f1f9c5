"""Whether a request is the one that was recorded, and what differs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from ..core.http import Request, load_object
from .entries import RecordedExchange
from .scrubbing import ID_NAMES

__all__ = ["differences"]

_SHOWN = 80
_VOLATILE = ID_NAMES | {"id"}
"""Ids differ with every recording, and were scrubbed: only whether there is one counts."""


def differences(
    recorded: RecordedExchange, recorded_base: str, asked: Request, asked_base: str
) -> list[str]:
    """Return what differs, in words; nothing if the request is the recorded one.

    Headers do not count, nor does the address: path and query below it, the method and the body do.

    Args:
        recorded: what was recorded.
        recorded_base: the address of the service then.
        asked: the request now.
        asked_base: the address of the service now.
    """
    found = (
        [] if recorded.method == asked.method else [_pair("method", recorded.method, asked.method)]
    )
    before, now = _below(recorded.url, recorded_base), _below(asked.url, asked_base)
    if before[0] != now[0]:
        found.append(_pair("path", before[0], now[0]))
    found += _differ("query", before[1], now[1])
    return found + list(_bodies(recorded.body, asked.body))


def _below(url: str, base: str) -> tuple[str, dict[str, str]]:
    parts = urlsplit(url)
    path = parts.path
    prefix = urlsplit(base).path.rstrip("/")
    if prefix and path.startswith(f"{prefix}/"):
        path = path[len(prefix) :]
    return path, dict(parse_qsl(parts.query, keep_blank_values=True))


def _bodies(recorded: bytes | None, asked: bytes | None) -> Iterator[str]:
    if recorded == asked:
        return
    before, now = load_object(recorded or b""), load_object(asked or b"")
    if before is not None and now is not None:
        yield from _differ("body", before, now)
    else:
        yield _pair("body", _text(recorded), _text(asked))


def _text(body: bytes | None) -> str | None:
    return None if body is None else body.decode("utf-8", "replace")


def _differ(where: str, before: Any, now: Any) -> list[str]:
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        names = dict.fromkeys([*before, *now])
        return [line for name in names for line in _member(where, name, before, now)]
    if _is_list(before) and _is_list(now) and len(before) == len(now):
        return [
            line
            for index, (one, other) in enumerate(zip(before, now, strict=True))
            for line in _differ(f"{where}[{index}]", one, other)
        ]
    return [] if before == now else [_pair(where, before, now)]


def _member(where: str, name: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    path = f"{where}.{name}"
    if name not in before or name not in now:
        return [_pair(path, before.get(name, _MISSING), now.get(name, _MISSING))]
    one, other = before[name], now[name]
    if name in _VOLATILE and isinstance(one, str) and isinstance(other, str):
        return [] if bool(one) == bool(other) else [_pair(path, one, other)]
    return _differ(path, one, other)


class _Missing:
    def __repr__(self) -> str:
        return "nothing"


_MISSING = _Missing()


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))


def _pair(where: str, before: Any, now: Any) -> str:
    return f"{where}: recorded {_shown(before)}, asked {_shown(now)}"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
