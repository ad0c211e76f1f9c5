"""Rounds of answers and tools on every client, against the simulator."""

from __future__ import annotations

import asyncio
import contextvars
import dataclasses
import gc
import json
import pickle
import threading
import time
from typing import Any

import anyio
import pytest

import glmclient
from glmclient import (
    APITimeoutError,
    ConfigurationError,
    Finish,
    MaxRoundsExceeded,
    ReasoningDelta,
    SchemaError,
    StreamCancelled,
    StreamInterrupted,
    StreamMisuse,
    SyncClient,
    TextDelta,
    Timeout,
    ToolCall,
    ToolCallError,
    ToolResult,
    Usage,
)
from glmclient.testing import Cut, Pause, Script, Simulator

from .modes import MODES, run_body, run_on

each_mode = pytest.mark.parametrize("mode", MODES)
each_async_mode = pytest.mark.parametrize("mode", MODES[1:])


def call(number: int, name: str, /, **arguments: Any) -> ToolCall:
    return ToolCall(f"call_{number}", name, json.dumps(arguments))


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def fail(words: str = "") -> str:
    """Fail."""
    raise ZeroDivisionError(words)


async def drained(client: Any, *args: Any, **known: Any) -> tuple[Any, list[Any]]:
    run = client.run("?", *args, **known)
    return run, [event async for event in run]


def results_of(mode: str, calls: list[Any], tools: list[Any], **options: Any) -> list[ToolResult]:
    """Return the results of one round of calls."""

    async def body(client: Any) -> Any:
        return (await drained(client, tools, **options))[1]

    events, _ = run_body(mode, Script(calls, "done"), body)
    return [event for event in events if isinstance(event, ToolResult)]


# -- rounds ----------------------------------------------------------------------------------------


@each_mode
@pytest.mark.parametrize("provider", ["openai", "zai", "bigmodel", "dashscope"])
def test_a_run_asks_until_there_is_an_answer(mode: str, provider: str) -> None:
    async def body(client: Any) -> None:
        run, events = await drained(client, [add])
        results = [event for event in events if isinstance(event, ToolResult)]
        assert results == [ToolResult("call_1", "add", "3", False)]
        assert [type(event) for event in events].count(Finish) == 1
        assert events[-1] == run.finish
        assert run.text == "It is 3."
        assert run.tool_calls == ()
        assert (await run.reply()).text == "It is 3."
        assert [piece.text for piece in events if isinstance(piece, TextDelta)] != []
        assert list(run.messages) == HISTORY

    _, sent = run_body(
        mode, Script(["Let me add.", call(1, "add", a=1, b=2)], "It is 3."), body, provider
    )
    assert sent[0]["messages"] == HISTORY[:1]
    assert sent[1]["messages"] == HISTORY[:-1]
    assert sent[0]["tools"] == sent[1]["tools"]
    assert sent[0]["tools"][0]["function"]["parameters"]["required"] == ["a", "b"]
    assert sent[0].get("tool_stream", False) == (provider in ("zai", "bigmodel"))


HISTORY = [
    {"role": "user", "content": "?"},
    {
        "role": "assistant",
        "content": "Let me add.",
        "tool_calls": [
            {
                "id": "call_1",
                "type": "function",
                "function": {"name": "add", "arguments": '{"a": 1, "b": 2}'},
            }
        ],
    },
    {"role": "tool", "tool_call_id": "call_1", "content": "3"},
    {"role": "assistant", "content": "It is 3."},
]


@each_mode
def test_nothing_is_sent_before_a_run_is_read(mode: str) -> None:
    async def body(client: Any) -> None:
        run = client.run("?", [add])
        assert "not opened" in repr(run)
        assert run.rounds == 0
        async with client.run("?", [add]) as other:
            assert other.messages == ({"role": "user", "content": "?"},)
        await run.aclose()
        with pytest.raises(StreamMisuse):
            await run.reply()

    assert run_body(mode, "never", body)[1] == []


