"""How the platform and compatible servers refuse: statuses, codes and shapes.

Source: ``docs/wire/open-platform.md`` §3 (the platform), §5 (compatible servers).
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

from ...core.http import dump_json
from ...simulator.http import SimulatedResponse
from ...simulator.script import Answer, Refusal
from .codes import CODES

__all__ = ["error_body", "refused"]

_JSON = "application/json; charset=UTF-8"

_REFUSALS: Mapping[str, tuple[int, str, str, str]] = {
    # kind: HTTP status, the platform's code, the word of compatible servers, words
    "login": (
        401,
        "1001",
        "authentication_error",
        "Header中未收到Authorization参数，无法进行身份验证。",
    ),
    "quota": (
        429,
        "1113",
        "insufficient_quota",
        "Insufficient balance or no resource package. Please recharge.",
    ),
    "rate_limit": (429, "1302", "rate_limit_error", "Rate limit reached for requests"),
    "authentication": (
        401,
        "1002",
        "authentication_error",
        "Authorization Token非法，请确认Authorization Token正确传递。",
    ),
    "permission": (
        403,
        "1220",
        "permission_error",
        "You do not have permission to access this API",
    ),
    "bad_request": (
        400,
        "1214",
        "invalid_request_error",
        "The messages parameter is invalid. Please check the documentation.",
    ),
    "not_found": (400, "1211", "not_found_error", "Unknown Model, please check the model code."),
    "server": (500, "1234", "server_error", "Internal network failure"),
    "blocked": (200, "", "", "Just a moment..."),
}


_DASHSCOPE_CODES: Mapping[str, str] = {
    "login": "invalid_api_key",
    "quota": "Arrearage",
    "rate_limit": "Throttling.RateQuota",
    "authentication": "invalid_api_key",
    "permission": "AccessDenied.Unpurchased",
    "bad_request": "invalid_parameter_error",
    "not_found": "model_not_found",
    "server": "InternalError.Algo",
    "blocked": "",
}


def error_body(refusal: Refusal, flavour: str) -> dict[str, Any]:
    """Return the JSON body of a refusal, or the frame of one in a stream."""
    if isinstance(refusal.body, Mapping):
        return dict(refusal.body)
    _, code, word, words = _REFUSALS[refusal.kind]
    message = words if refusal.message is None else refusal.message
    if flavour == "glm":
        told = code if refusal.code is None else refusal.code
        return {"error": {"code": told, "message": message}}
    if flavour == "dashscope":
        named = _DASHSCOPE_CODES[refusal.kind] if refusal.code is None else refusal.code
        return {"error": {"message": message, "type": named, "param": None, "code": named}}
    numeric = _status(refusal, flavour) if refusal.code is None else refusal.code
    return {"error": {"message": message, "type": word, "param": None, "code": numeric}}


def _status(refusal: Refusal, flavour: str) -> int:
    if refusal.status is not None:
        return refusal.status
    row = CODES.get(str(refusal.code))
    if row is not None:
        return int(row.http.partition(",")[0])
    if flavour != "glm" and refusal.kind == "not_found":
        return 404
    return _REFUSALS[refusal.kind][0]


def refused(refusal: Refusal, flavour: str, answer: Answer | None = None) -> SimulatedResponse:
    """Return a refusal that stands in place of an answer."""
    if isinstance(refusal.body, str) or (refusal.body is None and refusal.kind == "blocked"):
        text = refusal.body if isinstance(refusal.body, str) else _page(refusal.message)
        content = text.encode()
        kind = "text/html; charset=utf-8" if text.lstrip().startswith("<") else _JSON
    else:
        content, kind = dump_json(error_body(refusal, flavour)), _JSON
    headers = [("Content-Type", kind)]
    if refusal.retry_after is not None:
        headers.append(("Retry-After", f"{refusal.retry_after:g}"))
    return SimulatedResponse(
        _status(refusal, flavour),
        headers,
        [content],
        "length",
        before=answer.before if answer is not None else (),
    )


def _page(message: str | None) -> str:
    words = html.escape(message if message is not None else _REFUSALS["blocked"][3])
    return f"<!DOCTYPE html><html><head><title>{words}</title></head><body></body></html>"
