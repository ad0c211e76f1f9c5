"""Scripts: what users write becomes checked answers, and each question gets its own."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glmclient.errors import (
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    ConfigurationError,
    NotFoundError,
    PermissionDeniedError,
    QuotaExceededError,
    RateLimitError,
    ServerError,
    ServiceBlockedError,
)
from glmclient.events import Finish, TextDelta
from glmclient.simulator import (
    Cut,
    EndBody,
    Open,
    Pause,
    Refusal,
    Reset,
    Script,
    SimulatedRequest,
    Step,
    Wait,
)
from glmclient.simulator.script import Answer, Answers, pieces

STOP = Finish("stop")


# -- text in pieces ----------------------------------------------------------------------------------------


@given(st.text())
def test_the_pieces_of_a_text_are_the_text(text: str) -> None:
    assert "".join(pieces(text)) == text
    assert "" not in pieces(text)


def test_a_text_comes_in_words_or_a_few_characters() -> None:
    assert pieces("Hello, big world\n") == ["Hello,", " big", " world", "\n"]
    assert pieces("你好世界！ ok") == ["你好", "世界", "！", " ok"]
    assert pieces("internationalisation") == ["internat", "ionalisa", "tion"]
    assert pieces("") == []


# -- answers -----------------------------------------------------------------------------------------------


def test_a_text_is_an_answer_with_an_end() -> None:
    assert Answer.of("a b").steps == (TextDelta("a"), TextDelta(" b"), STOP)
    assert Answer.of("").steps == (STOP,)
    steps: list[str | Step] = ["a", TextDelta("b")]
    assert Answer.of(iter(steps)).steps == (TextDelta("a"), TextDelta("b"), STOP)
    answer = Answer.of("a")
    assert Answer.of(answer) is answer


@pytest.mark.parametrize("end", [Finish("length"), Cut(), Reset(), EndBody(), Refusal("quota")])
def test_an_answer_that_ends_gets_no_other_end(end: Any) -> None:
    assert Answer.of(["a", end]).steps == (TextDelta("a"), end)
    assert Answer.of(["a", end, b"x", Pause(1), Cut()]).steps[-1] == Cut()


@pytest.mark.parametrize("late", ["a", TextDelta("a"), STOP, Refusal(), Open()])
@pytest.mark.parametrize("end", [STOP, Cut(), Refusal("quota")])
def test_nothing_is_said_after_the_end(end: Any, late: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"step 1 of the answer, .* comes after its end"):
        Answer.of([end, late])


@pytest.mark.parametrize("value", [3, None, b"a", {"a": 1}])
def test_what_is_no_answer_is_an_error(value: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"not {type(value).__name__}"):
        Answer.of(value)


def test_what_is_no_step_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match="step 1 of the answer is 3;"):
        Answer.of(["a", 3])  # type: ignore[list-item]


def test_a_refusal_of_no_known_kind_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match="'slow down': use one of login, quota"):
        Refusal("slow down")  # type: ignore[arg-type]


def test_what_comes_before_the_head_is_told_apart() -> None:
    signal = threading.Event()
    answer = Answer.of([Pause(1), Wait(signal), "a"])
    assert answer.before == (Pause(1), Wait(signal))
    assert answer.said == (TextDelta("a"), STOP)
    answer = Answer.of([Pause(1), Open(), Pause(2), "a"])
    assert (answer.before, answer.said) == ((Pause(1),), (Pause(2), TextDelta("a"), STOP))
    answer = Answer.of([Pause(1), Reset()])
    assert (answer.before, answer.said) == ((Pause(1), Reset()), ())
    answer = Answer.of([Open(), Cut()])
    assert (answer.before, answer.said) == ((), (Cut(),))


def test_a_refusal_stands_in_place_of_a_stream_only_at_the_beginning() -> None:
    refusal = Refusal("quota")
    assert Answer.of(refusal).refusal == refusal
    assert Answer.of([Pause(1), refusal]).refusal == refusal
    assert Answer.of(["a", refusal]).refusal is None
    assert Answer.of([Open(), refusal]).refusal is None
    assert Answer.of([b"", refusal]).refusal is None
    assert Answer.of([Reset()]).refusal is None


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (QuotaExceededError, "quota"),
        (RateLimitError, "rate_limit"),
        (AuthenticationError, "authentication"),
        (PermissionDeniedError, "permission"),
        (BadRequestError, "bad_request"),
        (NotFoundError, "not_found"),
        (ServiceBlockedError, "blocked"),
        (ServerError, "server"),
        (APIStatusError, "server"),
    ],
)
def test_an_error_is_the_refusal_that_makes_it(error: type[APIStatusError], kind: Any) -> None:
    assert Answer.of(error()).steps == (Refusal(kind),)
    told = error("m", status_code=499, code="7", reason="r", body="b", retry_after=2)
    assert Answer.of(["a", told]).steps[1] == Refusal(kind, "r", 499, "7", 2, "b")


# -- several answers ---------------------------------------------------------------------------------------


def said(answers: Answers, path: str = "/") -> tuple[Any, ...]:
    return answers.next(SimulatedRequest("POST", path)).steps[:-1]


def test_one_answer_serves_every_question() -> None:
    answers = Answers("a")
    assert said(answers) == said(answers) == (TextDelta("a"),)


def test_a_script_gives_each_question_its_own_answer_and_then_is_over() -> None:
    answers = Answers(Script("a", ["b"], lambda request: request.path))
    assert [said(answers, f"/{n}")[0].text for n in range(3)] == ["a", "b", "/2"]
    with pytest.raises(ConfigurationError, match="has 3 answers, and this is question 4; each try"):
        said(answers)
    assert [request.path for request in answers.questions] == ["/0", "/1", "/2", "/"]


def test_a_script_can_begin_again() -> None:
    answers = Answers(Script("a", "b", repeat=True))
    assert [said(answers)[0].text for _ in range(5)] == ["a", "b", "a", "b", "a"]


def test_a_script_needs_an_answer() -> None:
    with pytest.raises(ConfigurationError, match="at least one"):
        Script()


def test_a_script_shows_its_size() -> None:
    assert repr(Script("a", "secret")) == "Script(2 answers, repeat=False)"
    assert repr(Script("a", repeat=True)) == "Script(1 answer, repeat=True)"


def test_answers_known_ahead_are_checked_at_once_and_others_when_they_come() -> None:
    checked: list[Answer] = []
    answers = Answers(Script("a", lambda request: "b"), checked.append)
    assert checked == [Answer.of("a")]
    said(answers)
    said(answers)
    assert checked == [Answer.of("a"), Answer.of("b")]


def test_a_function_that_returns_no_answer_is_an_error() -> None:
    answers = Answers(lambda request: None)  # type: ignore[arg-type, return-value]
    with pytest.raises(ConfigurationError, match="not NoneType"):
        said(answers)


def test_another_script_can_take_over_and_a_wrong_one_does_not() -> None:
    answers = Answers(Script("a", "b"))
    said(answers)
    answers.change(Script("c"))
    with pytest.raises(ConfigurationError):
        answers.change(3)  # type: ignore[arg-type]
    assert said(answers)[0].text == "c"
    assert len(answers.questions) == 2


def test_every_thread_gets_an_answer_of_its_own() -> None:
    answers = Answers(Script(*[str(n) for n in range(400)]))
    got: list[str] = []

    def ask() -> None:
        got.extend(said(answers)[0].text for _ in range(50))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got, key=int) == [str(n) for n in range(400)]