@each_mode
def test_the_state_starts_anew_with_each_round(mode: str) -> None:
    async def body(client: Any) -> None:
        run = client.run("?", [add])
        states = [
            (type(event).__name__, run.text, run.reasoning, len(run.tool_calls))
            async for event in run
        ]
        names = [name for name, *_ in states]
        result = names.index("ToolResult")
        assert states[result][1:] == ("one", "hm", 1)
        assert states[result + 1][1:] == ("two", "", 0)
        assert states[-1][0] == "Finish"

    script = Script([ReasoningDelta("hm"), TextDelta("one"), call(1, "add", a=1, b=2)], "two")
    run_body(mode, script, body)


@each_mode
def test_usage_is_summed_and_finish_has_its_own(mode: str) -> None:
    async def body(client: Any) -> None:
        run = client.run("?", [add])
        assert run.usage is None
        reply = await run.reply()
        assert run.usage == Usage(11, 22, 33)
        assert reply.usage == Usage(1, 2, 3)
        assert run.finish is not None
        assert run.finish.usage == Usage(1, 2, 3)
        assert run.rounds == 2

    script = Script(
        [call(1, "add", a=1, b=2), Finish("tool_calls", Usage(10, 20, 30))],
        ["3", Finish("stop", Usage(1, 2, 3))],
    )
    run_body(mode, script, body)


@each_mode
def test_max_rounds_counts_requests(mode: str) -> None:
    ran: list[int] = []

    def count() -> int:
        ran.append(1)
        return len(ran)

    async def body(client: Any) -> Any:
        run = client.run("?", [count], max_rounds=3)
        with pytest.raises(MaxRoundsExceeded) as caught:
            await run.until_done()
        with pytest.raises(MaxRoundsExceeded):
            await run.__anext__()
        return caught.value

    script = Script(["x", call(1, "count"), Finish("tool_calls", Usage(1, 1, 2))], repeat=True)
    error, sent = run_body(mode, script, body)
    assert len(sent) == 3
    assert len(ran) == 2
    assert error.usage == Usage(3, 3, 6)
    assert [message["role"] for message in error.messages] == [
        *("user", "assistant", "tool", "assistant", "tool", "assistant"),
    ]
    assert error.messages[-1]["tool_calls"][0]["function"]["name"] == "count"
    assert error.partial.text == "x"
    assert error.attempts == 3
    assert pickle.loads(pickle.dumps(error)).messages == error.messages


@each_mode
def test_a_run_without_tools_is_one_round(mode: str) -> None:
    async def body(client: Any) -> None:
        for tools in (None, [], ()):
            run = client.run("?", tools)
            assert (await run.reply()).text == "yes"
            assert len(run.messages) == 2

    assert all("tools" not in sent for sent in run_body(mode, "yes", body)[1])


@each_mode
def test_the_text_of_all_rounds_in_pieces(mode: str) -> None:
    async def body(client: Any) -> str:
        return "".join([piece async for piece in client.run("?", [add]).text_stream])

    script = Script(["one ", call(1, "add", a=1, b=2)], "two")
    assert run_body(mode, script, body)[0] == "one two"


@dataclasses.dataclass
class Sum:
    total: int


@each_mode
@pytest.mark.parametrize("provider", ["openai", "zai"])
def test_a_schema_types_the_last_answer(mode: str, provider: str) -> None:
    async def body(client: Any) -> None:
        run = client.run("?", [add], schema=Sum)
        assert run.parsed is None
        assert (await run.reply()).parsed == Sum(3)
        assert run.parsed == Sum(3)
        assert run.messages[0] == {"role": "user", "content": "?"}
        run = client.run("?", [add], schema=Sum)
        async for event in run:
            last = event
        assert isinstance(last, Finish)
        with pytest.raises(SchemaError):
            await run.reply()

    script = Script(["x", call(1, "add", a=1, b=2)], '{"total": 3}', "no")
    _, sent = run_body(mode, script, body, provider)
    assert all("response_format" in each for each in sent)


