"""The rules of the event stream format as data: each case is named after the rule it tests.

Section numbers are those of the WHATWG HTML standard: §9.2.5 is the grammar, §9.2.6 says what the
fields mean.
"""

from __future__ import annotations

from typing import NamedTuple

from glmclient.core.sse import Frame


class Case(NamedTuple):
    """Bytes, and what they must give."""

    rule: str
    raw: bytes
    frames: list[Frame]
    last_event_id: str = ""
    retry: int | None = None
    pending: bool = False


def _texts(*texts: str) -> list[Frame]:
    return [Frame(text) for text in texts]


_BOM = b"\xef\xbb\xbf"

LINE_ENDS = [
    Case("LF ends a line", b"data: a\ndata: b\n\n", _texts("a\nb")),
    Case("CRLF ends a line once", b"data: a\r\ndata: b\r\n\r\n", _texts("a\nb")),
    Case("CR ends a line", b"data: a\rdata: b\r\r", _texts("a\nb")),
    Case("LF after CRLF is a blank line", b"data: a\r\n\ndata: b\r\n\n", _texts("a", "b")),
    Case("CR after LF is a blank line", b"data: a\n\rdata: b\n\r", _texts("a", "b")),
    Case("CR CRLF is a line end and a blank line", b"data: a\r\r\ndata: b\n\n", _texts("a", "b")),
    Case(
        "CR CR LF LF is a line end and two blank lines",
        b"data: a\r\r\n\ndata: b\r\r\n\n",
        _texts("a", "b"),
    ),
    Case(
        "three ends in one stream",
        b"data: a\ndata: b\rdata: c\r\n\r\ndata: d\r\r",
        _texts("a\nb\nc", "d"),
    ),
    Case("a last CR ends the blank line at once", b"data: a\r\n\r", _texts("a")),
    Case(
        "a blank CR line before LF fields",
        b"data: a\n\ndata: b\r\rdata: c\n\n",
        _texts("a", "b", "c"),
    ),
    Case("VT and FF are text", b"data: a\x0bb\x0cc\n\n", _texts("a\x0bb\x0cc")),
    Case("FS, GS and RS are text", b"data: a\x1cb\x1dc\x1ed\n\n", _texts("a\x1cb\x1dc\x1ed")),
    Case("NEL (U+0085) is text", "data: a\u0085b\n\n".encode(), _texts("a\u0085b")),
    Case("LINE SEPARATOR (U+2028) is text", "data: a\u2028b\n\n".encode(), _texts("a\u2028b")),
    Case("PARAGRAPH SEPARATOR (U+2029) is text", "data: a\u2029b\n\n".encode(), _texts("a\u2029b")),
    Case("blank lines before the first field", b"\n\r\n\rdata: a\n\n", _texts("a")),
    Case(
        "many blank lines between frames", b"data: a\n\n\n\r\n\r\rdata: b\n\n\n\n", _texts("a", "b")
    ),
]

STARTS = [
    Case("one BOM at the start is dropped", _BOM + b"data: a\n\n", _texts("a")),
    Case("a BOM before a CRLF line", _BOM + b"data: a\r\n\r\n", _texts("a")),
    Case(
        "a second BOM belongs to the field name",
        _BOM + _BOM + b"data: a\n\ndata: b\n\n",
        _texts("b"),
    ),
    Case(
        "a BOM on a later line belongs to the name",
        b"\n" + _BOM + b"data: a\n\ndata: b\n\n",
        _texts("b"),
    ),
    Case("a BOM after a comment belongs to the name", b":\n" + _BOM + b"data: a\n\n", []),
    Case("a BOM in a value is text", b"data: " + _BOM + b"a\n\n", _texts("\ufeffa")),
    Case(
        "a BOM in the second frame belongs to the name",
        b"data: a\n\n" + _BOM + b"data: b\n\n",
        _texts("a"),
    ),
    Case("a BOM and a comment", _BOM + b": hi\ndata: a\n\n", _texts("a")),
    Case("a BOM and a blank line", _BOM + b"\n" + _BOM + b"data: a\n\ndata: b\n\n", _texts("b")),
    Case("a BOM alone", _BOM, [], pending=True),
    Case("a cut BOM is no BOM", b"\xef\xbbdata: a\n\ndata: b\n\n", _texts("b")),
    Case("nothing at all", b"", []),
]

