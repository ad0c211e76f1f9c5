"""``%load_ext glmclient`` and ``%glm``, in a shell of this process."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
from IPython.core.interactiveshell import InteractiveShell

import glmclient
from glmclient import ConfigurationError, GLMError, Reply, SyncClient
from glmclient.notebook.magics import GLMMagics
from glmclient.simulator import Cut, Refusal, Script, Simulator

from .conftest import Recorder


@pytest.fixture
def loaded(
    shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[InteractiveShell, Simulator]]:
    """A shell with the extension, and the service that it asks."""
    script = Script("one", "**two**", "three", repeat=True)
    with Simulator(script) as sim:
        monkeypatch.setenv("GLMCLIENT_CHATGLM_BASE_URL", sim.url)
        shell.run_line_magic("load_ext", "glmclient")
        yield shell, sim
        shell.run_line_magic("unload_ext", "glmclient")


Loaded = tuple[InteractiveShell, Simulator]


def said_to(sim: Simulator, number: int = 0) -> str:
    """Return what a question said, with what was folded into it."""
    message = sim.questions[number].json["messages"][0]
    text: str = message["content"][0]["text"]
    return text


def test_a_line_asks_and_shows_the_answer(loaded: Loaded, page: Recorder) -> None:
    shell, sim = loaded
    assert shell.run_line_magic("glm", "Why don't {cats} fly for $5?") is None
    assert sim.prompts == ("Why don't {cats} fly for $5?",)
    assert page.plain == ["one"]


@pytest.mark.parametrize(
    "said",
    [
        "Why?",
        "Why is the sky blue?",
        "你好?",
        "Really??",
        "Why don't cats fly?",
        'Is "this" it?',
        "a [b?",
        "What is $x + {y}?",
    ],
)
def test_a_question_in_a_line_may_end_with_its_mark(loaded: Loaded, said: str) -> None:
    shell, sim = loaded
    code = f"before = 1\nif before:\n    %glm {said}\n"
    assert shell.run_cell(code).success
    assert sim.prompts == (said,)


@pytest.mark.parametrize("line", ["%glm?", "%glm??", "glm = 1\nglm?"])
def test_help_is_still_help(loaded: Loaded, capsys: pytest.CaptureFixture[str], line: str) -> None:
    shell, sim = loaded
    assert shell.run_cell(line).success
    assert sim.prompts == ()


def test_a_string_is_not_a_question(loaded: Loaded) -> None:
    shell, sim = loaded
    assert shell.run_cell('text = """\n%glm Why?\n"""').success
    assert shell.user_ns["text"] == "\n%glm Why?\n" and sim.prompts == ()


def test_a_cell_asks_with_options(loaded: Loaded, page: Recorder) -> None:
    shell, sim = loaded
    shell.run_cell_magic("glm", '-m glm-4 -s "Be brief." -o answer', "Hello,\nyou\n")
    assert said_to(sim) == "Be brief.\n\nHello,\nyou"
    answer = shell.user_ns["answer"]
    assert isinstance(answer, Reply) and answer.text == "one"
    assert answer.finish is not None and answer.finish.reason == "stop"


def test_the_connections_of_one_provider_are_shared(loaded: Loaded) -> None:
    shell, sim = loaded
    for _ in range(2):
        shell.run_line_magic("glm", "Hello")
    first, second = sim.questions
    assert first.headers["x-device-id"] == second.headers["x-device-id"]


def test_a_question_goes_on_from_the_last_answer(loaded: Loaded) -> None:
    shell, sim = loaded
    for line in ("-s brief One?", "-c Two?", "Three?"):
        shell.run_line_magic("glm", line)
    assert sim.prompts == ("brief\n\nOne?", "Two?", "Three?")
    first, second, third = (question.json["conversation_id"] for question in sim.questions)
    assert (first, third) == ("", "") and second != ""


def test_nothing_to_go_on_from_is_a_usage_error(
    loaded: Loaded, capsys: pytest.CaptureFixture[str]
) -> None:
    shell, sim = loaded
    assert not shell.run_cell("%glm -c Two?").success
    assert "there is nothing to --continue" in capsys.readouterr().err
    assert sim.prompts == ()


def test_options_reach_the_provider(loaded: Loaded) -> None:
    shell, sim = loaded
    shell.run_line_magic("glm", "--option conversation_id abc Hello")
    assert sim.questions[0].json["conversation_id"] == "abc"


def test_a_client_of_the_notebook_is_asked(loaded: Loaded) -> None:
    shell, sim = loaded
    with Simulator("mine") as other, SyncClient(base_url=other.url) as client:
        shell.user_ns["client"] = client
        shell.run_line_magic("glm", "--client client -o answer Hello")
    assert shell.user_ns["answer"].text == "mine"
    assert sim.prompts == ()


def test_a_variable_that_is_no_client_is_a_usage_error(
    loaded: Loaded, capsys: pytest.CaptureFixture[str]
) -> None:
    shell, _ = loaded
    assert not shell.run_cell("%glm --client nothing Hello").success
    assert "'nothing' is not a SyncClient of this notebook" in capsys.readouterr().err


def test_provider_and_model_are_chosen_for_the_whole_notebook(shell: InteractiveShell) -> None:
    made = []
    with Simulator("hi") as sim:

        def make_client(provider: str) -> SyncClient:
            made.append(provider)
            return SyncClient(base_url=sim.url)

        magics = GLMMagics(shell, make_client)
        magics.provider, magics.model = "zai", "no-such-model"
        with pytest.raises(ConfigurationError, match="'no-such-model'"):
            magics.glm("Hello")
        magics.glm("-m glm-4 -p qwen Hello")
        magics.close()
    assert made == ["zai", "qwen"]


def test_what_came_before_an_error_is_in_the_variable(
    shell: InteractiveShell, page: Recorder
) -> None:
    with Simulator(["Half", Cut()]) as sim, SyncClient(base_url=sim.url) as client:
        shell.user_ns["client"] = client
        with pytest.raises(glmclient.StreamInterrupted):
            GLMMagics(shell).glm("--client client -o answer Hello")
    assert shell.user_ns["answer"] == Reply("Half")


def test_the_help_tells_the_options(loaded: Loaded) -> None:
    shell, _ = loaded
    text = shell.find_line_magic("glm").__doc__
    for flag in ("--model", "--provider", "--client", "--output", "--system", "--option"):
        assert flag in text


# -- errors ----------------------------------------------------------------------------------------


def test_an_error_that_ends_a_cell_is_a_card(loaded: Loaded, page: Recorder) -> None:
    shell, _ = loaded
    result = shell.run_cell("import glmclient\nraise glmclient.GLMError('it broke')")
    assert isinstance(result.error_in_exec, GLMError)
    assert page.plain == ["GLMError: it broke"]
    assert "Traceback" in page.html[0]


def test_a_refusal_is_one_card(
    shell: InteractiveShell, page: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Simulator(Refusal("quota")) as sim:
        monkeypatch.setenv("GLMCLIENT_CHATGLM_BASE_URL", sim.url)
        shell.run_line_magic("load_ext", "glmclient")
        assert not shell.run_cell("%glm Hello").success
        shell.run_line_magic("unload_ext", "glmclient")
    answer, card = page.plain
    assert answer == "" and card.startswith("GuestQuotaError: ")


def test_a_terminal_shows_an_error_in_a_line_and_the_rest_when_asked(
    loaded: Loaded, capsys: pytest.CaptureFixture[str]
) -> None:
    shell, _ = loaded
    assert not shell.run_cell("import glmclient\nraise glmclient.GLMError('it broke')").success
    out = capsys.readouterr().out
    assert out.strip().endswith("use %tb to see the full traceback.\n\nGLMError: it broke")
    assert "Traceback" not in out
    shell.run_cell("%tb")
    assert "Traceback" in capsys.readouterr().out


def test_the_handler_of_somebody_else_stays(shell: InteractiveShell) -> None:
    shell.set_custom_exc((ZeroDivisionError,), lambda *arguments, **known: None)
    shell.run_line_magic("load_ext", "glmclient")
    assert shell.custom_exceptions == (ZeroDivisionError,)
    shell.run_line_magic("unload_ext", "glmclient")
    assert shell.custom_exceptions == (ZeroDivisionError,)


# -- loading ---------------------------------------------------------------------------------------


def test_unloading_takes_everything_away(loaded: Loaded) -> None:
    shell, _ = loaded
    shell.run_line_magic("glm", "Hello")
    assert shell.custom_exceptions == (GLMError,)
    shell.run_line_magic("unload_ext", "glmclient")
    assert shell.custom_exceptions == ()
    transformers = shell.input_transformer_manager.token_transformers
    assert "QuestionLine" not in [each.__name__ for each in transformers]
    assert shell.find_line_magic("glm") is None and shell.find_cell_magic("glm") is None
    shell.run_line_magic("load_ext", "glmclient")
    assert shell.find_cell_magic("glm") is not None


def test_loading_again_starts_afresh(loaded: Loaded) -> None:
    shell, sim = loaded
    shell.run_line_magic("glm", "Hello")
    glmclient.load_ipython_extension(shell)  # type: ignore[attr-defined]
    shell.run_line_magic("glm", "Hello")
    first, second = sim.questions
    assert first.headers["x-device-id"] != second.headers["x-device-id"]


def test_a_missing_package_is_an_error_that_names_the_command(
    shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "markdown_it", None)
    with pytest.raises(
        ConfigurationError,
        match=r"need markdown_it, which is not installed: pip install 'glmclient\[notebook\]'",
    ):
        glmclient.load_ipython_extension(shell)  # type: ignore[attr-defined]