@each_mode
@pytest.mark.parametrize(
    ("provider", "flavour", "member"),
    [
        ("zai", "glm", "reasoning_content"),
        ("dashscope", "", "reasoning_content"),
        ("openai", "sglang", "reasoning_content"),
        ("openai", "vllm", "reasoning"),
        ("openai", "ollama", "reasoning"),
    ],
)
def test_reasoning_is_sent_back_under_the_name_that_the_service_uses(
    mode: str, provider: str, flavour: str, member: str
) -> None:
    async def body(client: Any) -> None:
        await drained(client, [add])

    script = Script([ReasoningDelta(" think\n"), "x", call(1, "add", a=1, b=2)], "3")
    options: Any = {"flavour": flavour} if flavour else {}
    with Simulator(script, provider=provider, **options) as simulator:
        run_on(mode, simulator, body)
        assistant = simulator.requests[-1].json["messages"][1]
    assert assistant[member] == " think\n"
    assert len({"reasoning", "reasoning_content"} & assistant.keys()) == 1


@each_mode
@pytest.mark.parametrize("repeated", ["", "call_1"])
def test_calls_without_ids_of_their_own_get_one(mode: str, repeated: str) -> None:
    arguments = '{"a": 1, "b": 1}', '{"a": 2, "b": 2}'
    calls = [ToolCall(repeated, "add", each) for each in arguments]

    async def body(client: Any) -> Any:
        return (await drained(client, [add]))[1]

    events, sent = run_body(mode, Script(calls, "done"), body)
    results = [event for event in events if isinstance(event, ToolResult)]
    ids = [result.id for result in results]
    assert len(set(ids)) == 2
    assert "" not in ids
    assert [each["id"] for each in sent[1]["messages"][1]["tool_calls"]] == ids
    assert [each["tool_call_id"] for each in sent[1]["messages"][2:]] == ids
    assert [result.content for result in results] == ["2", "4"]


@each_mode
def test_calls_of_an_answer_that_was_withheld_are_not_run(mode: str) -> None:
    async def body(client: Any) -> None:
        run, events = await drained(client, [fail])
        assert isinstance(events[-1], Finish)
        assert events[-1].reason == "content_filter"
        assert "tool_calls" not in run.messages[-1]

    script = Script(["x", call(1, "fail"), Finish("content_filter")])
    assert len(run_body(mode, script, body)[1]) == 1


# -- calls -----------------------------------------------------------------------------------------


def slow(seconds: float) -> float:
    """Wait."""
    time.sleep(seconds)
    return seconds


@each_mode
def test_calls_of_a_round_run_side_by_side_in_order(mode: str) -> None:
    meeting = threading.Barrier(3, timeout=20)

    def meet(name: str) -> str:
        meeting.wait()
        time.sleep(0.05 if name == "a" else 0)
        return name

    results = results_of(mode, [call(n, "meet", name=name) for n, name in enumerate("abc")], [meet])
    assert [(each.id, each.content) for each in results] == [
        ("call_0", "a"),
        ("call_1", "b"),
        ("call_2", "c"),
    ]


@each_mode
def test_at_most_eight_functions_run_at_the_same_time(mode: str) -> None:
    lock, running, most = threading.Lock(), 0, 0

    def count() -> int:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.02)
        with lock:
            running -= 1
        return most

    results = results_of(mode, [call(n, "count") for n in range(20)], [count])
    assert len(results) == 20
    assert 2 <= most <= 8


@each_async_mode
def test_async_functions_run_side_by_side(mode: str) -> None:
    reached: list[anyio.Event] = []

    async def meet(name: str) -> str:
        reached.append(anyio.Event())
        if len(reached) == 2:
            reached[0].set()
        await reached[0].wait()
        return name

    class Callable_:
        """An object with an asynchronous call."""

        async def __call__(self, name: str) -> str:
            return await meet(name)

    tools = [meet, glmclient.tool(Callable_(), name="other")]
    results = results_of(mode, [call(1, "meet", name="a"), call(2, "other", name="b")], tools)
    assert [each.content for each in results] == ["a", "b"]


@each_async_mode
def test_a_plain_function_may_return_a_coroutine(mode: str) -> None:
    async def later() -> int:
        return 7

    def begin() -> Any:
        return later()

    assert results_of(mode, [call(1, "begin")], [begin])[0].content == "7"


