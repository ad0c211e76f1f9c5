"""The demonstration shows what arrives, and tells when something else arrives than was said."""

from __future__ import annotations

import asyncio
import importlib.util
import io
import itertools

import pytest

from glmclient import demo
from glmclient.errors import ServerError
from glmclient.events import ReasoningDelta, TextDelta, TextReplace
from glmclient.simulator import PROVIDERS, Simulator


def test_it_shows_the_answer_of_each_service_through_each_client() -> None:
    out = io.StringIO()
    assert demo.main(out, answer="你好 👩‍💻\nx = 1", delay=0) == 0
    shown = out.getvalue()
    for provider in demo.ANSWERS:
        assert f"A simulated '{provider}' service at http://127.0.0.1:" in shown
    for name in ("SyncClient:", "AsyncClient on asyncio:", "AsyncClient on trio:"):
        assert shown.count(name) == len(demo.ANSWERS)
    assert shown.count("    你好 👩‍💻\n    x = 1\n    [stop] first event after ") == 3 * len(
        demo.ANSWERS
    )
    assert shown.count("12 characters\n") == 6
    assert shown.count("12 characters; usage: 9 + 38 tokens\n") == 3  # the platform alone tells it
    assert "WRONG" not in shown
    assert shown.endswith("Every client read exactly what was said.\n")


def test_it_runs_where_a_loop_is_running_already() -> None:
    async def in_a_loop() -> int:
        return demo.main(io.StringIO(), answer="a", delay=0)

    assert asyncio.run(in_a_loop()) == 0


def test_every_dialect_is_shown_with_chinese_emoji_and_code() -> None:
    dialects = {type(Simulator(provider=name)._services.only).__module__ for name in demo.ANSWERS}
    assert dialects == {
        type(Simulator(provider=name)._services.only).__module__ for name in PROVIDERS
    }
    for answer in demo.ANSWERS.values():
        assert "`" in answer
        assert any("\u4e00" <= character <= "\u9fff" for character in answer)
        assert any(character >= "\U0001f000" for character in answer)


def test_it_does_without_trio(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "trio" else find(name)
    )
    out = io.StringIO()
    assert demo.main(out, answer="a", delay=0) == 0
    assert "AsyncClient on asyncio" in out.getvalue()
    assert "trio" not in out.getvalue()


def test_it_measures_with_its_clock() -> None:
    out = io.StringIO()
    ticks = itertools.count(0, 0.25)
    assert demo.main(out, answer="a", delay=0, clock=lambda: next(ticks)) == 0
    assert (
        "[stop] first event after 250 ms, all after 500 ms; 2 events, 1 characters"
        in out.getvalue()
    )


def test_it_shows_a_rewrite() -> None:
    out = io.StringIO()
    shown = demo._Shown(out, lambda: 0.0)
    shown.show(ReasoningDelta("hm"))
    shown.show(TextDelta("ab"))
    shown.show(TextReplace(1, "c"))
    assert shown.text == "ac"
    assert out.getvalue() == "ab\n    [rewritten from character 1] c"
    assert shown.summary().startswith("[no end]")


def test_it_fails_if_another_text_arrives(monkeypatch: pytest.MonkeyPatch) -> None:
    original = demo._Shown.show

    def losing(self: demo._Shown, event: object) -> None:
        original(self, event)  # type: ignore[arg-type]
        self.text = self.text[:1]

    monkeypatch.setattr(demo._Shown, "show", losing)
    out = io.StringIO()
    assert demo.main(out, answer="ab", delay=0) == 1
    assert "WRONG: SyncClient from 'chatglm': expected 'ab', but 'a' arrived" in out.getvalue()
    assert "Every client" not in out.getvalue()


def test_it_fails_if_a_client_does() -> None:
    def read() -> None:
        raise ServerError("no answer")

    shown = demo._Shown(io.StringIO(), lambda: 0.0)
    assert demo._failure(read, shown, "a") == "ServerError: no answer"


def test_it_writes_what_the_terminal_can_hold() -> None:
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding="ascii")
    assert demo.main(out, answer="a 你", delay=0) == 0
    assert b"a ?\n" in raw.getvalue()


def test_it_writes_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    assert demo.main(delay=0) == 0
    assert "Every client read exactly what was said" in capsys.readouterr().out
