r"""TeX in Markdown: ``$…$``, ``$$…$$``, ``\(…\)`` and ``\[…\]``, kept whole so that MathJax finds it.

Without these rules Markdown would take the backslashes off the brackets and make emphasis of underscores.
"""

from __future__ import annotations

import re
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
_DISPLAYED = {
    "$$": re.compile(r"\$\$[ \t]*$", re.MULTILINE),
    r"\[": re.compile(r"\\\][ \t]*$", re.MULTILINE),
}
"""What ends a formula that stands on lines of its own."""
_UNSAFE = re.compile(
    # MathJax would make links, load extensions, set styles and classes, or expand macros without end.
    r"\\(?:href|url|require|style|class|cssId|id|data|html[A-Za-z]*|bbox|mmlToken|texttip|tooltip|mathtip|toggle"
    r"|action|unicode|includegraphics|input|include|enclose|def|[egx]def|let|futurelet|global|long|csname|loop"
    r"|(?:re)?new(?:command|environment|tagform)|renewtagform|usetagform|providecommand|DeclareMathOperator"
    r"|DeclarePairedDelimiter[A-Z]*|Newextarrow|catcode|setOptions|definecolor)(?![A-Za-z])"
)
"""Commands that do more than set a formula."""
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
            _add(state, opening, source[start + len(opening) : end].strip())
        state.pos = end + len(closing)
        return True
    return False


def _closing(source: str, start: int, closing: str) -> int:
    """Return where the formula that begins at ``start`` ends, or -1; the first closing that is not escaped decides."""
    limit = start + _LONGEST
    end = source.find(closing, start, limit)
    while end > start and source[end - 1] == "\\":
        end = source.find(closing, end + 1, limit)
    formula = source[start : max(end, start)]
    if not formula.strip():
        return -1
    # Pandoc's rule for a single dollar, by which "$5 and $10" is money.
    money = formula[0].isspace() or formula[-1].isspace() or source[end + 1 : end + 2].isdigit()
    return -1 if closing == "$" and money else end


def _block(state: StateBlock, first: int, last: int, silent: bool) -> bool:
    start = state.bMarks[first] + state.tShift[first]
    closing = _DISPLAYED.get(state.src[start : start + 2])
    if closing is None or state.is_code_block(first):
        return False
    found = closing.search(state.src, start + 2, start + _LONGEST)
    if found is None:
        return False
    lines: list[str] = []
    for line in range(first, last):
        if state.sCount[line] < state.blkIndent and not state.isEmpty(line):
            return False  # the list item around ends before the formula does
        lines.append(state.src[state.bMarks[line] + state.tShift[line] : state.eMarks[line]])
        if state.eMarks[line] >= found.end():
            formula = "\n".join(lines).rstrip()[2:-2].strip()
            if formula and not silent:
                _add(state, state.src[start : start + 2], formula)
                state.line = line + 1
            return bool(formula)
    return False


def _add(state: StateInline | StateBlock, opening: str, formula: str) -> None:
    token = state.push("math", "", 0)
    token.content, token.markup = formula, opening


def _render(
    renderer: RendererProtocol,
    tokens: Sequence[Token],
    index: int,
    options: OptionsDict,
    environment: EnvType,
) -> str:
    token = tokens[index]
    formula = escape(token.content)
    if _UNSAFE.search(token.content):
        closing = dict(_DELIMITERS)[token.markup]
        return f"<code>{escape(token.markup)}{formula}{escape(closing)}</code>"
    # The classes let MathJax in where the text around is closed to it; a dollar sign there is money.
    classes = 'class="mathjax_process tex2jax_process"'
    if token.markup in _DISPLAYED:
        return rf'<span {classes} style="display:block">\[{formula}\]</span>'
    return rf"<span {classes}>\({formula}\)</span>"