@pytest.mark.parametrize("schema", [None, {"type": "object"}])
def test_an_async_function_is_refused_by_the_blocking_client(schema: Any) -> None:
    async def later() -> int:
        return 7

    class Later:
        async def __call__(self) -> int:
            return 7

    with Simulator("x", provider="openai") as simulator, simulator.client() as client:
        for each in (later, glmclient.tool(later, name="n", parameters=schema)):
            with pytest.raises(ConfigurationError, match="async"):
                client.run("?", [each])
            with pytest.raises(ConfigurationError, match="async"):
                client.conversation().run("?", [each])
        with pytest.raises(ConfigurationError, match="async"):
            client.run("?", [glmclient.tool(Later(), name="n")])


class Odd:
    pass


@each_mode
def test_what_goes_wrong_is_told_to_the_model(mode: str) -> None:
    def silent() -> str:
        raise RuntimeError

    def leave() -> str:
        raise SystemExit("bye")

    def strange() -> Any:
        return Odd()

    calls = [
        call(1, "nope", a=1),
        call(2, "add", a=1),
        call(3, "add", a="x", b=[], c=1),
        ToolCall("call_4", "add", "{"),
        ToolCall("call_5", "add", "[1]"),
        call(6, "fail", words="on purpose"),
        call(7, "silent"),
        call(8, "leave"),
        call(9, "strange"),
    ]
    results = results_of(mode, calls, [add, fail, silent, leave, strange])
    assert all(each.is_error for each in results)
    contents = [each.content for each in results]
    assert "'nope'" in contents[0]
    assert "add" in contents[0]
    assert "$.b" in contents[1]
    assert "$.a" in contents[2]
    assert "$.b" in contents[2]
    assert "$.c" in contents[2]
    assert "JSON" in contents[3]
    assert "object" in contents[4]
    assert contents[5] == "ZeroDivisionError: on purpose"
    assert contents[6] == "RuntimeError"
    assert contents[7] == "SystemExit: bye"
    assert "Odd" in contents[8]


@each_mode
def test_a_call_that_was_cut_is_not_run(mode: str) -> None:
    ran: list[int] = []

    def act() -> None:
        ran.append(1)

    calls = [call(1, "act"), ToolCall("call_2", "act", ""), Finish("length")]
    results = results_of(mode, calls, [act])
    assert [each.is_error for each in results] == [False, True]
    assert ran == [1]


@each_mode
@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (call(1, "fail", words="on purpose"), ZeroDivisionError),
        (call(1, "nope"), ToolCallError),
        (call(1, "add", a=1), ToolCallError),
        (call(1, "stop"), RuntimeError),
    ],
)
def test_errors_of_tools_are_raised_if_wanted(mode: str, request_: Any, expected: Any) -> None:
    def stop() -> None:
        raise StopIteration

    async def body(client: Any) -> None:
        run = client.run("?", [add, fail, stop], raise_tool_errors=True)
        for _ in range(2):
            with pytest.raises(expected) as caught:
                await run.until_done()
        if expected is ToolCallError:
            assert caught.value.call == request_
            assert caught.value.partial.text == "x"

    assert len(run_body(mode, Script(["x", request_], "done"), body)[1]) == 1


@each_mode
def test_context_variables_reach_the_functions(mode: str) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")

    def show() -> str:
        value = variable.get()
        variable.set("changed by another call")
        return value

    async def body(client: Any) -> Any:
        variable.set("set")
        events = (await drained(client, [show]))[1]
        return variable.get(), [e.content for e in events if isinstance(e, ToolResult)]

    result, _ = run_body(mode, Script([call(n, "show") for n in range(12)], "x"), body)
    assert result == ("set", ["set"] * 12)


@each_mode
def test_results_as_the_model_reads_them(mode: str) -> None:
    import decimal

    @dataclasses.dataclass
    class Point:
        x: int

    values: list[Any] = ["as it is", "", None, 1.5, Point(1), [Point(2)], {"a": decimal.Decimal(1)}]

    def value(index: int) -> Any:
        return values[index]

    calls = [call(n, "value", index=n) for n in range(len(values))]
    contents = [each.content for each in results_of(mode, calls, [value])]
    assert contents == ["as it is", "", "null", "1.5", '{"x":1}', '[{"x":2}]', '{"a":"1"}']


