"""Markdown of a stranger to HTML that is safe in a page that trusts its outputs."""

from __future__ import annotations

from functools import lru_cache

from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore

from .math import math_rules
from .parts import BOX, LINE

__all__ = ["rendered"]

_SCHEMES = ("http://", "https://", "mailto:")
_CELL = f"border:1px solid {LINE};padding:.2em .7em"


def rendered(markdown: str) -> str:
    """Return ``markdown`` as HTML: HTML in it is text, links go only to the web and to mail, images become links."""
    # Whatever is written in the text, its own angle brackets are escaped: each <pre> is the renderer's.
    return str(_parser().render(markdown)).replace("<pre>", f'<pre style="{BOX}">')


@lru_cache(maxsize=1)
def _parser() -> MarkdownIt:
    # "js-default" has tables and strikethrough, and shows HTML as text.
    parser = MarkdownIt("js-default")
    # An image is fetched as soon as it is shown, which can carry what was said to anybody: only a link to it is made.
    parser.disable("image")
    # A relative address would be one of the notebook's own server.
    parser.validateLink = lambda url: url.strip().lower().startswith(_SCHEMES)  # type: ignore[method-assign]
    math_rules(parser)
    parser.core.ruler.push("dress", _dress)
    return parser


def _dress(state: StateCore) -> None:
    """Let links open elsewhere, and draw tables where the page has no style for them."""
    for token in state.tokens:
        if token.type in ("th_open", "td_open"):
            token.attrSet(
                "style", ";".join(filter(None, (_CELL, str(token.attrGet("style") or ""))))
            )
        for child in token.children or ():
            if child.type == "link_open":
                child.attrSet("target", "_blank")
                child.attrSet("rel", "noopener noreferrer nofollow")
