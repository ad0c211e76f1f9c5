"""The commands around asking: models, doctor, record, replay, simulate, demo and completion."""

from __future__ import annotations

import io
import json
import os
import signal
import sys
import threading
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import click
import pytest

from glmclient import AuthenticationError, GLMError, SyncClient, TextDelta
from glmclient.cli.application import COMMANDS, application
from glmclient.cli.commands import checks
from glmclient.cli.commands.checks import meaning
from glmclient.cli.commands.doctor import _in_columns
from glmclient.cli.commands.simulation import _tell_requests
from glmclient.cli.parameters import _complete_model, _complete_option, is_terminal, known_models
from glmclient.cli.store.settings import write_keys
from glmclient.simulator import (
    Cut,
    LoopbackServer,
    Pause,
    Refusal,
    SimulatedRequest,
    SimulatedResponse,
    Simulator,
)

from .conftest import Run, Serve
from .test_keeping import without

KEY = "0123456789abcdef0123456789abcdef.CanaryCanary1234"


# -- models ----------------------------------------------------------------------------------------


def test_models(run: Run, serve: Serve) -> None:
    serve(provider="zai")
    ran = run("models", "-p", "zai")
    assert ran.code == 0
    assert "glm-4.6" in ran.out.splitlines()
    offered = json.loads(run("models", "-p", "zai", "--json").out)
    assert [model["id"] for model in offered] == ran.out.splitlines()
    assert run("models").out == "glm-4\n"


# -- doctor ----------------------------------------------------------------------------------------


def findings(run: Run, *arguments: str) -> tuple[int, dict[tuple[str, str], tuple[str, str]], str]:
    ran = run("doctor", "--json", *arguments)
    told = {(f["section"], f["subject"]): (f["verdict"], f["text"]) for f in json.loads(ran.out)}
    return ran.code, told, ran.out + ran.err


