"""A refusal means the same by HTTP status, as the body of a 200 and in a frame, for every code of every dialect."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from glmclient import (
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    GLMError,
    NotFoundError,
    PermissionDeniedError,
    QuotaExceededError,
    RateLimitError,
    RetryPolicy,
    ServerError,
    ServiceBlockedError,
)
from glmclient.providers.chat_completions.codes import CODES, STATUS_OF_WORD

from .flavours import Flavour
from .loopback import Answering, Server
from .space import page

Serve = Callable[..., Server]
ONCE = RetryPolicy(attempts=1)
WORDS = "These are the service's own words"


@dataclass(frozen=True, slots=True)
class Way:
    """One way in which a refusal comes: the status, the type and the bytes of the response."""

    name: str
    status: int
    kind: str
    body: bytes


def dumped(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def by_status(value: Any, *statuses: int) -> Iterator[Way]:
    for status in statuses:
        yield Way(f"HTTP {status}", status, "application/json", dumped(value))


def in_body(value: Any) -> Way:
    return Way("body", 200, "application/json", dumped(value))


def in_frame(value: Any, event: str = "") -> Way:
    named = f"event: {event}\n".encode() if event else b""
    frame = named + b"data: " + dumped(value) + b"\n\n"
    return Way(f"frame {event}", 200, "text/event-stream", frame)


class Refusing:
    """A server that answers each question with the response that the question names."""

    def __init__(self) -> None:
        self.ways: list[Way] = []

    def add(self, way: Way) -> str:
        """Return the question that gets this answer."""
        self.ways.append(way)
        return f"way {len(self.ways) - 1} end"

    def __call__(self, answering: Answering) -> None:
        asked = answering.request.body.decode().partition("way ")[2].partition(" end")[0]
        self.send(answering, self.ways[int(asked)])

    def send(self, answering: Answering, way: Way) -> None:
        answering.head(way.status, way.kind, "Retry-After: 7")
        answering.chunk(way.body)
        answering.end()


class RefusingSpace(Refusing):
    """The same as a Gradio app: what the stream says stands in the frames of the session."""

    def __init__(self) -> None:
        super().__init__()
        self.next: Way | None = None

    def __call__(self, answering: Answering) -> None:
        path = answering.request.path
        if path == "/config":
            self.send(answering, in_body(page()))
        elif path == "/queue/join":
            asked = answering.request.body.decode().partition("way ")[2].partition(" end")[0]
            way = self.ways[int(asked)]
            self.next = way
            streamed = way.kind == "text/event-stream"
            self.send(answering, in_body({"event_id": "e1"}) if streamed else way)
        else:
            assert self.next is not None
            self.send(answering, self.next)


Facts = tuple[type[GLMError], str | None, str, bool, float | None]


def facts_of(error: GLMError) -> Facts:
    assert isinstance(error, APIStatusError), repr(error)
    return type(error), error.code, error.message, error.retryable, error.retry_after


def compared(
    asking: Any, server: Refusing, ways: list[Way], expected: type[GLMError] | None
) -> Facts:
    """Return what all of these ways say; they must agree."""
    told: dict[Facts, list[str]] = {}
    for way in ways:
        with pytest.raises(GLMError) as caught:
            asking.chat(server.add(way))
        told.setdefault(facts_of(caught.value), []).append(way.name)
    assert len(told) == 1, told
    facts = next(iter(told))
    assert expected is None or facts[0] is expected, facts
    return facts


# -- the platform and compatible servers ---------------------------------------------------------------------

MADE_UP = {
    "rate_limit_reached_error": RateLimitError,
    "timeout_error": ServerError,
    "permission_denied_error": PermissionDeniedError,
    "engine_overloaded_error": ServerError,
    "exceeded_current_quota_error": QuotaExceededError,
    "insufficient_balance": QuotaExceededError,
    "RESOURCE_EXHAUSTED": RateLimitError,
    "UNAUTHENTICATED": AuthenticationError,
    "Throttling.RateQuota": RateLimitError,
    "Throttling.AllocationQuota": RateLimitError,
    "Arrearage": QuotaExceededError,
    "PostpaidBillOverdue": QuotaExceededError,
    "AllocationQuota.FreeTierOnly": QuotaExceededError,
    "DataInspectionFailed": BadRequestError,
    "InvalidApiKey": AuthenticationError,
    "Model.AccessDenied": PermissionDeniedError,
    "ModelNotFound": NotFoundError,
    "ModelServiceFailed": ServerError,
    "RequestTimeOut": ServerError,
    "ServiceUnavailableError": ServerError,
    "TooManyRequestsError": RateLimitError,
    "request_too_large": BadRequestError,
    "unsupported_parameter": BadRequestError,
}
"""Words that the table does not hold whole, and what they mean by their parts."""


def ways_of(error: dict[str, Any], *statuses: int) -> list[Way]:
    """Return a refusal of the platform by each status, in bodies of a 200 and in frames, in all its shells."""
    nested = {"error": error}
    return [
        *by_status(nested, *statuses),
        *by_status({"error": nested}, statuses[0]),
        *by_status([nested], statuses[0]),
        in_body(nested),
        in_frame(nested),
        in_frame(nested, "error"),
        in_frame(error, "error"),
        in_frame({"detail": error}, "error"),
    ]


@pytest.mark.parametrize("provider", ["zai", "openai", "dashscope"])
def test_every_code_of_the_platform(every_client: Flavour, serve: Serve, provider: str) -> None:
    server = Refusing()
    url, key = serve(server).url, "k" * 20
    asking = every_client(provider, base_url=url, api_key=key, model="m", retry=ONCE)
    codes = CODES if provider == "zai" else ("1113", "1210", "1302")
    for code in codes:
        row = CODES[code]
        error = {"code": code, "message": WORDS}
        ways = [
            *ways_of(error, *(int(status) for status in row.http.split(", ")), 400, 500),
            in_body(error),
            in_frame(error),
            in_frame({"error": {"code": int(code), "msg": WORDS}}),
        ]
        facts = compared(asking, server, ways, row.error)
        assert facts[1:] == (code, WORDS, row.retry, 7.0)


@pytest.mark.parametrize("member", ["code", "type"])
def test_every_word_of_compatible_servers(every_client: Flavour, serve: Serve, member: str) -> None:
    server = Refusing()
    asking = every_client("openai", base_url=serve(server).url, model="m", retry=ONCE)
    for word in (*STATUS_OF_WORD, *MADE_UP):
        error = {member: word, "message": WORDS}
        nested = {"error": error}
        ways = [
            *by_status(nested, 400),
            in_body(nested),
            in_frame(nested),
            in_frame(error, "error"),
        ]
        facts = compared(asking, server, ways, MADE_UP.get(word))
        assert facts[1:3] == (word if member == "code" else None, WORDS)
        # Beside another status a word means the same, unless it is that of a whole class of refusals.
        if (
            STATUS_OF_WORD.get(word, 0) not in (400, 500)
            and MADE_UP.get(word) is not BadRequestError
        ):
            assert compared(asking, server, [*by_status(nested, 403, 500)], None) == facts


@pytest.mark.parametrize(
    ("body", "kind", "code", "message", "wait"),
    [
        ({"error": "Unauthorized"}, AuthenticationError, None, "Unauthorized", 7.0),
        ({"errors": [{"message": "m", "code": "1302"}]}, RateLimitError, "1302", "m", 7.0),
        ({"error_code": 1302, "error_msg": "m"}, RateLimitError, "1302", "m", 7.0),
        ({"errorCode": "1113", "errorMessage": "m"}, QuotaExceededError, "1113", "m", 7.0),
        (
            {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "m"}},
            *(RateLimitError, "429", "m", 7.0),
        ),
        ({"error": {"type": "rate_limit", "message": "Try again in 1m2.5s."}},
         RateLimitError, None, "Try again in 1m2.5s.", 62.5),
        ({"error": {"type": "rate_limit", "message": "retry after 250 ms"}},
         RateLimitError, None, "retry after 250 ms", 0.25),
        ({"error": {"type": "rate_limit", "message": "m", "retry_after": 3}},
         RateLimitError, None, "m", 3.0),
        ({"error": {"type": "rate_limit", "message": "m", "retry_after": 10**309}},
         RateLimitError, None, "m", 7.0),
        ({"error": {"type": "rate_limit", "message": "m", "retry_after": True}},
         RateLimitError, None, "m", 7.0),
        ({"error": {"type": "rate_limit", "message": ""}}, RateLimitError, None,
         '{"error": {"type": "rate_limit", "message": ""}}', 7.0),
        ({"error": {"error": {"error": {"type": "rate_limit"}}, "message": "m"}},
         RateLimitError, None, "m", 7.0),
    ],
)  # fmt: skip
def test_words_and_codes_wherever_they_stand(
    every_client: Flavour, serve: Serve, body: Any, kind: Any, code: Any, message: str, wait: float
) -> None:
    server = Refusing()
    asking = every_client("openai", base_url=serve(server).url, model="m", retry=ONCE)
    statuses = {AuthenticationError: 401, QuotaExceededError: 402}
    ways = [*by_status(body, statuses.get(kind, 429)), in_body(body), in_frame(body)]
    facts = compared(asking, server, ways, kind)
    assert (facts[1], facts[2], facts[4]) == (code, message, wait)


@pytest.mark.parametrize(("status", "kind"), [(401, AuthenticationError), (404, NotFoundError),
                                              (429, RateLimitError)])  # fmt: skip
def test_a_status_makes_the_word_of_a_whole_class_exact(
    client: Flavour, serve: Serve, status: int, kind: type[GLMError]
) -> None:
    server = Refusing()
    asking = client("openai", base_url=serve(server).url, model="m", retry=ONCE)
    error = {"type": "invalid_request_error", "message": "m"}
    ways = [
        *by_status({"error": error}, status),
        *by_status({"error": {**error, "code": status}, "x": 1}, 400),
    ]
    assert [facts_of(refused(asking, server, way))[0] for way in ways] == [kind, kind]
    frame = Way("frame", 200, "text/event-stream", f"event:error\n:HTTP_STATUS/{status}\n".encode()
                + b"data:" + dumped({"error": error}) + b"\n\n")  # fmt: skip
    assert type(refused(asking, server, frame)) is kind


def refused(asking: Any, server: Refusing, way: Way) -> GLMError:
    with pytest.raises(GLMError) as caught:
        asking.chat(server.add(way))
    return caught.value


def test_words_of_a_stream_that_ends_without_an_answer(every_client: Flavour, serve: Serve) -> None:
    server = Refusing()
    asking = every_client("openai", base_url=serve(server).url, model="m", retry=ONCE)
    body = {"detail": "Too Many Requests"}
    facts = compared(asking, server, [*by_status(body, 429), in_body(body), in_frame(body)], None)
    assert facts == (RateLimitError, None, "Too Many Requests", True, 7.0)
    error = refused(asking, server, in_frame({"id": "r1", "choices": []}))
    assert not isinstance(error, APIStatusError)


# -- ChatGLM -------------------------------------------------------------------------------------------------

CHATGLM: list[tuple[Any, str, type[GLMError]]] = [
    (10061, "请等待其他对话生成完毕", RateLimitError),
    (10031, "当前为高峰期，排队中", RateLimitError),
    ("1301", "当前访问人数过多，请稍后重试", RateLimitError),
    (77, "The service is busy", RateLimitError),
    (40012, "", BadRequestError),
    (40102, WORDS, AuthenticationError),
    (40301, WORDS, PermissionDeniedError),
    (40401, WORDS, NotFoundError),
    (42901, WORDS, RateLimitError),
    (50003, WORDS, ServerError),
    ("40014", WORDS, BadRequestError),
    (10099, "请登录", ServiceBlockedError),
    (10099, "verify you are human", ServiceBlockedError),
    (10099, "今日额度已用完", QuotaExceededError),
]


def test_every_kind_of_reason_of_chatglm(every_client: Flavour, serve: Serve) -> None:
    server = Refusing()
    asking = every_client("chatglm", base_url=serve(server).url, retry=ONCE)
    for code, words, kind in CHATGLM:
        for names in (("status", "message"), ("code", "msg"), ("error_code", "err_msg")):
            reason = dict(zip(names, (code, words), strict=True))
            if not words:
                del reason[names[1]]
            last = {"code": code, **({"message": words} if words else {})}
            failed = {"status": "error", "parts": [], "last_error": last}
            ways = [
                *by_status(reason, 400, 429, 503),
                in_body(reason),
                in_frame(reason),
                in_frame(failed),
                in_body({"error": last}),
                in_frame({"error": last}),
                in_frame({"status": "init", "parts": [{"logic_id": "a", "error": last}]}),
            ]
            facts = compared(asking, server, ways if words else ways[3:5], kind)
            assert (facts[1], facts[4]) == (str(code), 7.0)
            assert facts[2] == words or not words


# -- Gradio --------------------------------------------------------------------------------------------------

GRADIO: list[tuple[str, int, type[GLMError], float | None]] = [
    ("Queue is full. Max size is 1 and size is 1.", 503, RateLimitError, None),
    ("Queue is stopped.", 503, ServerError, None),
    ("Too many requests", 429, RateLimitError, None),
    ("Requests rate limit exceeded", 400, RateLimitError, None),
    ("Throttling.RateQuota", 500, RateLimitError, None),
    ("You have exceeded your GPU quota (60s requested vs. 56s left).", 429, QuotaExceededError, None),
    ("You have exceeded your GPU quota. Try again in 0:09:48", 429, QuotaExceededError, 588.0),
    ("Not authenticated", 401, AuthenticationError, None),
    ("Forbidden", 403, PermissionDeniedError, None),
    ("Not Found", 404, NotFoundError, None),
    ("Field required", 422, BadRequestError, None),
    ("No function index provided.", 400, BadRequestError, None),
    ("Value: '72B' (type: <class 'str'>) is not in the list of choices: []", 400, BadRequestError, None),
    ("Internal Server Error", 500, ServerError, None),
]  # fmt: skip


def test_every_kind_of_words_of_gradio(every_client: Flavour, serve: Serve) -> None:
    server = RefusingSpace()
    asking = every_client("qwen", base_url=serve(server).url, retry=ONCE)
    for words, status, kind, wait in GRADIO:
        failed = {"msg": "process_completed", "event_id": "e1", "success": False}
        ways = [
            *by_status({"detail": words}, status),
            in_body({"detail": words}),
            in_body({"error": words}),
            in_frame({**failed, "output": {"error": words}}),
            in_frame({**failed, "output": {"error": words, "title": "Error"}}),
            in_frame({"msg": "unexpected_error", "event_id": None, "message": words}),
        ]
        told = [facts_of(refused(asking, server, way)) for way in ways]
        assert {facts[:4] for facts in told} == {(kind, None, told[0][2], told[0][3])}, told
        assert told[0][2].startswith(words.partition(" <")[0][:20])
        if wait is not None:
            assert {facts[4] for facts in told} == {wait}