# -- limits and leaving ----------------------------------------------------------------------------


@each_mode
def test_the_total_limit_covers_running_functions(mode: str) -> None:
    release = threading.Event()

    def hang() -> None:
        release.wait(30)

    async def body(client: Any) -> None:
        began = time.monotonic()
        run = client.run("?", [hang], timeout=Timeout(total=0.3))
        with pytest.raises(APITimeoutError) as caught:
            await run.until_done()
        assert time.monotonic() - began < 10
        assert caught.value.limit == "total"
        assert caught.value.partial.text == "x"

    try:
        run_body(mode, Script(["x", call(1, "hang")], "done"), body)
    finally:
        release.set()


@each_mode
def test_the_total_limit_covers_all_rounds(mode: str) -> None:
    async def body(client: Any) -> None:
        run = client.run("?", [slow], timeout=Timeout(total=1))
        with pytest.raises(APITimeoutError) as caught:
            await run.until_done()
        assert caught.value.limit == "total"

    run_body(mode, Script([call(1, "slow", seconds=0.4)], [Pause(20), "done"]), body)


@each_mode
def test_the_total_limit_counts_from_the_first_read(mode: str) -> None:
    async def body(client: Any) -> None:
        real = getattr(client, "blocking", client)
        run = real.run("?", [add], timeout=Timeout(total=50))
        run._clock = lambda: time.monotonic() + 100  # the run was made 100 s before it is read
        from .modes import Mirror

        mirror = Mirror(run) if real is not client else run
        assert (await mirror.reply()).text == "done"

    run_body(mode, Script([call(1, "add", a=1, b=2)], "done"), body)


@each_mode
def test_no_request_follows_after_the_total_limit(mode: str) -> None:
    now = [0.0]

    def late() -> None:
        now[0] = 100.0

    async def body(client: Any) -> None:
        real = getattr(client, "blocking", client)
        run = real.run("?", [late], timeout=Timeout(total=50))
        run._clock = lambda: now[0]
        from .modes import Mirror

        mirror = Mirror(run) if real is not client else run
        with pytest.raises(APITimeoutError):
            await mirror.until_done()

    assert len(run_body(mode, Script([call(1, "late")], "done"), body)[1]) == 1


@each_mode
@pytest.mark.parametrize("moment", ["stream", "function"])
def test_cancel_frees_a_reader_from_another_thread(mode: str, moment: str) -> None:
    release = threading.Event()

    def hang() -> None:
        release.wait(30)

    async def body(client: Any) -> None:
        run = client.run("?", [hang])
        timer = threading.Timer(0.3, run.cancel)
        timer.start()
        began = time.monotonic()
        with pytest.raises(StreamCancelled):
            await run.until_done()
        assert time.monotonic() - began < 10
        with pytest.raises(StreamCancelled):
            await run.__anext__()
        timer.join()

    answer = ["x", call(1, "hang")] if moment == "function" else ["x", Pause(20)]
    try:
        run_body(mode, Script(answer, "done"), body)
    finally:
        release.set()


@each_mode
def test_closing_from_elsewhere_frees_a_reader(mode: str) -> None:
    release = threading.Event()
    runs: list[Any] = []

    def leave() -> None:
        runs[0].cancel()  # as a function that decides that enough was done
        release.wait(30)

    async def body(client: Any) -> None:
        runs.append(client.run("?", [leave]))
        with pytest.raises(StreamCancelled):
            await runs[0].until_done()

    try:
        assert len(run_body(mode, Script([call(1, "leave")], "done"), body)[1]) == 1
    finally:
        release.set()


@each_mode
@pytest.mark.parametrize("moment", ["_next_stream", "_round_ended"])
def test_a_cancel_between_two_steps_is_noticed(mode: str, moment: str) -> None:
    async def body(client: Any) -> None:
        run = client.run("?", [add])
        inner = getattr(run, "blocking", run)
        original = getattr(inner, moment)

        def cancelled(*arguments: Any) -> Any:
            result = original(*arguments)
            inner._cancelled = True  # as another thread does it
            return result

        setattr(inner, moment, cancelled)
        with pytest.raises(StreamCancelled):
            await run.until_done()

    sent = run_body(mode, Script([call(1, "add", a=1, b=2)], "never"), body)[1]
    assert len(sent) == 1


