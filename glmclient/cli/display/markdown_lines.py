r"""Markdown as the lines of a terminal; what is not Markdown stays as it is written, character for character.

rich's own Markdown drops words in angle brackets and backslashes, moves images and pads code, so the tokens of
markdown-it are laid out here. Three rules keep text that CommonMark would change: formulas (``$…$``, ``$$…$$``,
``\(…\)``, ``\[…\]``) are taken as written, a backslash is dropped before ``* _ ` # ~ |`` only, and entities and
references are text. The address of a link stands behind it, and links that are not for the web or for mail stay text.

An answer grows at its end, and a top-level block cannot change any more once another block has begun behind it. So
`GrowingMarkdown` renders from the last block on, and keeps the lines of those before.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING

from .cells import cells, visible, without_tabs

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.rules_block import StateBlock
    from markdown_it.rules_inline import StateInline
    from markdown_it.token import Token

__all__ = ["GrowingMarkdown"]

_SCHEMES = ("http://", "https://", "mailto:")
_DELIMITERS = (("$$", "$$"), (r"\[", r"\]"), (r"\(", r"\)"), ("$", "$"))
_DROPS_ITS_BACKSLASH = "*_`#~|"
_LONGEST_FORMULA = 4000
_LONGEST_PARAGRAPH = 20_000
"""Characters; a longer one is shown as it is written, because each repaint would parse all of it."""
_STEP = 12_000
"""Characters that are rendered before the lines so far are shown."""

Span = tuple[str, str]
"""A text without line ends, and the numbers of its style (SGR)."""


class GrowingMarkdown:
    """Renders a text that grows, and remembers the lines of the blocks that are finished."""

    def __init__(self) -> None:
        self._width = 0
        self._source = ""
        """The finished blocks, as they are written."""
        self._lines: list[str] = []
        """Their lines."""

    def __call__(self, text: str, width: int) -> list[str]:
        """Return the lines of a text."""
        lines: list[str] = []
        for lines in self.steps(text, width):  # noqa: B007 - the last step is the whole
            pass
        return lines

    def steps(self, text: str, width: int) -> Iterator[list[str]]:
        """Yield the lines of more and more of a text, and at last of all of it.

        A long text that came at once takes seconds; the steps let its beginning be shown before.
        """
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        if width != self._width or not text.startswith(self._source):
            self._width, self._source, self._lines = width, "", []
        end = len(self._source)
        while end < len(text):
            end = _line_end(text, max(end, len(self._source)) + _STEP)
            yield self._rendered(text[:end])

    def _rendered(self, text: str) -> list[str]:
        """Return the lines of ``text``, and remember those before its last block."""
        rest = text[len(self._source) :]
        written = rest.split("\n")
        # One cell less than there are: terminals disagree on what happens in the last one.
        layout = _Layout(max(self._width - 1, 1))
        finished = start = 0
        for first, block in _blocks(without_tabs(visible(rest))):
            finished, start = len(layout.lines), first
            layout.add(block)
        last = layout.lines[finished:]
        if finished:
            self._source += "".join(f"{line}\n" for line in written[:start])
            self._lines += layout.lines[:finished]
            if last and not last[0]:
                self._lines.append(last.pop(0))  # the empty line between the blocks
        if not self._lines:
            last = last[next((n for n, line in enumerate(last) if line), len(last)) :]
        lines = [*self._lines, *last]
        while lines and not lines[-1]:
            lines.pop()
        return lines


def _line_end(text: str, position: int) -> int:
    found = text.find("\n", position)
    return found + 1 if found >= 0 else len(text)


def _blocks(text: str) -> Iterator[tuple[int, list[Token]]]:
    """Yield the top-level blocks with the numbers of their first lines."""
    block: list[Token] = []
    first = 0
    lines = text.split("\n")
    parser = _parser()
    for token in _parsed(parser, text):
        if not block:
            first = token.map[0] if token.map else first
        block.append(token)
        if token.type == "inline" and len(token.content) <= _LONGEST_PARAGRAPH:
            token.children = []
            parser.inline.parse(token.content, parser, {}, token.children)
        if token.type == "table_open" and token.map:
            token.content = "\n".join(lines[slice(*token.map)])
        if token.level == 0 and token.nesting <= 0:
            yield first, block
            block = []


def _parsed(parser: MarkdownIt, text: str) -> list[Token]:
    tokens: list[Token] = []
    parser.block.parse(text, parser, {}, tokens)
    return tokens


# -- what is Markdown --------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    parser = MarkdownIt("js-default")
    parser.disable(["entity", "reference"])
    parser.validateLink = _is_link  # type: ignore[method-assign]
    parser.normalizeLink = lambda url: url  # type: ignore[method-assign]
    parser.inline.ruler.before("escape", "formula", _formula)
    parser.inline.ruler.at("escape", _escape)
    parser.block.ruler.before(
        "fence", "formula_block", _formula_block, {"alt": ["paragraph", "blockquote", "list"]}
    )
    return parser


def _is_link(url: str) -> bool:
    return url.strip().lower().startswith(_SCHEMES)


def _formula(state: StateInline, silent: bool) -> bool:
    source, start = state.src, state.pos
    for opening, closing in _DELIMITERS:
        if source.startswith(opening, start):
            end = _closing(source, start + len(opening), closing)
            if end < 0:
                return False
            state.pos = end + len(closing)
            if not silent:
                state.push("text", "", 0).content = source[start : state.pos]
            return True
    return False


def _closing(source: str, start: int, closing: str) -> int:
    """Return where the formula that begins at ``start`` ends, or -1."""
    end = source.find(closing, start, start + _LONGEST_FORMULA)
    formula = source[start : max(end, start)]
    if not formula.strip():
        return -1
    # Pandoc's rule for a single dollar, by which "$5 and $10" is money.
    money = formula[0].isspace() or formula[-1].isspace() or source[end + 1 : end + 2].isdigit()
    return -1 if closing == "$" and money else end


def _escape(state: StateInline, silent: bool) -> bool:
    following = state.src[state.pos + 1 : state.pos + 2]
    if state.src[state.pos] != "\\" or not following or following.isalnum() or following.isspace():
        return False
    if not silent:
        drops = following in _DROPS_ITS_BACKSLASH
        state.push("text", "", 0).content = following if drops else f"\\{following}"
    state.pos += 2
    return True


def _formula_block(state: StateBlock, first: int, last: int, silent: bool) -> bool:
    start = state.bMarks[first] + state.tShift[first]
    closing = {"$$": "$$", r"\[": r"\]"}.get(state.src[start : start + 2])
    if closing is None or state.is_code_block(first):
        return False
    for line in range(first, last):
        written = state.src[state.bMarks[line] : state.eMarks[line]].rstrip()
        begins = 2 if line == first else 0
        if written.strip()[begins:].endswith(closing):
            if not silent:
                token = state.push("formula_block", "", 0)
                token.content = state.getLines(first, line + 1, state.blkIndent, False)
                token.map = [first, line + 1]
                state.line = line + 1
            return True
        if state.eMarks[line] - start > _LONGEST_FORMULA:
            return False
    return False


# -- what it looks like ------------------------------------------------------------------------------------

_BOLD, _ITALIC, _STRUCK, _CODE, _DIM = "1", "3", "9", "36", "2"
_MARKS = {"strong": _BOLD, "em": _ITALIC, "s": _STRUCK}


class _Layout:
    """The lines of blocks, one below the other, with an empty line between two.

    Args:
        width: cells of a line at most; code is never cut or wrapped.
    """

    def __init__(self, width: int) -> None:
        self.lines: list[str] = []
        self._width = width
        self._prefixes: list[str] = []
        """What stands before each line: one for each list item and quotation around."""
        self._marker = ""
        """The mark of a list item whose first line is to come."""
        self._numbers: list[int | None] = []
        self._heading = ""

    def add(self, tokens: Sequence[Token]) -> None:
        """Add one block."""
        if self.lines and self.lines[-1]:
            self.lines.append("")
        skip = False
        for token in tokens:
            if token.type == "table_open":
                skip = True
                self._table(tokens, token)
            skip = skip and token.type != "table_close"
            if not skip:
                self._add(token)

    def _add(self, token: Token) -> None:
        match token.type:
            case "heading_open":
                self._heading = _BOLD
            case "heading_close":
                self._heading = ""
                self._gap()
            case "paragraph_close":
                if not token.hidden:
                    self._gap()
            case "bullet_list_open":
                self._numbers.append(None)
            case "ordered_list_open":
                self._numbers.append(int(token.attrGet("start") or 1))
            case "bullet_list_close" | "ordered_list_close":
                self._numbers.pop()
            case "list_item_open":
                self._item()
            case "list_item_close" | "blockquote_close":
                self._end()
            case "blockquote_open":
                self._prefixes.append("│ ")
            case "hr":
                self._put([("─" * max(self._width - self._indent(), 1), _DIM)])
            case "fence" | "code_block":
                self._code(token)
            case "formula_block":
                for line in token.content.split("\n"):
                    self._put([(line, "")])
            case "inline":
                self._text(token)
            case _:
                pass  # the beginnings and ends that nothing is shown for

    def _gap(self) -> None:
        """Leave an empty line within a list item or a quotation."""
        if self._prefixes and self.lines and self.lines[-1]:
            self.lines.append("")

    def _item(self) -> None:
        number = self._numbers[-1]
        self._marker = "• " if number is None else f"{number}. "
        if number is not None:
            self._numbers[-1] = number + 1
        self._prefixes.append(" " * len(self._marker))

    def _end(self) -> None:
        if self._marker:
            self._put([])  # an item without text
        self._prefixes.pop()

    def _indent(self) -> int:
        return sum(map(cells, self._prefixes))

    def _text(self, token: Token) -> None:
        style = self._heading
        if token.children is None or not token.children:
            lines: list[list[Span]] = [[(line, style)] for line in token.content.split("\n")]
        else:
            lines = _spans(token.children, style)
        for line in lines:
            self._put(line)

    def _put(self, line: list[Span]) -> None:
        """Add a line, wrapped."""
        for piece in _wrapped(line, max(self._width - self._indent(), 8)):
            prefix = "".join(self._prefixes)
            if self._marker:
                prefix = "".join(self._prefixes[:-1]) + self._marker
                self._marker = ""
            self.lines.append((prefix + "".join(map(_styled, piece))).rstrip())

    def _code(self, token: Token) -> None:
        """Add code: without indent, even in a list, and unwrapped, so that it can be copied from the screen."""
        if self._marker:
            self._put([])
        language = token.info.split()[0] if token.info.strip() else ""
        content = token.content.removesuffix("\n")
        self.lines += _highlighted(content, language)
        self._gap()

    def _table(self, tokens: Sequence[Token], opening: Token) -> None:
        table: list[list[list[Span]]] = []
        start = tokens.index(opening)
        end = next(n for n in range(start, len(tokens)) if tokens[n].type == "table_close")
        for token in tokens[start:end]:
            if token.type == "tr_open":
                table.append([])
            elif token.type == "inline":
                style = "" if len(table) > 1 else _BOLD
                table[-1].append([s for line in _spans(token.children or [], style) for s in line])
        widths = [max(map(_size, column)) for column in zip(*table, strict=True)]
        if sum(widths) + 3 * (len(widths) - 1) > self._width - self._indent():
            for line in opening.content.split("\n"):
                self._put([(line.strip(), "")])
            self._gap()
            return
        for number, row in enumerate(table):
            padded = [
                [*cell, (" " * (width - _size(cell)), "")]
                for cell, width in zip(row, widths, strict=True)
            ]
            joined: list[Span] = []
            for index, cell in enumerate(padded):
                joined += [(" │ ", _DIM), *cell] if index else cell
            self._row(joined)
            if not number:
                self._row([("─┼─".join("─" * width for width in widths), _DIM)])
        self._gap()

    def _row(self, line: list[Span]) -> None:
        prefix = "".join(self._prefixes)
        self.lines.append((prefix + "".join(map(_styled, line))).rstrip())


def _spans(tokens: Sequence[Token], style: str) -> list[list[Span]]:
    """Return the lines of inline tokens."""
    lines: list[list[Span]] = [[]]
    styles = [style] if style else []
    links: list[tuple[str, str]] = []
    for token in tokens:
        kind = token.type.removesuffix("_open").removesuffix("_close")
        now = ";".join(styles)
        match token.type:
            case "softbreak" | "hardbreak":
                lines.append([])
            case "code_inline":
                lines[-1].append((token.content, ";".join([*styles, _CODE])))
            case "image":
                address = str(token.attrGet("src") or "")
                lines[-1].append(
                    (f"{token.content} ({address})" if token.content else address, now)
                )
            case "link_open":
                links.append((str(token.attrGet("href") or ""), str(token.attrGet("title") or "")))
            case "link_close":
                address, title = links.pop()
                shown = "".join(text for line in lines for text, _ in line)
                extra = f' "{title}"' if title else ""
                if extra or not shown.endswith((address, address.removeprefix("mailto:"))):
                    lines[-1].append((f" ({address}{extra})", now))
            case _ if kind in _MARKS:
                if token.nesting > 0:
                    styles.append(_MARKS[kind])
                else:
                    styles.pop()
            case _:
                lines[-1].append((token.content, now))
    return lines


def _size(spans: Sequence[Span]) -> int:
    return sum(cells(text) for text, _ in spans)


_WORDS = re.compile(r"\s+|[^\s]+")


def _wrapped(spans: Sequence[Span], width: int) -> list[list[Span]]:
    """Return a line as lines of at most ``width`` cells: cut at spaces, and within words that are longer."""
    lines: list[list[Span]] = [[]]
    used = 0
    for text, style in spans:
        for word in _WORDS.findall(text):
            size = cells(word)
            if used + size > width and used and not word.isspace():
                lines.append([])
                used = 0
            elif word.isspace() and used + size > width:
                lines.append([])
                used = 0
                continue
            while used + size > width:
                head = _fitting(word, width)
                lines[-1].append((head, style))
                lines.append([])
                word = word[len(head) :]
                size = cells(word)
            lines[-1].append((word, style))
            used += size
    return lines


def _fitting(word: str, width: int) -> str:
    """Return the beginning of a word wider than ``width`` that fits in it; one character at least."""
    count = used = 0
    while used + (size := cells(word[count])) <= width:
        count, used = count + 1, used + size
    return word[: max(count, 1)]


def _styled(span: Span) -> str:
    text, style = span
    if not style or not text.strip() or os.environ.get("NO_COLOR"):
        return text
    return f"\x1b[{style}m{text}\x1b[0m"


_LONGEST_HIGHLIGHT = 4_000


def _highlighted(code: str, language: str) -> list[str]:
    """Return code as lines, in colours if pygments knows the language; no character is added or dropped."""
    if language and len(code) <= _LONGEST_HIGHLIGHT and not os.environ.get("NO_COLOR"):
        pygments = import_module("pygments")
        lexers, formatters = import_module("pygments.lexers"), import_module("pygments.formatters")
        try:
            lexer = lexers.get_lexer_by_name(language, stripnl=False, ensurenl=False)
        except lexers.ClassNotFound:
            return code.split("\n")
        coloured = pygments.highlight(code, lexer, formatters.TerminalFormatter())
        if _COLOURS.sub("", coloured) == code:
            return str(coloured).split("\n")
    return code.split("\n")


_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
