"""Markdown of a stranger to HTML that is safe in a page that trusts its outputs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererProtocol
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

from .math import math_rules

__all__ = ["rendered"]

_SCHEMES = ("http://", "https://", "mailto:")


def rendered(markdown: str) -> str:
    """Return ``markdown`` as HTML: HTML in it is text, links go only to the web and to mail, images become links."""
    return str(_parser().render(markdown))


@lru_cache(maxsize=1)
def _parser() -> MarkdownIt:
    # "js-default" has tables and strikethrough, and shows HTML as text.
    parser = MarkdownIt("js-default")
    # An image is fetched as soon as it is shown, which can carry what was said to anybody: only a link to it is made.
    parser.disable("image")
    # A relative address would be one of the notebook's own server.
    parser.validateLink = lambda url: url.strip().lower().startswith(_SCHEMES)  # type: ignore[method-assign]
    parser.add_render_rule("link_open", _link_open)
    math_rules(parser)
    return parser


def _link_open(
    renderer: RendererProtocol,
    tokens: Sequence[Token],
    index: int,
    options: OptionsDict,
    environment: EnvType,
) -> str:
    tokens[index].attrSet("target", "_blank")
    tokens[index].attrSet("rel", "noopener noreferrer nofollow")
    return str(renderer.renderToken(tokens, index, options, environment))  # type: ignore[attr-defined]
