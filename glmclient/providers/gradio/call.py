"""One question on its way to one function of one page: the bodies of its requests, and the cookies they carry."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ...core.http import Head, dump_json
from .page import ChatFunction, Page
from .question import Question

__all__ = ["Call", "cookies_after"]

_COOKIE = re.compile(
    r"([!#$%&'*+\-.^_`|~0-9A-Za-z]+)=([\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e\"]*)"
)
_GONE = re.compile(r";\s*max-age\s*=\s*(?:0+|-\d+)\s*(?:;|$)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Call:
    """A question on its way to one function of one page.

    Args:
        page: the page that is asked.
        function: its chat function.
        question: what is asked.
        history: the conversation so far, as the page's chatbot writes it.
        session: the session hash of this call alone.
    """

    page: Page
    function: ChatFunction
    question: Question = field(repr=False)
    history: list[Any] = field(repr=False)
    session: str

    def join(self) -> bytes:
        """Return the body of the join: one value for each input (``docs/wire/gradio.md`` §2)."""
        data = list(self.function.values)
        data[self.function.prompt] = self.question.prompt
        data[self.function.history] = self.history
        if self.question.system is not None:
            data[self.function.system] = self.question.system
        return dump_json(
            {
                "data": data,
                "event_data": None,
                "fn_index": self.function.index,
                "trigger_id": self.function.trigger,
                "session_hash": self.session,
            }
        )

    def cancel(self, event_id: str) -> bytes:
        """Return the body that cancels the answer; the service wants all three fields (§6)."""
        return dump_json(
            {
                "session_hash": self.session,
                "fn_index": self.function.index,
                "event_id": event_id,
            }
        )


def cookies_after(head: Head, known: Mapping[str, str]) -> dict[str, str]:
    """Return the cookies to send after a response.

    Names and values alone matter: they go back to the origin that set them, for as long as the page is kept
    (RFC 6265 §4.1.1 for what a cookie may hold).
    """
    cookies = dict(known)
    for told in head.cookies:
        pair, _, attributes = told.partition(";")
        found = _COOKIE.fullmatch(pair.strip())
        if not found:
            continue
        cookies.pop(found[1], None)
        if not _GONE.search(f";{attributes}"):
            cookies[found[1]] = found[2]
    return cookies
