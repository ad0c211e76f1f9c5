"""Objects of the platform's chunks as values: usage and sources (``docs/wire/open-platform.md`` §2.4, §2.6)."""

from __future__ import annotations

from typing import Any

from ...events import SearchResult, Usage

__all__ = ["sources_of", "usage_of"]


def sources_of(found: Any) -> tuple[SearchResult, ...]:
    """Return the sources in a ``web_search`` list; what is none of its objects is left out."""
    if not isinstance(found, list):
        return ()
    return tuple(_source(each) for each in found if isinstance(each, dict))


def _source(found: dict[str, Any]) -> SearchResult:
    def told(name: str) -> str:
        value = found.get(name)
        return value if isinstance(value, str) else ""

    return SearchResult(
        title=told("title"),
        url=told("link"),
        content=told("content"),
        reference=told("refer"),
        media=told("media"),
        published=told("publish_date"),
    )


def usage_of(usage: dict[str, Any]) -> Usage | None:
    """Return a usage object of the service as a value (§2.4); ``None`` if none of its names is known."""
    counts = [_count(usage.get(name)) for name in ("prompt_tokens", "completion_tokens")]
    total = _count(usage.get("total_tokens"))
    if total is None and counts == [None, None]:
        return None
    prompt, completion = (count or 0 for count in counts)
    reasoning = _detail(usage, "completion_tokens_details", "reasoning_tokens")
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=prompt + completion if total is None else total,
        cached_tokens=_detail(usage, "prompt_tokens_details", "cached_tokens"),
        # SGLang puts this count beside the others.
        reasoning_tokens=_count(usage.get("reasoning_tokens")) if reasoning is None else reasoning,
    )


def _detail(usage: dict[str, Any], group: str, name: str) -> int | None:
    details = usage.get(group)
    return _count(details.get(name)) if isinstance(details, dict) else None


def _count(value: Any) -> int | None:
    """Return a count; some servers write whole numbers as ``12.0``."""
    if type(value) is float and value.is_integer():
        return int(value)
    return value if type(value) is int else None