def test_doctor_without_a_network(run: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://user:proxy-password@proxy.example:3128")
    monkeypatch.delenv("NO_PROXY")
    monkeypatch.setenv("SSL_CERT_FILE", "/missing/ca.pem")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", os.devnull)
    monkeypatch.setenv("ZAI_API_KEY", KEY)
    code, told, whole = findings(run, "--offline")
    assert code == 0
    assert told["versions", "glmclient"][0] == "good"
    assert told["versions", "rich"][0] == "good"
    assert told["ways", "zai"] == (
        "good",
        "https://api.z.ai/api/paas/v4 through the proxy http://proxy.example:3128 (with credentials)",
    )
    assert told["ways", "SSL_CERT_FILE"][0] == "worth a look"
    assert told["ways", "REQUESTS_CA_BUNDLE"][0] == "good"
    assert told["keys", "zai"] == ("good", "ZAI_API_KEY in the environment")
    assert not [subject for section, subject in told if section == "services"]
    for secret in (KEY, "proxy-password", "user:"):
        assert secret not in whole


def test_doctor_looks_at_the_shape_of_keys(
    run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZAI_API_KEY", f"{KEY} ")
    monkeypatch.setenv("HF_TOKEN", "abc")
    monkeypatch.setenv("ZHIPUAI_API_KEY", "sk-abc")
    write_keys({"openai": "anything", "bigmodel": "odd"})
    _, told, _ = findings(run, "--offline")
    assert "spaces" in told["keys", "zai"][1]
    assert "begin with hf_" in told["keys", "qwen"][1]
    assert told["keys", "openai"] == ("good", "kept by glmclient keys")
    assert "usual shape" in told["keys", "bigmodel"][1]
    monkeypatch.setenv("HF_TOKEN", "hf_abc")
    assert findings(run, "--offline")[1]["keys", "qwen"][0] == "good"
    write_keys({})
    _, told, _ = findings(run, "--offline")
    assert "another service" in told["keys", "bigmodel"][1]


def test_doctor_looks_at_what_is_kept(
    run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("settings", "set", "usage", "on")
    write_keys({"zai": KEY})
    monkeypatch.setattr(os.path, "expanduser", lambda path: str(home.parent))
    _, told, _ = findings(run, "--offline")
    assert told["settings", "settings.json"] == ("good", "~/home/settings.json: usage")
    for name in ("settings.json", "keys.json"):
        (home / name).write_text("{")
    code, told, _ = findings(run, "--offline")
    assert code == 1
    assert told["settings", "settings.json"][0] == told["keys", "keys.json"][0] == "bad"
    assert "is not JSON" in told["settings", "settings.json"][1]


def test_doctor_tells_damaged_files(run: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home.mkdir()
    (home / "keys.json").write_text("{")
    (home / "keys.json").chmod(0o644)
    found = {(f.section, f.subject): f for f in checks.kept()}
    assert found["settings", "keys.json"].verdict == checks.BAD
    assert found["keys", "keys.json"].verdict == checks.BAD
    (home / "settings.json").write_text("{")
    found = {(f.section, f.subject): f for f in checks.kept()}
    assert found["settings", "settings.json"].verdict == checks.BAD
    monkeypatch.delenv("GLMCLIENT_HOME")
    without(monkeypatch, "platformdirs")
    found = {(f.section, f.subject): f for f in checks.kept()}
    assert found["settings", "place"].verdict == checks.WORTH_A_LOOK


def test_doctor_names_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    known = checks.version

    def version(name: str) -> str:
        if name == "rich":
            raise PackageNotFoundError(name)
        return known(name)

    monkeypatch.setattr(checks, "version", version)
    found = {f.subject: f for f in checks.installed()}
    assert found["rich"].verdict == checks.WORTH_A_LOOK
    assert "pip install 'glmclient[cli]'" in found["rich"].text


def test_doctor_asks_the_services(run: Run, serve: Serve) -> None:
    serve("OK")
    serve("OK", provider="qwen")
    serve("OK", provider="zai")
    code, told, _ = findings(run)
    assert code == 0
    assert told["services", "chatglm"][1].startswith("answers in ")
    assert told["services", "chatglm"][1].endswith(" s: 2 characters")
    assert told["services", "qwen"][0] == "good"
    assert told["services", "zai"][1].endswith(" models; the key fits")
    assert told["services", "bigmodel"][0] == "skipped"
    assert "ZHIPUAI_API_KEY" in told["services", "bigmodel"][1]
    assert told["services", "openai"] == ("skipped", "not asked: no address (--base-url)")
    assert "2 characters by glm-5.3" in findings(run, "-p", "zai", "--ask")[1]["services", "zai"][1]


def test_doctor_asks_a_compatible_server(run: Run, serve: Serve) -> None:
    url = serve("OK", provider="openai").url
    code, told, _ = findings(run, "-p", "openai", "--base-url", url, "--timeout", "20")
    assert code == 0
    assert told["services", "openai"][1].startswith("answers in ")
    assert "key" not in told["services", "openai"][1]


class Answering:
    """A server that gives one answer to everything, and keeps what it was sent."""

    def __init__(self, status: int) -> None:
        self.status = status
        self.requests: list[SimulatedRequest] = []
        self._server = LoopbackServer(self)

    def __enter__(self) -> str:
        self._server.start()
        return self._server.url

    def __exit__(self, *_: object) -> None:
        self._server.stop()

    def respond(self, request: SimulatedRequest) -> SimulatedResponse:
        self.requests.append(request)
        return SimulatedResponse.of_json({"error": {"message": "no"}}, self.status)

    @property
    def keys(self) -> set[str]:
        """The keys that it was sent; a guest of ChatGLM has none, and says so."""
        said = {request.headers.get("authorization", "undefined") for request in self.requests}
        return said - {"undefined"}


@pytest.fixture
def everywhere(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key for each service, and a simulated service for each."""
    for provider in ("chatglm", "qwen", "zai", "bigmodel"):
        serve("OK", provider=provider)
    for variable in ("HF_TOKEN", "ZAI_API_KEY", "ZHIPUAI_API_KEY"):
        monkeypatch.setenv(variable, f"key-in-{variable}")


@pytest.mark.parametrize(
    "default",
    ["", "zai", "qwen", "nobody"],
)
def test_an_address_is_for_one_service_and_gets_no_key_of_the_environment(
    run: Run, everywhere: None, monkeypatch: pytest.MonkeyPatch, default: str
) -> None:
    monkeypatch.setenv("GLMCLIENT_PROVIDER", default)
    with (strange := Answering(500)) as url:
        code, told, _ = findings(run, "--base-url", url)
    assert code == 1
    assert strange.keys == set()
    asked = default or "chatglm"
    for name in ("chatglm", "qwen", "zai", "bigmodel"):
        assert told["services", name][0] == ("bad" if name == asked else "good")
    if default == "nobody":
        assert strange.requests == []
        assert "must be one of" in told["settings", "GLMCLIENT_PROVIDER"][1]


def test_a_key_and_a_model_are_for_one_service(
    run: Run, everywhere: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (strange := Answering(500)) as url:
        monkeypatch.setenv("ZHIPUAI_BASE_URL", url)
        monkeypatch.setenv("GLMCLIENT_PROVIDER", "zai")
        _, told, _ = findings(run, "--key", "given", "-m", "glm-4.6")
    assert strange.keys == {"Bearer key-in-ZHIPUAI_API_KEY"}
    assert told["services", "zai"][0] == told["services", "chatglm"][0] == "good"


@pytest.mark.parametrize("status", [404, 405])
def test_doctor_claims_nothing_without_a_list_of_models(
    run: Run, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Answering(status) as url:
        monkeypatch.setattr("glmclient.providers.chat_completions.provider.Zai.coding_url", url)
        monkeypatch.setenv("ZHIPUAI_BASE_URL", url)
        monkeypatch.setattr(
            "glmclient.providers.chat_completions.provider.BigModel.coding_url", url
        )
        arguments = ("-p", "zai", "--key", "nokey", "--base-url", url)
        ran = run("doctor", "--doors", "--json", *arguments)
        _, openai, _ = findings(run, "-p", "openai", "--base-url", url)
    found = json.loads(ran.out)
    no_list = f"no list of models there ({status}); the key was not tried"
    (told,) = [f for f in found if f["section"] == "services"]
    assert told["verdict"] == "worth a look"
    assert told["text"].startswith(f"{no_list} (--ask).")
    doors = [(f["verdict"], f["text"].partition(": ")[2]) for f in found if f["section"] == "doors"]
    assert doors == [("skipped", no_list)] * 4
    assert openai["services", "openai"][0] == "bad"


def test_doctor_names_wrong_settings_and_asks_nobody_with_them(
    run: Run, serve: Serve, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulator = serve("OK")
    home.mkdir()
    (home / "settings.json").write_text('{"proxy": "foo"}')
    code, told, _ = findings(run, "-p", "chatglm")
    assert code == 1
    assert told["settings", "proxy"][0] == "bad"
    assert told["services", "chatglm"][0] == "bad"
    assert told["services", "chatglm"][1].startswith("not asked: a kept setting is wrong: proxy")
    (home / "settings.json").unlink()
    monkeypatch.setenv("GLMCLIENT_CHATGLM_BASE_URL", "foo")
    monkeypatch.setenv("GLMCLIENT_TIMEOUT", "soon")
    code, told, _ = findings(run, "--offline")
    assert code == 1
    assert "got 'foo'" in told["settings", "GLMCLIENT_CHATGLM_BASE_URL"][1]
    assert "'soon'" in told["settings", "GLMCLIENT_TIMEOUT"][1]
    assert simulator.requests == ()


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("blocked", "a wall stands in the way"),
        ("quota", "it answers, but the allowance is used up"),
        ("server", "it is there, and fails"),
    ],
)
def test_doctor_says_what_an_answer_means(run: Run, serve: Serve, kind: Any, words: str) -> None:
    serve(Refusal(kind))
    ran = run("doctor", "-p", "chatglm")
    assert ran.code == 1
    assert f"!!  chatglm             {words}" in " ".join(ran.out.split("\n  "))


def test_doctor_says_that_nobody_is_there(run: Run, serve: Serve) -> None:
    serve("OK").stop()
    code, told, _ = findings(run, "-p", "chatglm")
    assert code == 1
    assert told["services", "chatglm"][1].startswith("it cannot be reached. could not connect")


def test_doctor_wraps_at_a_terminal(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    assert _in_columns("word " * 20) == "word " * 20
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    lines = _in_columns("word " * 20).split("\n")
    assert len(lines) > 1
    assert all(line.startswith(" " * 26) and len(line) <= 60 for line in lines[1:])


def test_every_error_has_a_meaning() -> None:
    assert (
        meaning(AuthenticationError("no")) == "it answers, but the key does not fit this door. no"
    )
    assert meaning(GLMError("what")) == "it does not answer. what"


def test_doctor_tries_the_doors(run: Run, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    serve("OK")
    serve("OK", provider="qwen")
    right = serve("OK", provider="zai")

    class Refusing:
        def respond(self, request: SimulatedRequest) -> SimulatedResponse:
            refusal = {"error": {"code": "1000", "message": "no such key"}}
            return SimulatedResponse.of_json(refusal, 401)

    wrong = LoopbackServer(Refusing())
    wrong.start()
    try:
        monkeypatch.setenv("ZHIPUAI_BASE_URL", wrong.url)
        monkeypatch.setattr(
            "glmclient.providers.chat_completions.provider.Zai.coding_url", f"{wrong.url}/coding"
        )
        monkeypatch.setattr(
            "glmclient.providers.chat_completions.provider.BigModel.coding_url", f"{wrong.url}/c"
        )
        ran = run("doctor", "--doors", "--json")
    finally:
        wrong.stop()
    doors = [f for f in json.loads(ran.out) if f["section"] == "doors"]
    assert {f["subject"] for f in doors} == {"key of zai"}
    assert [f["text"] for f in doors if f["verdict"] == "good"] == [f"fits zai ({right.url})"]
    refused = [f["text"] for f in doors if f["verdict"] == "skipped"]
    assert [text.partition(":")[0] for text in refused] == [
        "at zai coding",
        "at bigmodel",
        "at bigmodel coding",
    ]
    assert all("the key does not fit this door" in text for text in refused)
    assert KEY not in ran.out
    monkeypatch.delenv("ZAI_API_KEY")
    none = json.loads(run("doctor", "--doors", "--json", "-p", "chatglm").out)
    assert [f["text"] for f in none if f["section"] == "doors"] == [
        "there is no platform key to try"
    ]


# -- record and replay -----------------------------------------------------------------------------


def test_record_and_replay(run: Run, serve: Serve, tmp_path: Path) -> None:
    simulator = serve([TextDelta("Hello "), TextDelta("世界")], provider="zai")
    tape = str(tmp_path / "chat.cassette")
    recorded = run("record", tape, "-p", "zai", "-o", "temperature", "0.5", "Hi")
    assert (recorded.code, recorded.out) == (0, "Hello 世界\n")
    assert recorded.err == f"[recorded] {tape}\n"
    simulator.stop()
    replayed = run("replay", tape)
    assert (replayed.code, replayed.out, replayed.err) == (0, "Hello 世界\n", "> Hi\n")
    assert run("replay", "--speed", "100", "-q", tape).out == "Hello 世界\n"
    assert json.loads(run("replay", "--json", tape).out)["text"] == "Hello 世界"
    assert run("record", tape, "-q", "--json", stdin="").code == 2


def test_what_fails_is_recorded_too(run: Run, serve: Serve, tmp_path: Path) -> None:
    serve([TextDelta("One"), Cut()])
    tape = str(tmp_path / "chat.cassette")
    recorded = run("record", tape, "Hi")
    assert recorded.code == 12
    assert "[recorded]" in recorded.err
    replayed = run("replay", tape)
    assert (replayed.code, replayed.out) == (12, "One\n")
    told = run("replay", "--jsonl", tape)
    assert json.loads(told.err)["error"]["type"] == "StreamInterrupted"


def test_what_was_not_recorded_is_not_told_as_recorded(
    run: Run, serve: Serve, tmp_path: Path
) -> None:
    serve("Hello")
    notes = tmp_path / "notes.txt"
    notes.write_text("Buy milk.\n")
    ran = run("record", str(notes), "hi")
    assert ran.code == 2
    assert "[recorded]" not in ran.err
    assert notes.read_text() == "Buy milk.\n"
    tape = str(tmp_path / "chat.cassette")
    assert "[recorded]" in run("record", tape, "Hi").err
    refused = run("record", tape, "-o", "temperature", "0.5", "Hi")
    assert (refused.code, "[recorded]" in refused.err) == (2, False)
    assert "[recorded]" in run("record", tape, "Hi").err


def test_several_questions_are_replayed(
    run: Run, serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulator = serve(["One.", Pause(0.0)], provider="zai")
    tape = str(tmp_path / "chat.cassette")
    with simulator.client(record=tape) as client:
        client.chat("First?")
        client.chat([{"role": "user", "content": [{"type": "text", "text": "Second?"}]}])
    ran = run("replay", tape)
    assert ran.out == "One.\nOne.\n"
    assert ran.err.splitlines() == ["> First?", '> [{"type": "text", "text": "Second?"}]']
    from .test_ask import interrupt_after

    interrupt_after(monkeypatch, 1)
    assert run("replay", tape).code == 130


def test_what_cannot_be_replayed(run: Run, serve: Serve, tmp_path: Path) -> None:
    tape = tmp_path / "chat.cassette"
    assert run("replay", str(tape)).code == 2
    simulator = serve(provider="zai")
    with simulator.client(record=tape) as client:
        client.models()
    assert "nothing is asked" in run("replay", str(tape)).err
    line = {"cassette": 1, "provider": "elsewhere", "url": "http://x"}
    question = {"question": 1, "messages": "Hi", "model": None, "options": {}}
    tape.write_text(f"{json.dumps(line)}\n{json.dumps(question)}\n")
    assert "'elsewhere', which the terminal does not know" in run("replay", str(tape)).err


# -- simulate and demo -----------------------------------------------------------------------------


def test_simulate_serves_until_it_is_ended(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from glmclient.cli import main

    class Url(io.StringIO):
        """Asks the service as soon as its address is told, and ends it then."""

        def write(self, text: str) -> int:
            if text.startswith("http"):
                self.asking = threading.Thread(target=self.ask, args=(text.strip(),))
                self.asking.start()
            return super().write(text)

        def ask(self, url: str) -> None:
            with SyncClient(base_url=url, trust_env=False) as client:
                self.said = client.chat("Hi").text
            os.kill(os.getpid(), signal.SIGTERM)

    out = Url()
    monkeypatch.setattr(sys, "stdout", out)
    assert main(["simulate", "-p", "chatglm", "--answer", "Hello!", "--delay", "0"]) == 0
    out.asking.join()
    assert out.said == "Hello!"
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_simulate_ends_with_ctrl_c(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("glmclient.cli.commands.simulation._tell_requests", interrupt)
    ran = run("simulate")
    assert ran.code == 0
    assert ran.err.startswith("Ctrl-C ends it. Try: glmclient -p chatglm --base-url http://")
    assert run("simulate", "-q").err == "\n"
    assert {line.split()[0] for line in ran.out.splitlines()} >= {"chatglm", "qwen", "zai"}
    assert run("simulate", "--port", "70000").code == 2


def test_requests_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    with Simulator("Hello!") as simulator:
        with simulator.client() as client:
            client.chat("Hi")
        for quiet in (False, True):
            ended = threading.Event()
            threading.Timer(0.3, ended.set).start()
            _tell_requests(simulator, ended, quiet=quiet)
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1
    assert told[0].startswith("POST /chatglm/mainchat-api/guest/stream (")


def test_demo(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("glmclient.demo.main", lambda: 0)
    assert run("demo").code == 0
    monkeypatch.setattr("glmclient.demo.main", lambda: 3)
    assert run("demo").code == 3


# -- completion ------------------------------------------------------------------------------------


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_for_a_shell(run: Run, shell: str) -> None:
    ran = run("completion", shell)
    assert ran.code == 0
    assert "_GLMCLIENT_COMPLETE" in ran.out


def test_a_shell_that_click_does_not_know(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "glmclient.cli.commands.completion.get_completion_class", lambda shell: None
    )
    assert run("completion", "fish").code == 2


def completed(monkeypatch: pytest.MonkeyPatch, words: str, capsys: Any) -> list[str]:
    monkeypatch.setenv("_GLMCLIENT_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", f"glmclient {words}")
    monkeypatch.setenv("COMP_CWORD", str(len(words.split(" "))))
    from glmclient.cli import main

    with pytest.raises(SystemExit):
        main([])
    return [line.partition(",")[2] for line in capsys.readouterr().out.splitlines()]


def test_a_shell_completes(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    assert set(completed(monkeypatch, "", capsys)) >= set(COMMANDS)
    assert completed(monkeypatch, "doc", capsys) == ["doctor"]
    assert completed(monkeypatch, "-p za", capsys) == ["zai"]
    assert completed(monkeypatch, "ask -p qwen -m q", capsys) == ["qwen-2.5"]
    assert completed(monkeypatch, "ask -o temp", capsys) == ["temperature"]


def test_models_and_options_complete() -> None:
    context = click.Context(application)
    parameter = click.Option(["--x"])
    assert "glm-4.6" in [i.value for i in _complete_model(context, parameter, "glm-4")]
    assert [i.value for i in _complete_option(context, parameter, "conv")] == ["conversation_id"]
    assert known_models("openai") == ()


def test_every_command_has_help(run: Run) -> None:
    listed = run("--help").out
    for name in COMMANDS:
        assert f"  {name} " in listed
        assert run(name, "--help").out.startswith("Usage: glmclient ")
    assert application.get_command(click.Context(application), "nothing") is None


def test_a_dumb_terminal_cannot_be_drawn_on(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    assert is_terminal(Terminal())
    assert not is_terminal(io.StringIO())
    monkeypatch.setenv("TERM", "dumb")
    assert not is_terminal(Terminal())
