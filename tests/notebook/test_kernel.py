"""Cells in a real kernel, which ask a service of this process: what a page shows, and when."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from glmclient import Finish, ReasoningDelta, TextDelta
from glmclient.simulator import Cut, Refusal, Simulator, Wait
from glmclient.simulator.script import AnswerLike

from .conftest import SECONDS
from .kernel import Kernel

pytestmark = pytest.mark.xdist_group("kernel")


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    kernel = Kernel(tmp_path_factory.mktemp("kernel"))
    kernel.run("from glmclient import *\nfrom glmclient.notebook import ashow, show")
    kernel.run("%load_ext glmclient")
    yield kernel
    kernel.stop()


class Notebook:
    """A kernel whose cells ask a service of this process, which waits where it is told to.

    Args:
        kernel: where the cells run.
    """

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.go_on = threading.Event()
        self.answers: list[AnswerLike] = []
        self.service = Simulator(lambda request: self.answers.pop(0))

    def says(self, *answers: AnswerLike) -> None:
        """Set what the service answers to the next questions."""
        self.answers.extend(answers)


@pytest.fixture
def notebook(started: Kernel) -> Iterator[Notebook]:
    notebook = Notebook(started)
    with notebook.service as service:
        started.run(
            f"client = SyncClient(base_url={service.url!r})\n"
            f"asked = AsyncClient(base_url={service.url!r})"
        )
        yield notebook
        notebook.go_on.set()


def test_a_cell_shows_its_answer_while_it_comes(notebook: Notebook) -> None:
    notebook.says(
        [
            ReasoningDelta("*why*"),
            TextDelta("Hel"),
            TextDelta("lo"),
            Wait(notebook.go_on),
            " **you**",
        ]
    )
    cell = notebook.kernel.start("%%glm --client client -o answer\nWhy?\n")
    cell.wait_for(lambda: cell.shows("Hello"))
    assert not cell.idle
    folded = cell.html[0]
    notebook.go_on.set()
    cell.wait_for(lambda: cell.idle)
    assert notebook.service.prompts == ("Why?",)
    assert cell.html[0] == folded and "<details><summary" in folded and "<em>why</em>" in folded
    assert "<strong>you</strong>" in cell.html[1] and len(cell.outputs) == 2
    assert notebook.kernel.run("print(answer.text)").text == "Hello **you**\n"


def test_the_blocking_client_works_beside_the_loop_of_the_notebook(notebook: Notebook) -> None:
    notebook.says("one", "two")
    cell = notebook.kernel.run(
        "import asyncio\nassert asyncio.get_running_loop().is_running()\n"
        "print(client.chat('Hi').text, *client.stream('Hi').text_stream)"
    )
    assert cell.text == "one two\n"


def test_a_stream_and_a_reply_show_themselves(notebook: Notebook) -> None:
    notebook.says("*one*", "*two*")
    shown = notebook.kernel.run("client.stream('Hi')")
    assert shown.plain == ["*one*"] and "<em>one</em>" in shown.html[0]
    shown = notebook.kernel.run("client.chat('Hi')")
    assert shown.plain[0].startswith("Reply(text='*two*'") and "<em>two</em>" in shown.html[0]


def test_await_and_async_for_work_at_the_top(notebook: Notebook) -> None:
    notebook.says("one", "two", "three", "four", "*five*")
    cell = notebook.kernel.run(
        "print((await asked.chat('Hi')).text)\n"
        "async for event in asked.stream('Hi'):\n"
        "    print(event)\n"
        "async with asked.stream('Hi') as stream:\n"
        "    print([piece async for piece in stream.text_stream])\n"
        "stream = await asked.stream('Hi')\n"
        "print((await stream.reply()).text)\n"
        "reply = await ashow(asked.stream('Hi'))"
    )
    one, delta, finish, three, four = cell.text.splitlines()
    assert (one, delta, three, four) == ("one", "TextDelta(text='two')", "['three']", "four")
    assert finish.startswith("Finish(reason='stop'")
    assert cell.plain == ["*five*"] and "<em>five</em>" in cell.html[0]


def test_an_asynchronous_stream_comes_in_behind_its_cell(notebook: Notebook) -> None:
    notebook.says([Wait(notebook.go_on), ReasoningDelta("why"), TextDelta("late"), Finish("stop")])
    cell = notebook.kernel.run("asked.stream('Hi')")
    assert cell.idle and cell.plain == ["…"]
    notebook.go_on.set()
    cell.wait_for(lambda: cell.shows("late"))
    assert len(cell.outputs) == 1 and "why" in cell.html[0]


def test_the_interrupt_button_ends_the_answer_and_keeps_it(notebook: Notebook) -> None:
    notebook.says(["Half", Wait(notebook.go_on)], "whole")
    cell = notebook.kernel.start("%glm --client client -o answer Hi")
    cell.wait_for(lambda: cell.shows("Half"))
    reply = cell.interrupt()
    # An error to the kernel, so that cells below do not run; to the reader, one quiet line.
    assert (reply["status"], reply["ename"]) == ("error", "AnswerInterrupted")
    assert cell.error is not None
    assert cell.error["traceback"] == [
        "Interrupted: the answer was ended; what came of it is kept."
    ]
    assert cell.plain == ["Half\n\nThe answer was ended here."]
    notebook.go_on.set()
    assert notebook.service.wait_for_disconnects(timeout=SECONDS)
    after = notebook.kernel.run("print(repr(answer.text), answer.finish)\n%glm --client client Hi")
    assert after.text == "'Half' None\n" and after.plain == ["whole"]


def test_the_interrupt_button_ends_an_awaited_answer(notebook: Notebook) -> None:
    notebook.says(["Half", Wait(notebook.go_on)])
    notebook.kernel.run("stream = asked.stream('Hi')")
    cell = notebook.kernel.start("await ashow(stream)")
    cell.wait_for(lambda: cell.shows("Half"))
    assert cell.interrupt()["status"] == "error"
    assert cell.plain == ["Half\n\nThe answer was ended here."]
    assert notebook.kernel.run("print(stream.text)").text == "Half\n"


def test_an_error_is_a_card_and_ends_the_run(notebook: Notebook) -> None:
    notebook.says(["Half", Cut()], Refusal("quota"))
    cell = notebook.kernel.start("%glm --client client Hi")
    reply = cell.reply()
    assert (reply["status"], reply["ename"]) == ("error", "StreamInterrupted")
    assert cell.error is None, "the card stands in place of the traceback"
    came, card = cell.outputs
    assert came["text/plain"] == "Half\n\nThe answer broke off here."
    assert "<strong>StreamInterrupted</strong>" in card["text/html"]

    cell = notebook.kernel.start("client.chat('Hi')")
    assert cell.reply()["ename"] == "GuestQuotaError"
    assert cell.error is None and "<strong>GuestQuotaError</strong>" in cell.html[0]


def test_what_a_model_writes_does_not_run(notebook: Notebook) -> None:
    notebook.says("<script>alert(1)</script> <img src=x onerror=alert(1)>")
    (html,) = notebook.kernel.run("client.stream('Hi')").html
    assert "<script" not in html and "<img" not in html and "&lt;script&gt;" in html