@each_mode
def test_closing_while_a_function_runs_frees_the_reader(mode: str) -> None:
    runs: list[Any] = []

    def close() -> None:
        runs[0].close()

    async def aclose() -> None:
        await runs[0].aclose()
        await anyio.sleep(20)

    async def body(client: Any) -> None:
        tool = close if mode == "sync" else aclose
        runs.append(client.run("?", [glmclient.tool(tool, name="leave")]))
        with pytest.raises(StreamCancelled):
            await runs[0].until_done()
        await runs[0].aclose()

    assert len(run_body(mode, Script([call(1, "leave")], "never"), body)[1]) == 1


@each_mode
def test_a_run_that_ended_stays_ended(mode: str) -> None:
    async def body(client: Any) -> None:
        run = client.run("?")
        assert isinstance((await run.until_done()).finish, Finish)
        with pytest.raises(StopAsyncIteration):
            await run.__anext__()
        assert "ended" in repr(run)

    run_body(mode, "x", body)


def test_an_interrupt_inside_a_function_is_raised_once() -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with Simulator([call(1, "interrupt")], provider="openai") as simulator:
        with simulator.client() as client:
            run = client.run("?", [interrupt])
            with pytest.raises(KeyboardInterrupt):
                run.until_done()
            with pytest.raises(StreamMisuse):
                run.until_done()


@pytest.mark.parametrize("mode", ["asyncio", "aiohttp"])
def test_a_function_that_cancels_itself_is_an_error_of_the_function(mode: str) -> None:
    async def give_up() -> None:
        raise asyncio.CancelledError

    results = results_of(mode, [call(1, "give_up")], [give_up])
    assert [(each.is_error, each.content) for each in results] == [
        (True, "RuntimeError: the function was cancelled")
    ]


@each_async_mode
def test_async_functions_are_cancelled_with_the_run(mode: str) -> None:
    ended: list[str] = []

    async def hang() -> None:
        try:
            await anyio.sleep(60)
        finally:
            ended.append("cancelled")

    async def body(client: Any) -> None:
        with anyio.move_on_after(0.5) as scope:
            await client.run("?", [hang]).until_done()
        assert scope.cancelled_caught
        with pytest.raises(APITimeoutError):
            await client.run("?", [hang], timeout=Timeout(total=0.5)).until_done()

    run_body(mode, [call(1, "hang")], body)
    assert ended == ["cancelled", "cancelled"]


@each_mode
def test_a_further_round_has_a_request_id_of_its_own(mode: str) -> None:
    async def body(client: Any) -> None:
        await drained(client, [add], request_id="my-request")

    _, sent = run_body(mode, Script([call(1, "add", a=1, b=2)], "3"), body, "zai")
    assert [each["request_id"] for each in sent] == ["my-request", "my-request-round-2"]


@each_mode
def test_cancel_before_reading_and_after_the_end(mode: str) -> None:
    async def body(client: Any) -> None:
        run = client.run("?", [add])
        run.cancel()
        with pytest.raises(StreamCancelled):
            await run.reply()
        done = client.run("?")
        await done.reply()
        done.cancel()
        assert (await done.reply()).text == "x"
        await done.aclose()

    assert len(run_body(mode, "x", body)[1]) == 1


@each_mode
def test_leaving_the_loop_ends_the_run(mode: str) -> None:
    async def body(client: Any) -> None:
        real = getattr(client, "blocking", client)
        run = client.run("?", [add])
        async for _ in run:
            break
        gc.collect()
        with pytest.raises(StreamMisuse):
            await run.__anext__()
        assert id(getattr(run, "blocking", run)) not in real._streams

    assert len(run_body(mode, Script(["a b c", call(1, "add")], "x"), body)[1]) == 1


