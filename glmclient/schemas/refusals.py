"""Whether a service refused the format of the answer, or something else in the request."""

from __future__ import annotations

import json
import re
from typing import Any

from ..errors import APIStatusError, BadRequestError

__all__ = ["about_format"]

_FORMAT = re.compile(
    r"response_?format|json[_ ]?schema|json[_ ]?object|json[_ ]mode|schema|grammar|guided|structured[_ ]?output"
    r"|结构化|输出格式",
    re.IGNORECASE,
)
_OTHER = re.compile(
    r"context|too (?:long|large|many)|maxim|exceed|token|safety|sensitive|polic[yi]|moderation|content[_ ]?filter"
    r"|image|audio|video|\btools?\b|\brole\b|temperature|top_p|request_id|balance|敏感|过长|超长|超出",
    re.IGNORECASE,
)
_OTHER_CODES = frozenset({"1212", "1231", "1261", "1300", "1301"})
"""Codes of the platform that say what else is wrong (``docs/wire/open-platform.md`` §3.2)."""


def about_format(refusal: APIStatusError) -> bool | None:
    """Return whether a refusal is about the format of the answer, ``None`` if it does not say what it is about.

    The words alone do not decide: many servers answer "Bad Request" and nothing else, some in other languages. Servers
    of OpenAI's kind name the wrong parameter.
    """
    if _FORMAT.search(refusal.message):
        return True
    parameter = _parameter(refusal.body)
    if parameter:
        return _FORMAT.search(parameter) is not None
    if _FORMAT.search(refusal.body):
        return True
    text = f"{refusal.message} {refusal.body}"
    if not isinstance(refusal, BadRequestError) or refusal.code in _OTHER_CODES:
        return False
    return False if _OTHER.search(text) else None


def _parameter(body: str) -> str:
    """Return the parameter that a body names, as OpenAI (``param``) and FastAPI (``loc``) do; ``""`` without one."""
    try:
        data: Any = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    error = data.get("error", data) if isinstance(data, dict) else None
    if not isinstance(error, dict):
        return ""
    if isinstance(error.get("param"), str):
        return str(error["param"])
    details = error.get("detail")
    first = details[0] if isinstance(details, list) and details else None
    place = first.get("loc") if isinstance(first, dict) else None
    return ".".join(map(str, place)) if isinstance(place, list) else ""