FIELDS = [
    Case("one space after the colon is dropped", b"data: a\n\n", _texts("a")),
    Case("the space may be missing", b"data:a\n\n", _texts("a")),
    Case("only one space is dropped", b"data:  a\n\n", _texts(" a")),
    Case("trailing spaces stay", b"data: a  \n\n", _texts("a  ")),
    Case("a tab after the colon stays", b"data:\ta\n\n", _texts("\ta")),
    Case("a no-break space after the colon stays", "data:\u00a0a\n\n".encode(), _texts("\u00a0a")),
    Case("a colon in the value stays", b"data:a:b: c\n\n", _texts("a:b: c")),
    Case("a value of one colon", b"data::\n\n", _texts(":")),
    Case("a line without a colon is a name with an empty value", b"data\n\n", _texts("")),
    Case("an empty value", b"data:\n\n", _texts("")),
    Case("a value of one space", b"data: \n\n", _texts("")),
    Case("two data lines without values are one line feed", b"data\ndata\n\n", _texts("\n")),
    Case("three data lines without values", b"data:\ndata\ndata: \n\n", _texts("\n\n")),
    Case("an empty line between two values", b"data: a\ndata:\ndata: b\n\n", _texts("a\n\nb")),
    Case(
        "only the last of the joining line feeds is dropped", b"data: a\ndata:\n\n", _texts("a\n")
    ),
    Case("names are case-sensitive", b"Data: a\nDATA: b\ndata: c\n\n", _texts("c")),
    Case("a space before the colon makes another name", b"data : a\ndata: b\n\n", _texts("b")),
    Case("a leading space makes another name", b" data: a\ndata: b\n\n", _texts("b")),
    Case("a leading tab makes another name", b"\tdata: a\ndata: b\n\n", _texts("b")),
    Case("a longer name is another name", b"datax: a\ndata: b\n\n", _texts("b")),
    Case("a shorter name is another name", b"dat: a\ndata: b\n\n", _texts("b")),
    Case("a NUL in a name makes another name", b"da\0ta: a\ndata: b\n\n", _texts("b")),
    Case("unknown fields are ignored", b"foo: a\nbar\ndata: b\nbaz:\n\n", _texts("b")),
    Case("a NUL in a value is text", b"data: a\0b\n\n", _texts("a\0b")),
    Case("a comment is ignored", b": data: x\ndata: a\n:\n: \n:y\ndata: b\n\n", _texts("a\nb")),
    Case("a comment alone dispatches nothing", b": ping\n\n", []),
    Case("a comment between blank lines", b"data: a\n\n: ping\n\ndata: b\n\n", _texts("a", "b")),
    Case(
        "a comment may be long and odd",
        b":" + b"\0\xff data: x" * 9 + b"\ndata: a\n\n",
        _texts("a"),
    ),
]

DISPATCH = [
    Case("a blank line dispatches", b"data: a\n\ndata: b\n\n", _texts("a", "b")),
    Case("an unterminated frame is dropped", b"data: a\n\ndata: b\n", _texts("a"), pending=True),
    Case("an unterminated line is dropped", b"data: a\n\ndata: b", _texts("a"), pending=True),
    Case("a line end alone dispatches nothing", b"data: a\n", [], pending=True),
    Case("an empty data line dispatches an empty frame", b"data\n\n", _texts("")),
    Case(
        "the data is empty again after a dispatch",
        b"data: a\n\ndata\n\ndata: b\n\n",
        _texts("a", "", "b"),
    ),
    Case("no data line, no frame", b"event: x\n\nid: 1\n\nretry: 2\n\n", [], "1", 2),
    Case("a frame may end with other fields", b"data: a\nfoo: b\n\n", _texts("a")),
]