@each_mode
def test_a_forgotten_run_leaves_nothing_behind(mode: str) -> None:
    async def body(client: Any) -> None:
        real = getattr(client, "blocking", client)
        run = client.run("?", [add])
        await run.__anext__()
        del run
        gc.collect()
        assert not real._streams

    run_body(mode, "a b c", body)


@each_mode
def test_closing_the_client_closes_its_runs(mode: str) -> None:
    async def body(client: Any) -> None:
        run = client.run("?", [add])
        await run.__anext__()
        await client.aclose()
        with pytest.raises(StreamMisuse):
            await run.__anext__()

    run_body(mode, "a b c", body)


@each_mode
def test_two_readers_are_refused(mode: str) -> None:
    async def body(client: Any) -> None:
        run = client.run("?", [add])
        iterator = aiter(run)
        await anext(iterator)
        with pytest.raises(StreamMisuse, match="two readers"):
            [event async for event in run]
        inner = getattr(run, "blocking", run)
        with inner._busy, pytest.raises(StreamMisuse, match="two readers"):
            await run.__anext__()

    run_body(mode, "a b c", body)


@each_mode
def test_a_broken_round_raises_its_own_error(mode: str) -> None:
    async def body(client: Any) -> None:
        run = client.run("?", [add])
        with pytest.raises(StreamInterrupted) as caught:
            await run.until_done()
        assert caught.value.partial.text == run.partial.text == "half"
        assert [message["role"] for message in run.messages] == ["user", "assistant", "tool"]
        assert "failed" in repr(run)

    run_body(mode, Script([call(1, "add", a=1, b=2)], [TextDelta("half"), Cut()]), body)


# -- questions that are refused --------------------------------------------------------------------


@each_mode
@pytest.mark.parametrize(
    ("tools", "options"),
    [
        ([add], {"max_rounds": 0}),
        ([add], {"max_rounds": True}),
        ([add], {"max_rounds": "3"}),
        ("add", {}),
        ({"type": "function"}, {}),
        (3, {}),
        ([3], {}),
        ([add, add], {}),
        ([add], {"no_such_option": 1}),
        ([add], {"schema": 3}),
        ([add], {"timeout": "x"}),
    ],
)
def test_wrong_arguments_are_refused(mode: str, tools: Any, options: Any) -> None:
    async def body(client: Any) -> None:
        with pytest.raises(ConfigurationError):
            client.run("?", tools, **options)

    assert run_body(mode, "x", body)[1] == []


@each_mode
@pytest.mark.parametrize("provider", ["chatglm", "qwen"])
def test_a_service_without_tools_is_refused(mode: str, provider: str) -> None:
    async def body(client: Any) -> None:
        for ask in (client.run, client.conversation().run):
            with pytest.raises(ConfigurationError, match="no tools"):
                ask("?", [add])
        for ask in (client.chat, client.stream):
            with pytest.raises(ConfigurationError, match="tools"):
                await ask("?", tools=[add])

    assert run_body(mode, "x", body, provider)[1] == []


@each_mode
def test_tools_of_the_service_pass_through(mode: str) -> None:
    search = {"type": "web_search", "web_search": {"enable": True}}

    async def body(client: Any) -> None:
        await drained(client, [search, add], tool_stream=False)

    _, sent = run_body(mode, "x", body, "zai")
    assert sent[0]["tools"][0] == search
    assert sent[0]["tools"][1]["function"]["name"] == "add"
    assert sent[0]["tool_stream"] is False


@pytest.mark.parametrize(
    ("model", "streams"),
    [
        ("glm-5.3", True),
        ("glm-5", True),
        ("glm-5-turbo", True),
        ("glm-4.7-flash", True),
        ("glm-4.6", True),
        ("glm-4.6v", False),
        ("glm-5v-turbo", False),
        ("glm-4.5", False),
        ("other", False),
    ],
)
def test_tool_stream_where_the_model_has_it(model: str, streams: bool) -> None:
    with Simulator("x", provider="zai") as simulator, simulator.client(model=model) as client:
        client.run("?", [add]).reply()
        assert ("tool_stream" in simulator.requests[-1].json) == streams


