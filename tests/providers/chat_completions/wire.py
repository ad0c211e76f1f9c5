"""Streams as the services write them, with what they mean: ``docs/wire/open-platform.md`` §2 and §5.

Those of §2.1 and §2.2 are recorded bytes; the others are as the page describes them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from glmclient.events import (
    Event,
    Finish,
    ReasoningDelta,
    SearchResult,
    SearchResults,
    TextDelta,
    TextReplace,
    ToolCallDelta,
    Unknown,
    Usage,
)

from .driving import frames


@dataclass(frozen=True)
class Row:
    """One stream and its meaning."""

    name: str
    raw: bytes
    events: list[Event]
    options: dict[str, Any] = field(default_factory=dict)


def chunk(
    delta: dict[str, Any] | None = None, reason: str | None = None, **more: Any
) -> dict[str, Any]:
    """Return a chunk as the platform writes it."""
    choice: dict[str, Any] = {"index": 0}
    if reason is not None:
        choice["finish_reason"] = reason
    if delta is not None:
        choice["delta"] = delta
    return {"id": "2025", "created": 1758884740, "model": "glm-4.6", "choices": [choice], **more}


def calls(*fragments: dict[str, Any], reason: str | None = None, **more: Any) -> dict[str, Any]:
    """Return a chunk with fragments of tool calls."""
    return chunk({"tool_calls": list(fragments)}, reason, **more)


def end(reason: str | None = "stop", **fields: Any) -> Finish:
    """Return the end of a stream of `chunk`."""
    known = {
        "stop": "stop",
        "tool_calls": "tool_calls",
        "length": "length",
        "model_context_window_exceeded": "length",
        "sensitive": "content_filter",
    }
    return Finish(
        known.get(reason or "", "other"),  # type: ignore[arg-type]
        **{"raw_reason": reason, "model": "glm-4.6", "response_id": "2025", **fields},
    )


USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
COUNTED = Usage(10, 5, 15)

RECORDINGS = Path(__file__).parent / "recordings"
REASONING_RECORDED = (RECORDINGS / "glm-4.5-reasoning.sse").read_bytes()
TOOLS_RECORDED = (RECORDINGS / "glm-4.5-tool-calls.sse").read_bytes()

SUM = '{"a": 2, "b": 3}'

PLATFORM = [
    Row(
        "§2.1 reasoning, then text (recorded)",
        REASONING_RECORDED,
        [
            ReasoningDelta("The"),
            ReasoningDelta(" person"),
            ReasoningDelta(" "),
            TextDelta("!"),
            TextDelta(" That"),
            Finish(
                "stop",
                usage=Usage(18, 202, 220, cached_tokens=0),
                raw_reason="stop",
                model="glm-4.5",
                response_id="20250926190540c29952ed24ae4570",
            ),
        ],
    ),
    Row(
        "§2.1 a newline before the first thought and after it stays",
        frames(
            chunk({"role": "assistant", "content": "\n"}),
            chunk({"role": "assistant", "content": "", "reasoning_content": "\n"}),
            chunk({"role": "assistant", "content": "\n", "reasoning_content": ""}),
            chunk({"content": "Hi"}, "stop"),
        ),
        [TextDelta("\n"), ReasoningDelta("\n"), TextDelta("\n"), TextDelta("Hi"), end()],
    ),
    Row(
        "§2.2 two tool calls, each with a finish reason (recorded)",
        TOOLS_RECORDED,
        [
            ToolCallDelta(0, "call_2dbb7568bf254f7cb91b4a09", "add", SUM),
            ToolCallDelta(1, "call_88cb0be022f94339af640b13", "multiply", SUM),
            Finish(
                "tool_calls",
                usage=Usage(282, 178, 460, cached_tokens=43),
                raw_reason="tool_calls",
                model="glm-4.5",
                response_id="20250926190620c633be90e4bb4b9f",
            ),
        ],
    ),
    Row(
        "§2.2 glm-4.6v: a finish reason on the last chunk alone",
        frames(
            calls(
                {
                    "id": "call_6",
                    "index": 0,
                    "type": "function",
                    "function": {"name": "w", "arguments": '{"l":"F"}'},
                }
            ),
            chunk({"role": "assistant", "content": ""}, "tool_calls", usage=USAGE),
        ),
        [ToolCallDelta(0, "call_6", "w", '{"l":"F"}'), end("tool_calls", usage=COUNTED)],
    ),
    Row(
        "§2.3 tool_stream: arguments in fragments, the last one beside the finish reason",
        frames(
            calls(
                {
                    "index": 0,
                    "id": "call_a1",
                    "type": "function",
                    "function": {"name": "weather", "arguments": ""},
                }
            ),
            calls({"index": 0, "function": {"arguments": '{"loc'}}),
            calls({"index": 0, "function": {"arguments": ""}}),  # nothing new
            calls({"index": 0, "function": {"arguments": 'ation":"Florence"'}}),
            calls({"index": 0, "function": {"arguments": "}"}}, reason="tool_calls"),
        ),
        [
            ToolCallDelta(0, "call_a1", "weather", ""),
            ToolCallDelta(0, "", "", '{"loc'),
            ToolCallDelta(0, "", "", 'ation":"Florence"'),
            ToolCallDelta(0, "", "", "}"),
            end("tool_calls"),
        ],
    ),
    Row(
        "§2.4 usage in a chunk of its own, details, and the last one wins",
        frames(
            chunk(
                {"content": "a"},
                usage={"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
            ),
            chunk(
                {"content": ""},
                "stop",
                usage={"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
            ),
            {
                "id": "2025",
                "model": "glm-4.6",
                "choices": [],
                "usage": {**USAGE, "completion_tokens_details": {"reasoning_tokens": 4}},
            },
        ),
        [TextDelta("a"), end(usage=Usage(10, 5, 15, reasoning_tokens=4))],
    ),
    Row(
        "§2.4 usage without a total, and with what is no number",
        frames(
            chunk(
                {"content": "a"},
                "stop",
                usage={
                    "prompt_tokens": 2,
                    "completion_tokens": None,
                    "prompt_tokens_details": {"cached_tokens": "x"},
                },
            )
        ),
        [TextDelta("a"), end(usage=Usage(2, 0, 2))],
    ),
    Row(
        "§2.5 length",
        frames(chunk({"content": "a"}, "length")),
        [TextDelta("a"), end("length")],
    ),
    Row(
        "§2.5 model_context_window_exceeded",
        frames(chunk({"content": "a"}, "model_context_window_exceeded")),
        [TextDelta("a"), end("model_context_window_exceeded")],
    ),
    Row(
        "§2.5 sensitive",
        frames(
            chunk(
                {"role": "assistant", "content": ""},
                "sensitive",
                content_filter=[{"role": "assistant", "level": 1}],
                usage=USAGE,
            )
        ),
        [end("sensitive", usage=COUNTED)],
    ),
    Row(
        "§2.5 a reason that nobody knows",
        frames(chunk({"content": "a"}, "function_call")),
        [TextDelta("a"), end("function_call")],
    ),
    Row(
        "§2.6 sources before the text",
        frames(
            chunk(
                {"role": "assistant", "content": ""},
                web_search=[
                    {
                        "title": "T",
                        "content": "C",
                        "link": "https://example.org",
                        "media": "M",
                        "icon": "https://example.org/i",
                        "refer": "ref_1",
                        "publish_date": "2025-08-01",
                    },
                    {"title": None, "link": "https://example.net"},
                    "no object",
                ],
            ),
            chunk({"content": "see [ref_1]"}, "stop"),
        ),
        [
            SearchResults(
                (
                    SearchResult("T", "https://example.org", "C", "ref_1", "M", "2025-08-01"),
                    SearchResult("", "https://example.net"),
                )
            ),
            TextDelta("see [ref_1]"),
            end(),
        ],
    ),
    Row(
        "§2.6 sources on the last chunk; none are none",
        frames(
            chunk({"content": "a"}, web_search=[]),
            chunk({"content": "b"}, web_search=None),
            chunk({"content": ""}, "stop", web_search=[{"title": "T", "link": "u"}]),
        ),
        [TextDelta("a"), TextDelta("b"), SearchResults((SearchResult("T", "u"),)), end()],
    ),
    Row(
        "§2.8 silence: thinking alone, and an empty answer, are no error",
        frames(chunk({"reasoning_content": "hm"}), chunk({"content": ""}, "stop")),
        [ReasoningDelta("hm"), end()],
    ),
    Row(
        "§2.8 the end of the body after a finish reason",
        frames(chunk({"content": "a"}, "stop"), done=False),
        [TextDelta("a"), end()],
    ),
    Row(
        "§2.8 a last frame without its blank line",
        frames(chunk({"content": "a"}), chunk({"content": "b"}, "stop", usage=USAGE), done=False)[
            :-2
        ],
        [TextDelta("a"), TextDelta("b"), end(usage=COUNTED)],
    ),
    Row(
        "§2.8 an end mark without its blank line, and no finish reason",
        frames(chunk({"content": "a"}))[:-2],
        [TextDelta("a"), end(None)],
    ),
    Row(
        "§2.8 what follows the end mark is not read",
        frames(chunk({"content": "a"}, "stop")) + frames(chunk({"content": "b"}), "no JSON"),
        [TextDelta("a"), end()],
    ),
    Row(
        "§2 comments, heartbeats, ids, other line ends and a BOM",
        b"\xef\xbb\xbf\n: OPENROUTER PROCESSING\n\nid: 1\r\nevent: message\r\ndata:"
        + json.dumps(chunk({"content": "\u2028雪"}, "stop"), ensure_ascii=False).encode()
        + b"\r\n\r\n:\rdata:\r\rdata:  [DONE] \r\r",
        [TextDelta("\u2028雪"), end()],
    ),
    Row(
        "§2 newer stacks: object, request_id and null reasons",
        frames(
            chunk({"content": "a"}, object="chat.completion.chunk", request_id="r1"),
            {"request_id": "r1", "choices": [{"delta": {"content": "b"}, "finish_reason": None}]},
            {"choices": [{"finish_reason": "stop"}]},
        ),
        [TextDelta("a"), TextDelta("b"), end(request_id="r1")],
    ),
]

SERVERS = [
    Row(
        "vLLM",
        frames(
            {
                "id": "chatcmpl-1",
                "object": "chat.completion.chunk",
                "created": 1,
                "model": "zai-org/GLM-4.6",
                "choices": [
                    {
                        "index": 0,
                        "delta": {"role": "assistant", "content": ""},
                        "logprobs": None,
                        "finish_reason": None,
                    }
                ],
            },
            {
                "choices": [
                    {
                        "index": 0,
                        "delta": {"reasoning": "Simple"},
                        "finish_reason": None,
                        "token_ids": None,
                    }
                ]
            },
            {
                "choices": [
                    {
                        "index": 0,
                        "delta": {"content": "Hi"},
                        "finish_reason": "stop",
                        "stop_reason": 151336,
                    }
                ]
            },
            {"id": "chatcmpl-1", "model": "zai-org/GLM-4.6", "choices": [], "usage": USAGE},
        ),
        [
            ReasoningDelta("Simple"),
            TextDelta("Hi"),
            Finish("stop", COUNTED, "stop", model="zai-org/GLM-4.6", response_id="chatcmpl-1"),
        ],
    ),
    Row(
        "vLLM of November 2025: both names of the thinking",
        frames(
            {"choices": [{"delta": {"reasoning": "S", "reasoning_content": "S"}}]},
            chunk({"content": "a"}, "stop"),
        ),
        [ReasoningDelta("S"), TextDelta("a"), end()],
    ),
    Row(
        "vLLM: the last fragment of the arguments on the finish chunk",
        frames(
            calls(
                {
                    "index": 0,
                    "id": "c",
                    "type": "function",
                    "function": {"name": "f", "arguments": "{"},
                }
            ),
            calls({"index": 0, "function": {"arguments": "}"}}, reason="tool_calls"),
            {"choices": [], "usage": None},
        ),
        [
            ToolCallDelta(0, "c", "f", "{"),
            ToolCallDelta(0, "", "", "}"),
            Finish("tool_calls", raw_reason="tool_calls", model="glm-4.6", response_id="2025"),
        ],
    ),
    Row(
        "SGLang, older: nulls everywhere",
        frames(
            {
                "id": "x",
                "object": "chat.completion.chunk",
                "created": 1,
                "model": "GLM-4.6",
                "choices": [
                    {
                        "index": 0,
                        "delta": {
                            "role": None,
                            "content": None,
                            "reasoning_content": "Simple",
                            "tool_calls": None,
                        },
                        "logprobs": None,
                        "finish_reason": None,
                        "matched_stop": None,
                    }
                ],
                "usage": None,
            },
            {
                "choices": [
                    {
                        "index": 0,
                        "delta": {
                            "content": None,
                            "tool_calls": [
                                {
                                    "index": 0,
                                    "id": "call_1",
                                    "function": {"name": "f", "arguments": ""},
                                }
                            ],
                        },
                    }
                ],
                "usage": None,
            },
            {
                "choices": [
                    {
                        "index": 0,
                        "delta": {
                            "tool_calls": [
                                {
                                    "index": 0,
                                    "id": None,
                                    "function": {"name": None, "arguments": "{}"},
                                }
                            ]
                        },
                    }
                ]
            },
            {
                "choices": [
                    {"index": 0, "delta": {}, "finish_reason": "abort", "matched_stop": 151336}
                ]
            },
            {"id": "x", "model": "GLM-4.6", "choices": None},
        ),
        [
            ReasoningDelta("Simple"),
            ToolCallDelta(0, "call_1", "f", ""),
            ToolCallDelta(0, "", "", "{}"),
            Finish("other", None, "abort", model="GLM-4.6", response_id="x"),
        ],
    ),
    Row(
        "Ollama: a role and empty content on every chunk",
        frames(
            *(
                {
                    "id": "chatcmpl-1",
                    "object": "chat.completion.chunk",
                    "model": "glm-4.7-flash",
                    "system_fingerprint": "fp_ollama",
                    "choices": [
                        {
                            "index": 0,
                            "delta": {"role": "assistant", "content": "", **delta},
                            **reason,
                        }
                    ],
                }
                for delta, reason in [
                    ({"reasoning": "Simple"}, {"finish_reason": None}),
                    ({"content": "Hi"}, {"finish_reason": None}),
                    (
                        {
                            "tool_calls": [
                                {
                                    "id": "c",
                                    "index": 0,
                                    "function": {"name": "f", "arguments": "{}"},
                                }
                            ]
                        },
                        {},
                    ),
                    ({}, {"finish_reason": "tool_calls"}),
                ]
            )
        ),
        [
            ReasoningDelta("Simple"),
            TextDelta("Hi"),
            ToolCallDelta(0, "c", "f", "{}"),
            Finish(
                "tool_calls", None, "tool_calls", model="glm-4.7-flash", response_id="chatcmpl-1"
            ),
        ],
    ),
    Row(
        "nothing required, nothing of the wrong kind in the way",
        frames(
            {},
            {"choices": None},
            {"choices": "x"},
            {
                "choices": [
                    "x",
                    {"delta": "x"},
                    {"delta": {"tool_calls": "x"}},
                    {"delta": {"tool_calls": ["x"]}},
                ]
            },
            {
                "error": None,
                "choices": [{"delta": {"content": "a", "reasoning": 1, "refusal": None}}],
            },
            {
                "error": "",
                "choices": [{"delta": {"content": ["parts"], "tool_calls": [{"type": "mcp"}]}}],
            },
            {
                "id": 1,
                "model": None,
                "usage": [],
                "choices": [{"index": 1, "delta": {"content": "another answer"}}],
            },
        ),
        [TextDelta("a"), TextDelta("parts"), Finish("other")],
    ),
    Row(
        "text and thinking in parts",
        frames(
            chunk({"content": [{"type": "text", "text": "Hi"}]}),
            chunk(
                {
                    "content": [
                        {
                            "type": "thinking",
                            "thinking": [{"type": "text", "text": "h"}, {"text": "m"}, {"x": 1}],
                        },
                        {"type": "output_text", "text": " you"},
                        {"type": "text", "text": ""},
                        {"type": "text", "text": {"value": "!"}},
                    ]
                }
            ),
            chunk({"content": {"type": "text", "text": " One"}}),
            chunk(
                {
                    "content": [
                        {"type": "thinking", "thinking": ""},
                        {"type": "reasoning", "text": "so"},
                    ]
                }
            ),
            chunk(
                {"reasoning_content": [{"type": "text", "text": "r"}, {"type": "text", "text": ""}]}
            ),
            chunk({"content": [{"type": "thinking", "data": 1}]}, "stop"),
        ),
        [
            TextDelta("Hi"),
            ReasoningDelta("hm"),
            TextDelta(" you"),
            TextDelta("!"),
            TextDelta(" One"),
            ReasoningDelta("so"),
            ReasoningDelta("r"),
            Unknown("content", '{"type": "thinking", "data": 1}'),
            end(),
        ],
        {"include_unknown": True},
    ),
    Row(
        "what no event describes, on request",
        frames(
            {
                "choices": [{"index": 1, "delta": {"content": "x"}}],
                "created": 1,
                "content_filter": [{"level": 0}],
            },
            {
                "choices": [
                    {
                        "delta": {
                            "content": ["p"],
                            "reasoning": 1,
                            "role": "assistant",
                            "audio": {"id": "é"},
                        }
                    }
                ]
            },
            {
                "choices": [
                    {
                        "delta": {"tool_calls": [{"type": "mcp"}]},
                        "matched_stop": 0,
                        "logprobs": None,
                    }
                ]
            },
            {"type": "ping"},
        ),
        [
            Unknown("choice", '{"index": 1, "delta": {"content": "x"}}'),
            Unknown("content_filter", '[{"level": 0}]'),
            Unknown("reasoning", "1"),
            TextDelta("p"),
            Unknown("audio", '{"id": "é"}'),
            Unknown("tool_calls", '{"type": "mcp"}'),
            Unknown("matched_stop", "0"),
            Unknown("type", '"ping"'),
            Finish("other"),
        ],
        {"include_unknown": True},
    ),
    Row(
        "a refusal of the model, in its own words",
        frames(chunk({"refusal": "I can"}), chunk({"refusal": "not."}, "stop")),
        [end(message="I cannot.")],
    ),
    Row(
        "a gateway that adds the whole message to its last chunk",
        frames(
            chunk({"content": "a"}),
            {
                **chunk(None, "stop"),
                "choices": [{"message": {"content": "a"}, "finish_reason": "stop"}],
            },
        ),
        [TextDelta("a"), end()],
    ),
    Row(
        "thinking in tags",
        frames(
            chunk({"content": "<think>h"}),
            chunk({"content": "m</th"}),
            chunk({"content": "ink>\n\nHi"}, "stop"),
        ),
        [ReasoningDelta("h"), ReasoningDelta("m"), TextDelta("\n\nHi"), end()],
        {"think_tags": True},
    ),
    Row(
        "thinking with a closing tag alone, and a tag that is none at the end",
        frames(chunk({"content": "hm"}), chunk({"content": "m</think>Hi <th"}, "stop")),
        [
            TextDelta("hm"),
            TextDelta("m"),
            TextReplace(0, ""),
            ReasoningDelta("hmm"),
            TextDelta("Hi "),
            TextDelta("<th"),
            end(),
        ],
        {"think_tags": True},
    ),
    Row(
        "thinking in a field: a closing tag alone is text",
        frames(chunk({"reasoning": "hm"}), chunk({"content": "say </think>"}, "stop")),
        [ReasoningDelta("hm"), TextDelta("say </think>"), end()],
        {"think_tags": True},
    ),
]

WHOLE = [
    Row(
        "§4 a whole answer (recorded, trimmed)",
        b'{"choices":[{"finish_reason":"tool_calls","index":0,"message":{"content":"\\n\\n","reasoning_content":"R",'
        b'"role":"assistant","tool_calls":[{"function":{"arguments":"{\\"location\\":\\"Florence,Italy\\"}",'
        b'"name":"weather"},"id":"call_-8303649628005950554","index":0,"type":"function"}]}}],"created":1758884700,'
        b'"id":"20250926","model":"glm-4.5","request_id":"20250926","usage":{"completion_tokens":79,'
        b'"prompt_tokens":179,"prompt_tokens_details":{"cached_tokens":43},"total_tokens":258}}',
        [
            ReasoningDelta("R"),
            TextDelta("\n\n"),
            ToolCallDelta(
                0, "call_-8303649628005950554", "weather", '{"location":"Florence,Italy"}'
            ),
            Finish(
                "tool_calls",
                Usage(179, 79, 258, cached_tokens=43),
                "tool_calls",
                model="glm-4.5",
                response_id="20250926",
                request_id="20250926",
            ),
        ],
    ),
    Row(
        "a whole answer of a compatible server, with a BOM and white space",
        b"\xef\xbb\xbf \n"
        + json.dumps(
            {
                "id": "c",
                "object": "chat.completion",
                "model": "m",
                "choices": [
                    {
                        "message": {
                            "content": None,
                            "tool_calls": [
                                {"id": "a", "function": {"name": "f", "arguments": {"x": 1}}},
                                {"id": "b", "function": {"name": "f", "arguments": None}},
                            ],
                        },
                        "finish_reason": "tool_calls",
                    }
                ],
            }
        ).encode(),
        [
            ToolCallDelta(0, "a", "f", '{"x": 1}'),
            ToolCallDelta(1, "b", "f", ""),
            Finish("tool_calls", None, "tool_calls", model="m", response_id="c"),
        ],
    ),
]

ROWS = [*PLATFORM, *SERVERS, *WHOLE]
