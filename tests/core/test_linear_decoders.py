"""A decoder reads 1 MB of its worst input in time that does not grow with what came before.

Each input takes minutes if the work for a frame grows with the answer. The bound is generous.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from glmclient.core.http import Head
from glmclient.core.limits import Limits
from glmclient.core.sse import SSEParser
from glmclient.core.template import TemplateReader
from glmclient.errors import GLMError, LimitExceeded
from glmclient.providers.chat_completions.answer import AnswerReader
from glmclient.providers.chat_completions.decoder import PlatformDecoder
from glmclient.providers.chat_completions.refusals import Refusals
from glmclient.providers.chatglm.decoder import ChatGLMDecoder
from glmclient.providers.gradio.edits import Work, apply_edits

SIZE = 1_000_000
SECONDS = 10.0
BIG = "x" * 5_000_000
STREAM = Head(200, {"content-type": "text/event-stream"})


def platform(**known: Any) -> Any:
    reader = AnswerReader("x", include_unknown=True, **known)
    return PlatformDecoder(reader, Refusals("x", STREAM, lambda: 0.0), Limits())


def thinking() -> Any:
    return platform(think_tags=True)


def filled(piece: bytes) -> bytes:
    return (piece * (SIZE // len(piece) + 1))[:SIZE]


def delta(**fields: Any) -> bytes:
    return b"data: " + json.dumps({"choices": [{"index": 0, "delta": fields}]}).encode() + b"\n\n"


def fragment(arguments: str, **fields: Any) -> bytes:
    return delta(tool_calls=[{**fields, "function": {"name": "f", "arguments": arguments}}])


def item(key: str, **fields: Any) -> bytes:
    part = {"logic_id": key, "status": "init", "content": [fields]}
    return b"data: " + json.dumps({"status": "init", "parts": [part]}).encode() + b"\n\n"


UNCLOSED = fragment('{"a":"' + BIG + "}")
INPUTS: dict[str, tuple[Callable[[], Any], bytes, bytes]] = {
    # the decoder, what came before, 1 MB
    "fragments of one long call": (platform, UNCLOSED, filled(fragment("}"))),
    "fragments that may be a repeat": (
        platform,
        fragment(BIG, index=0),
        filled(fragment("x", index=0)),
    ),
    "other ids of one long call": (
        platform,
        fragment('{"a":"' + BIG + "}", index=0, id="c"),
        b"".join(fragment("}", index=0, id=f"d{n}") for n in range(9000)),
    ),
    "think tags": (thinking, b"", delta(content="<think></think>" * 70_000)),
    "half tags": (thinking, delta(content=BIG), filled(delta(content="<thin"))),
    "text": (platform, delta(content=BIG), filled(delta(content="a"))),
    "an early part of many": (
        ChatGLMDecoder,
        item("a", type="text", text="x") + item("b", type="text", text=BIG),
        filled(item("a", type="text", text="y") + item("a", type="text", text="z")),
    ),
    "blank lines": (platform, b"", filled(b"\n")),
    "comments": (ChatGLMDecoder, b"", filled(b":\r\n\r")),
    "a comment without an end": (platform, b"", filled(b":")),
    "backslashes": (ChatGLMDecoder, b"", b'data: {"a":"' + filled(b"\\") + b'"}\n\n'),
    "nested lists": (platform, b"", b"data: " + filled(b"[") + b"\n\n"),
    "nested objects": (ChatGLMDecoder, b"", b"data: " + filled(b'{"a":') + b"\n\n"),
    "digits": (platform, b"", b"data: " + filled(b"9") + b"\n\n"),
}


@pytest.mark.parametrize("name", INPUTS)
def test_a_decoder_takes_linear_time(name: str) -> None:
    make, before, data = INPUTS[name]
    decoder = make()
    out: list[Any] = []
    decoder.feed(before, out)
    began = time.perf_counter()
    with contextlib.suppress(GLMError):
        decoder.feed(data, out)
    assert time.perf_counter() - began < SECONDS


def test_lines_of_a_small_bound_are_skipped_in_linear_time() -> None:
    began = time.perf_counter()
    parser = SSEParser(max_line=3)
    assert list(parser.feed(b"\n" * SIZE)) == []
    with pytest.raises(LimitExceeded):
        list(parser.feed(b":1234\n"))
    assert time.perf_counter() - began < SECONDS


@pytest.mark.parametrize(
    "silence",
    [
        *(
            b"\n",
            b"\r",
            b"\r\n",
            b"\n\n\n",
            b"\r\r",
            b"\r\n\r\n",
            b":\n",
            b":a\r\n:b\r",
            b": c\n\n",
        ),
        *(b"\n:\n", b"::\r\n\r\n", b":HTTP_STATUS/500\n\n", b":HTTP\n", b":\xff\n"),
    ],
)
@pytest.mark.parametrize("before", [b"", b"\xef\xbb\xbf", b"id: 7\n", b"data: a\n\n", b"data: a\n"])
def test_comments_and_blank_lines_between_frames(silence: bytes, before: bytes) -> None:
    """Skipped as a run, they change as much as one by one: the frames, their ids, and the line end that is held."""
    stream = before + silence * 3 + b"data: b\n\n"
    single = SSEParser(errors=True)
    expected = [frame for byte in stream for frame in single.feed(bytes([byte]))]
    for cut in range(len(stream) + 1):
        parser = SSEParser(errors=True)
        frames = [*parser.feed(stream[:cut]), *parser.feed(stream[cut:])]
        assert frames == expected
        assert (parser.last_event_id, parser.status) == (single.last_event_id, single.status)
        reader = TemplateReader(errors=True)
        assert [*reader.feed(stream[:cut]), *reader.feed(stream[cut:])] == expected


@pytest.mark.parametrize(
    "edits",
    [
        [["add", [0], 0]] * 400_000,
        [["add", [1], 0], ["delete", [1], None]] * 200_000,
        [["append", [0, 1], "x"]] * 400_000,
    ],
    ids=lambda edits: edits[0][0],
)
def test_edits_that_move_much_end_at_a_bound(edits: list[Any]) -> None:
    value = [["q", BIG], *([0] * 100_000)]
    began = time.perf_counter()
    with pytest.raises(LimitExceeded) as caught:
        apply_edits(value, edits, Work())
    assert caught.value.limit == "rewrites"
    assert time.perf_counter() - began < SECONDS