TYPES = [
    Case("event names the type", b"event: add\ndata: a\n\n", [Frame("a", "add")]),
    Case("event may follow data", b"data: a\nevent: add\n\n", [Frame("a", "add")]),
    Case(
        "the last event field of a frame counts",
        b"event: x\nevent: y\ndata: a\n\n",
        [Frame("a", "y")],
    ),
    Case("an empty type is message", b"event:\ndata: a\n\n", _texts("a")),
    Case("an empty type takes an earlier one back", b"event: x\nevent\ndata: a\n\n", _texts("a")),
    Case(
        "the type is reset by a dispatch",
        b"event: x\ndata: a\n\ndata: b\n\n",
        [Frame("a", "x"), Frame("b")],
    ),
    Case("the type is reset by a blank line without data", b"event: x\n\ndata: a\n\n", _texts("a")),
    Case("one space before a type is dropped", b"event:  x \ndata: a\n\n", [Frame("a", " x ")]),
    Case("a type may be message", b"event: message\ndata: a\n\n", _texts("a")),
    Case(
        "a type may hold any character", "event: 加\0\ndata: a\n\n".encode(), [Frame("a", "加\0")]
    ),
    Case("a type at the end is dropped", b"data: a\n\nevent: x\n", _texts("a"), pending=True),
]

IDS = [
    Case("id is the last event id", b"id: 1\ndata: a\n\n", [Frame("a", id="1")], "1"),
    Case("id may follow data", b"data: a\nid: 1\n\n", [Frame("a", id="1")], "1"),
    Case(
        "an id stays for later frames",
        b"id: 1\ndata: a\n\ndata: b\n\n",
        [Frame("a", id="1"), Frame("b", id="1")],
        "1",
    ),
    Case(
        "an empty id resets it",
        b"id: 1\ndata: a\n\nid\ndata: b\n\n",
        [Frame("a", id="1"), Frame("b")],
        "",
    ),
    Case(
        "an id without a value resets it",
        b"id: 1\ndata: a\n\nid:\ndata: b\n\n",
        [Frame("a", id="1"), Frame("b")],
        "",
    ),
    Case("an id with a NUL is ignored", b"id: 1\nid: 2\0\ndata: a\n\n", [Frame("a", id="1")], "1"),
    Case("an id of a NUL is ignored", b"id: \0\ndata: a\n\n", _texts("a"), ""),
    Case(
        "an id with a NUL keeps the last one",
        b"id: 1\n\nid: 2\x003\ndata: a\n\n",
        [Frame("a", id="1")],
        "1",
    ),
    Case(
        "a blank line without data makes an id current",
        b"id: 7\n\ndata: a\n\n",
        [Frame("a", id="7")],
        "7",
    ),
    Case("an id before the end of the stream is not current", b"id: 1\n\nid: 2\n", [], "1"),
    Case(
        "an unterminated frame leaves the id",
        b"id: 1\ndata: a\n\nid: 2\ndata: b\n",
        [Frame("a", id="1")],
        "1",
        None,
        True,
    ),
    Case("an id is text", "id: …é \ndata: a\n\n".encode(), [Frame("a", id="…é ")], "…é "),
    Case(
        "only one space before an id is dropped",
        b"id:  1\ndata: a\n\n",
        [Frame("a", id=" 1")],
        " 1",
    ),
]

