"""Streams that are shown while they come: painted over in a page, printed in a terminal."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from IPython.core.interactiveshell import InteractiveShell

from glmclient import (
    AsyncClient,
    Finish,
    QuotaExceededError,
    ReasoningDelta,
    Reply,
    StreamInterrupted,
    StreamMisuse,
    SyncClient,
    TextDelta,
)
from glmclient.notebook import AnswerInterrupted, ashow, show
from glmclient.notebook.live import Painter, draws
from glmclient.notebook.view import AnswerView
from glmclient.simulator import Cut, Refusal, Simulator, Wait
from glmclient.simulator.script import AnswerLike

from .conftest import SECONDS, Recorder


@pytest.fixture
def said() -> Iterator[threading.Event]:
    """What the simulated service waits for."""
    flag = threading.Event()
    yield flag
    flag.set()


def asked(answer: AnswerLike, use: Callable[[SyncClient], object]) -> object:
    with Simulator(answer) as sim, SyncClient(base_url=sim.url, retry=None) as client:
        return use(client)


async def asked_async(answer: AnswerLike, use: Callable[[AsyncClient], object]) -> object:
    with Simulator(answer) as sim:
        async with AsyncClient(base_url=sim.url, retry=None) as client:
            return await use(client)  # type: ignore[misc]


# -- in a page -------------------------------------------------------------------------------------


def test_what_came_is_painted_while_the_service_is_silent(
    page: Recorder, said: threading.Event
) -> None:
    answer: AnswerLike = [TextDelta("Hel"), TextDelta("lo"), Wait(said), TextDelta(" **you**")]
    with ThreadPoolExecutor() as threads:
        showing = threads.submit(asked, answer, lambda client: show(client.stream("Hi")))
        # The second piece follows the first at once: it is painted although nothing comes after it.
        page.wait_for(lambda: page.plain == ["Hello"])
        said.set()
        reply = showing.result(SECONDS)
    assert isinstance(reply, Reply) and reply.text == "Hello **you**"
    assert page.plain == ["Hello **you**"]
    assert "<strong>you</strong>" in page.html[0]


def test_reasoning_stays_as_it_is_when_the_answer_comes(
    page: Recorder, said: threading.Event
) -> None:
    answer: AnswerLike = [
        ReasoningDelta("because"),
        TextDelta("so"),
        Wait(said),
        TextDelta(" it is"),
    ]
    with ThreadPoolExecutor() as threads:
        showing = threads.submit(asked, answer, lambda client: show(client.stream("Hi")))
        page.wait_for(lambda: page.plain == ["", "so"])
        folded, painted = page.html[0], len(page.published)
        said.set()
        showing.result(SECONDS)
    assert "because" in folded and page.html[0] == folded
    assert page.plain == ["", "so it is"]
    # What was unfolded stays so: the output of the reasoning was not painted again.
    (first, _) = page.outputs
    assert first not in [each["transient"]["display_id"] for each in page.published[painted:]]


def test_a_stream_that_is_the_value_of_a_cell_shows_itself(page: Recorder) -> None:
    assert asked("Hello", lambda client: client.stream("Hi")._ipython_display_()) is None
    assert page.plain == ["Hello"]


def test_a_stream_is_shown_from_where_it_stands_and_again(page: Recorder) -> None:
    def use(client: SyncClient) -> None:
        stream = client.stream("Hi")
        assert next(stream) == TextDelta("one")
        show(stream)
        show(stream)

    asked([TextDelta("one"), TextDelta(" two")], use)
    assert page.plain == ["one two", "one two"]


def test_an_error_of_a_shown_stream_is_a_card_below_what_came(page: Recorder) -> None:
    asked(["Half", Cut()], lambda client: client.stream("Hi")._ipython_display_())
    came, card = page.plain
    assert came == "Half\n\nThe answer broke off here."
    assert card.startswith("StreamInterrupted: ")


def test_show_raises_the_error(page: Recorder) -> None:
    with pytest.raises(QuotaExceededError):
        asked(Refusal("quota"), lambda client: show(client.stream("Hi")))
    assert page.plain == [""]


def test_a_closed_stream_says_so(page: Recorder) -> None:
    def use(client: SyncClient) -> None:
        with client.stream("Hi") as stream:
            assert next(stream) == TextDelta("one")
        with pytest.raises(StreamMisuse):
            show(stream)

    asked([TextDelta("one"), TextDelta(" two")], use)
    assert page.plain == ["one\n\nThe answer broke off here."]


def test_an_interrupt_ends_the_answer_and_keeps_it(page: Recorder, said: threading.Event) -> None:
    def interrupt() -> None:
        page.wait_for(lambda: page.plain == ["Half"])
        ended = ["Half\n\nThe answer was ended here."]
        # A signal that comes in the moment before a thread goes to sleep in a read is seen when it wakes:
        # who presses the button and sees nothing presses again.
        for _ in range(5):
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            with page.changed:
                if page.changed.wait_for(lambda: page.plain == ended, 5):
                    break

    with (
        ThreadPoolExecutor() as threads,
        Simulator(["Half", Wait(said)]) as sim,
        SyncClient(base_url=sim.url) as client,
    ):
        stream = client.stream("Hi")
        interrupting = threads.submit(interrupt)
        with pytest.raises(AnswerInterrupted, match="what came of it is kept") as caught:
            show(stream)
        interrupting.result(SECONDS)
        assert stream.text == "Half" and stream.finish is None
        assert sim.wait_for_disconnects(timeout=SECONDS)
        said.set()
    assert page.plain == ["Half\n\nThe answer was ended here."]
    assert isinstance(caught.value, KeyboardInterrupt)
    assert caught.value._render_traceback_() == [f"Interrupted: {caught.value}"]


def test_an_asynchronous_stream_is_shown_where_it_is_awaited(page: Recorder) -> None:
    async def use(client: AsyncClient) -> Reply:
        return await ashow(client.stream("Hi"))

    reply = asyncio.run(asked_async("Hello", use))
    assert isinstance(reply, Reply) and reply.text == "Hello" and reply.finish is not None
    assert page.plain == ["Hello"]


def test_an_asynchronous_stream_that_is_the_value_of_a_cell_comes_in_behind_it(
    page: Recorder,
) -> None:
    async def use(client: AsyncClient) -> None:
        client.stream("Hi")._ipython_display_()
        # There at once, so that the output belongs to the cell; in one, for the same reason.
        assert page.plain == ["…"]
        await asyncio.to_thread(page.wait_for, lambda: "Hello" in page.plain[0])

    answer: AnswerLike = [ReasoningDelta("why"), TextDelta("Hello"), Finish("stop")]
    asyncio.run(asked_async(answer, use))
    assert len(page.outputs) == 1
    assert "why" in page.html[0] and "Hello" in page.html[0]


def test_the_error_of_such_a_stream_is_a_card_in_its_output(page: Recorder) -> None:
    async def use(client: AsyncClient) -> None:
        client.stream("Hi")._ipython_display_()
        await asyncio.to_thread(page.wait_for, lambda: "StreamInterrupted" in page.plain[0])

    asyncio.run(asked_async(["Half", Cut()], use))
    assert len(page.outputs) == 1
    assert page.plain[0].startswith("Half\n\nThe answer broke off here.\nStreamInterrupted: ")


def test_a_cancelled_task_notes_that_the_answer_was_ended(
    page: Recorder, said: threading.Event
) -> None:
    async def use(client: AsyncClient) -> None:
        task = asyncio.ensure_future(ashow(client.stream("Hi")))
        await asyncio.to_thread(page.wait_for, lambda: page.plain == ["Half"])
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        said.set()

    asyncio.run(asked_async(["Half", Wait(said)], use))
    assert page.plain == ["Half\n\nThe answer was ended here."]


def test_a_painting_that_fails_is_raised_and_not_lost(
    page: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish = Recorder.publish

    def failing(self: Recorder, data: dict[str, str], **known: object) -> None:
        if data["text/plain"] == "Half":
            raise OSError("the page is gone")
        publish(self, data, **known)

    monkeypatch.setattr(Recorder, "publish", failing)
    painter = Painter(AnswerView()).start()
    with pytest.raises(OSError, match="the page is gone"):
        with painter:
            painter.say(TextDelta("Half"))
            with pytest.raises(OSError, match="the page is gone"):
                painter._painting.result(SECONDS)
            painter.say(TextDelta(" and more"))
            painter.say(Finish("stop"))
    assert page.plain == ["Half and more"]


def test_a_slow_painting_is_followed_by_a_longer_pause(page: Recorder) -> None:
    ticks = iter([0.0, 2.0])
    pauses = []

    class Over(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            pauses.append(timeout)
            self.set()
            return True

    painter = Painter(AnswerView(), 0.1, clock=ticks.__next__)
    painter._over = Over()
    with painter.start():
        painter.say(TextDelta("Hi"))
        painter._painting.result(SECONDS)
    assert pauses == [6.0]


# -- in a terminal ---------------------------------------------------------------------------------


def test_a_terminal_gets_plain_text(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    def use(client: SyncClient) -> Reply:
        stream = client.stream("Hi")
        assert next(stream) == TextDelta("one")
        return show(stream)

    reply = asked([TextDelta("one"), TextDelta(" *two*")], use)
    assert isinstance(reply, Reply) and reply.text == "one *two*"
    assert capsys.readouterr().out == "one *two*\n"


def test_a_terminal_gets_an_asynchronous_answer_where_it_is_awaited(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    async def use(client: AsyncClient) -> Reply:
        return await ashow(client.stream("Hi"))

    reply = asyncio.run(asked_async("Hello", use))
    assert isinstance(reply, Reply) and reply.text == "Hello"
    assert capsys.readouterr().out == "Hello\n"


def test_a_terminal_cannot_show_what_comes_later(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    async def use(client: AsyncClient) -> None:
        client.stream("Hi")._ipython_display_()

    asyncio.run(asked_async("Hello", use))
    assert capsys.readouterr().out == "<AsyncStream not opened, attempt 0>\n"


def test_an_error_of_a_shown_stream_is_raised_in_a_terminal(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(StreamInterrupted):
        asked(["Half", Cut()], lambda client: client.stream("Hi")._ipython_display_())
    assert capsys.readouterr().out == "Half"


def test_only_a_page_is_drawn_on(shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not draws()
    shell.display_pub = Recorder()
    assert draws()
    InteractiveShell.clear_instance()
    assert not draws()
    monkeypatch.delitem(sys.modules, "IPython.core.displaypub")
    assert not draws()