# -- conversations, chat and stream ----------------------------------------------------------------


@each_mode
def test_a_conversation_holds_every_round(mode: str) -> None:
    async def body(client: Any) -> None:
        conversation = client.conversation(system="s")
        run = conversation.run("?", [add])
        assert len(conversation.messages) == 1
        await run.reply()
        assert list(conversation.messages[1:]) == HISTORY
        assert (await conversation.chat("more")).text == "plain"
        roles = [message["role"] for message in conversation.messages]
        assert roles == ["system", "user", "assistant", "tool", "assistant", "user", "assistant"]

    script = Script(["Let me add.", call(1, "add", a=1, b=2)], "It is 3.", "plain")
    _, sent = run_body(mode, script, body)
    assert sent[2]["messages"][1:-1] == HISTORY


@each_mode
def test_a_conversation_has_tools_of_its_own(mode: str, tmp_path: Any) -> None:
    async def body(client: Any) -> None:
        conversation = client.conversation(tools=[add])
        assert (await conversation.run("?").reply()).text == "3"
        assert (await conversation.chat("?")).tool_calls[0].name == "add"
        conversation.save(tmp_path / "file")
        assert (await conversation.run("again", []).reply()).text == "x"

    script = Script([call(1, "add", a=1, b=2)], "3", [call(2, "add", a=1, b=2)], "x")
    _, sent = run_body(mode, script, body)
    assert ["tools" in each for each in sent] == [True, True, True, False]
    saved = (tmp_path / "file").read_text(encoding="utf-8")
    assert '"name":"add"' in saved.replace(" ", "")


@each_mode
@pytest.mark.parametrize("second", [["half", Cut()], [Cut()]])
def test_a_conversation_keeps_a_partial_run_if_wanted(mode: str, second: Any) -> None:
    async def body(client: Any) -> None:
        conversation = client.conversation()
        with pytest.raises(glmclient.GLMError):
            await conversation.run("?", [add], retry=None).reply()
        assert conversation.messages == ()
        assert conversation.keep_partial()
        roles = [message["role"] for message in conversation.messages]
        assert roles == ["user", "assistant", "tool", "assistant"][: 3 + ("half" in second)]
        assert not conversation.keep_partial()

    # A kept connection that breaks without a byte is used again once, so that the answer is needed twice.
    run_body(mode, Script([call(1, "add", a=1, b=2)], second, second), body)


@each_mode
def test_a_run_that_was_left_is_not_part_of_the_conversation(mode: str) -> None:
    async def body(client: Any) -> None:
        conversation = client.conversation()
        run = conversation.run("?", [add])
        iterator = aiter(run)
        await anext(iterator)
        with pytest.raises(StreamMisuse):
            conversation.run("?", [add])
        del iterator
        gc.collect()
        assert (await conversation.run("again").reply()).text == "x y"
        assert [m["content"] for m in conversation.messages] == ["again", "x y"]

    run_body(mode, "x y", body)


@each_mode
def test_chat_and_stream_describe_functions_and_return_the_calls(mode: str) -> None:
    async def body(client: Any) -> None:
        for tool in (add, glmclient.tool(add)):
            reply = await client.chat("?", tools=[tool])
            assert reply.tool_calls == (call(1, "add", a=1, b=2),)
        reply = await client.stream("?", tools=(add,)).reply()
        assert reply.tool_calls == (call(1, "add", a=1, b=2),)

    _, sent = run_body(mode, [call(1, "add", a=1, b=2)], body)
    assert len({json.dumps(each["tools"]) for each in sent}) == 1


def test_an_iterator_that_is_never_read_closes_nothing() -> None:
    async def body() -> None:
        with Simulator("x", provider="openai") as simulator:
            async with simulator.async_client() as client:
                run = client.run("?")
                aiter(run)
                gc.collect()
                assert (await run.reply()).text == "x"

    asyncio.run(body())


def test_a_run_is_exported_and_lazily_loaded() -> None:
    assert callable(glmclient.tool)
    assert {"Run", "AsyncRun", "ToolResult", "tool"} <= set(glmclient.__all__)
    assert SyncClient.run.__doc__