RETRY = [
    Case("retry is a number of ASCII digits", b"retry: 1500\ndata: a\n\n", _texts("a"), retry=1500),
    Case("retry counts at once, without a frame", b"retry: 3\n", [], retry=3),
    Case("the last retry counts", b"retry: 1\nretry: 2\n\n", [], retry=2),
    Case("retry has base ten, leading zeros too", b"retry: 0042\n\n", [], retry=42),
    Case("retry may be zero", b"retry:0\n\n", [], retry=0),
    Case("retry with other characters is ignored", b"retry: 1\nretry: 2x\n\n", [], retry=1),
    Case("retry with a sign is ignored", b"retry: +1\nretry: -1\n\n", []),
    Case("retry with a point is ignored", b"retry: 1.5\n\n", []),
    Case("retry with an underscore is ignored", b"retry: 1_0\n\n", []),
    Case("retry with a space is ignored", b"retry:  1\nretry: 1 \n\n", []),
    Case("an empty retry is ignored", b"retry: 5\nretry\nretry:\n\n", [], retry=5),
    Case(
        "retry with digits of other scripts is ignored",
        "retry: ١٢٣\nretry: ²\n\n".encode(),
        [],
    ),
    Case("a retry too long to be a time is ignored", b"retry: " + b"9" * 19 + b"\n\n", []),
]

CHARACTERS = [
    Case("UTF-8 of every length", "data: aé你😀\n\n".encode(), _texts("aé你😀")),
    Case("a lone continuation byte is replaced", b"data: a\x80b\n\n", _texts("a\ufffdb")),
    Case(
        "a cut character is replaced at its line's end",
        b"data: a\xe4\xbd\ndata: b\n\n",
        _texts("a\ufffd\nb"),
    ),
    Case(
        "a cut character does not reach over a CR",
        b"data: \xf0\x9f\x98\rdata: \x80\r\r",
        _texts("\ufffd\n\ufffd"),
    ),
    Case("an impossible byte is replaced", b"data: \xff\xfe\n\n", _texts("\ufffd\ufffd")),
    Case(
        "an encoded surrogate is replaced", b"data: \xed\xa0\x80\n\n", _texts("\ufffd\ufffd\ufffd")
    ),
    Case("an overlong form is replaced", b"data: \xc0\xaf\n\n", _texts("\ufffd\ufffd")),
    Case(
        "a code point above U+10FFFF is replaced",
        b"data: \xf4\x90\x80\x80\n\n",
        _texts("\ufffd" * 4),
    ),
    Case(
        "characters that need two code units elsewhere",
        "data: \U0001f468\u200d\U0001f469\n\n".encode(),
        _texts("\U0001f468\u200d\U0001f469"),
    ),
    Case("an invalid byte in a name makes another name", b"data\xff: a\ndata: b\n\n", _texts("b")),
    Case("the stream is UTF-8 whatever it is", "data: é\n\n".encode("latin-1"), _texts("\ufffd")),
]

EXAMPLES = [
    Case(
        "§9.2.6, the stock ticker: lines of one frame",
        b"data: YHOO\ndata: +2\ndata: 10\n\n",
        _texts("YHOO\n+2\n10"),
    ),
    Case(
        "§9.2.6, four blocks: a comment, an id, an id taken back, a tail",
        b": test stream\n\ndata: first event\nid: 1\n\n"
        b"data:second event\nid\n\ndata:  third event\n",
        [Frame("first event", id="1"), Frame("second event")],
        "",
        None,
        True,
    ),
    Case(
        "§9.2.6, an empty frame, a line feed, and a dropped tail",
        b"data\n\ndata\ndata\n\ndata:",
        _texts("", "\n"),
        pending=True,
    ),
    Case(
        "§9.2.6, the same with and without the space",
        b"data:test\n\ndata: test\n\n",
        _texts("test", "test"),
    ),
    Case(
        "§9.2.1, named events",
        b"event: add\ndata: 73857293\n\nevent: remove\ndata: 2153\n\nevent: add\ndata: 113411\n\n",
        [Frame("73857293", "add"), Frame("2153", "remove"), Frame("113411", "add")],
    ),
    Case(
        "everything at once",
        _BOM
        + b": c\r\nretry: 10\r\nid: 9\r\nevent: e\r\ndata: 1\r\ndata: 2\r\n\r\ndata: [DONE]\n\n",
        [Frame("1\n2", "e", "9"), Frame("[DONE]", id="9")],
        "9",
        10,
    ),
]

CASES = [*LINE_ENDS, *STARTS, *FIELDS, *DISPATCH, *TYPES, *IDS, *RETRY, *CHARACTERS, *EXAMPLES]
