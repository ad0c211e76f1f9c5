r"""TeX in Markdown: ``$…$``, ``$$…$$``, ``\(…\)`` and ``\[…\]``, kept whole so that MathJax finds it.

Without these rules Markdown would take the backslashes off the brackets and make emphasis of underscores.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markdown_it import MarkdownIt
    from markdown_it.renderer import RendererProtocol
    from markdown_it.rules_block import StateBlock
    from markdown_it.rules_inline import StateInline
    from markdown_it.token import Token
    from markdown_it.utils import EnvType, OptionsDict

__all__ = ["math_rules"]

_DELIMITERS = (("$$", "$$"), (r"\[", r"\]"), (r"\(", r"\)"), ("$", "$"))
_DISPLAYED = frozenset({"$$", r"\["})
_LONGEST = 4000
"""Characters of one formula at most, so that many unclosed delimiters cost no quadratic search."""


def math_rules(parser: MarkdownIt) -> None:
    """Teach ``parser`` the delimiters; what is between them reaches the page as it was written."""
    parser.inline.ruler.before("escape", "math", _inline)
    # Display math may follow a line of text without a blank line between, as a fence may.
    parser.block.ruler.before(
        "fence", "math_block", _block, {"alt": ["paragraph", "reference", "blockquote", "list"]}
    )
    parser.add_render_rule("math", _render)


def _inline(state: StateInline, silent: bool) -> bool:
    source, start = state.src, state.pos
    for opening, closing in _DELIMITERS:
        if not source.startswith(opening, start):
            continue
        end = _closing(source, start + len(opening), closing)
        if end < 0:
            return False
        if not silent:
            _add(state, opening, source[start + len(opening) : end])
        state.pos = end + len(closing)
        return True
    return False


def _closing(source: str, start: int, closing: str) -> int:
    """Return where the formula that begins at ``start`` ends, or -1."""
    limit = start + _LONGEST
    end = source.find(closing, start, limit)
    while end >= 0 and not _closes(source, start, end, closing):
        end = source.find(closing, end + 1, limit)
    return end


def _closes(source: str, start: int, end: int, closing: str) -> bool:
    formula = source[start:end]
    if not formula.strip() or formula.endswith("\\"):
        return False
    # Pandoc's rule for a single dollar, by which "$5 and $10" is money.
    money = formula[0].isspace() or formula[-1].isspace() or source[end + 1 : end + 2].isdigit()
    return closing != "$" or not money


def _block(state: StateBlock, first: int, last: int, silent: bool) -> bool:
    opening = state.src[state.bMarks[first] + state.tShift[first] :][:2]
    closing = dict(_DELIMITERS).get(opening)
    if opening not in _DISPLAYED or closing is None or state.is_code_block(first):
        return False
    lines: list[str] = []
    for line in range(first, last):
        text = state.src[state.bMarks[line] + state.tShift[line] : state.eMarks[line]].rstrip()
        lines.append(text[2:] if line == first else text)
        if lines[-1].endswith(closing):
            lines[-1] = lines[-1][:-2]
            if not silent:
                _add(state, opening, "\n".join(lines))
            state.line = line + 1
            return True
    return False


def _add(state: StateInline | StateBlock, opening: str, formula: str) -> None:
    token = state.push("math", "", 0)
    token.content, token.markup = formula.strip(), opening


def _render(
    renderer: RendererProtocol,
    tokens: Sequence[Token],
    index: int,
    options: OptionsDict,
    environment: EnvType,
) -> str:
    token = tokens[index]
    formula = escape(token.content)
    # The classes let MathJax in where the text around is closed to it; a dollar sign there is money.
    classes = 'class="mathjax_process tex2jax_process"'
    if token.markup in _DISPLAYED:
        return rf'<span {classes} style="display:block">\[{formula}\]</span>'
    return rf"<span {classes}>\({formula}\)</span>"
