"""`batch`: rows in, lines out, and what a run that ended early leaves for the next one."""

from __future__ import annotations

import asyncio
import datetime
import enum
import errno
import io
import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, make_dataclass
from pathlib import Path
from typing import Any

import msgspec
import pydantic
import pytest

from glmclient import (
    AsyncClient,
    BatchReport,
    ConfigurationError,
    Finish,
    Image,
    Limiter,
    QuotaExceededError,
    Reply,
    Result,
    StreamInterrupted,
    SyncClient,
    ToolCall,
    Usage,
)
from glmclient.batch import journal as journal_module
from glmclient.batch import lines as lines_module
from glmclient.batch.done import DoneRows
from glmclient.batch.journal import Journal
from glmclient.batch.lines import Done, bounded_lines, input_lines, output_line
from glmclient.batch.run import Batch, Settings
from glmclient.cli import main

from .service import Service

ROOT = Path(__file__).resolve().parents[2]


def client_of(service: Service, **more: Any) -> SyncClient:
    return SyncClient(
        "openai", base_url=service.url, model="m", trust_env=False, retry=None, **more
    )


def written(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def input_of(path: Path, *rows: Any) -> Path:
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return path


def refusing(**refusals: tuple[int, dict[str, Any]]) -> Callable[[str], Any]:
    """Return what refuses the prompts of these names."""
    return lambda prompt: refusals.get(prompt)


NO_BALANCE = (429, {"error": {"code": "1113", "message": "no balance"}})
BAD = (400, {"error": {"message": "bad words"}})
BROKEN = (500, {"error": {"message": "failed"}})


def test_every_row_has_one_line(tmp_path: Path) -> None:
    rows = input_of(
        tmp_path / "in",
        {"id": "a", "prompt": "one"},
        {"id": "b", "messages": [{"role": "user", "content": "two"}], "temperature": 0.5},
        {"custom_id": "c", "body": {"messages": [{"role": "user", "content": "three"}]}},
        "",
        "not JSON",
        {"id": "d", "nothing": 1},
        {"prompt": "same"},
        {"prompt": "same"},
        {"id": "a", "prompt": "another with that id"},
        {"id": "e", "prompt": "bad"},
    )
    with Service(refuse=refusing(bad=BAD)) as service, client_of(service) as client:
        report = client.batch(rows, tmp_path / "out")
    lines = {line["id"]: line for line in written(tmp_path / "out")}
    assert len(written(tmp_path / "out")) == len(lines) == report.total == 9
    assert (report.succeeded, report.failed, report.skipped) == (6, 3, 0)
    assert report.errors == {"ConfigurationError": 2, "BadRequestError": 1}
    assert report.usage.total_tokens == 60
    assert {row_id for row_id, line in lines.items() if line["ok"]} >= {"a", "b", "c", "a#2"}
    assert lines["a"]["text"] == "echo: one"
    assert lines["a"]["finish_reason"] == "stop"
    assert lines["a"]["usage"]["total_tokens"] == 10
    assert {"key", "model", "attempts", "seconds", "request_id"} <= lines["a"].keys()
    assert lines["line-5"]["error"]["class"] == "ConfigurationError"
    assert "not JSON" in lines["line-5"]["error"]["message"]
    assert lines["d"]["error"]["class"] == "ConfigurationError"
    assert lines["e"]["error"] == {
        "class": "BadRequestError",
        "code": None,
        "message": lines["e"]["error"]["message"],
        "retryable": False,
    }
    assert "bad words" in lines["e"]["error"]["message"]
    own = [line["id"] for line in lines.values() if line.get("text") == "echo: same"]
    assert len({row_id.rpartition("-")[0] for row_id in own}) == 1
    assert sorted(row_id.rpartition("-")[2] for row_id in own) == ["1", "2"]


def test_rows_that_are_done_are_skipped_and_changed_ones_asked_again(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with Service(refuse=refusing(bad=BAD)) as service, client_of(service) as client:
        rows = [{"id": "a", "prompt": "one"}, {"id": "b", "prompt": "bad"}, "plain"]
        first = client.batch(rows, out)
        again = client.batch(rows, out)
        assert again == BatchReport(3, 2, 1, 3, errors={"BadRequestError": 1})
        assert (first.succeeded, len(service.prompts)) == (2, 3)
        rows[0] = {"id": "a", "prompt": "changed"}
        changed = client.batch(rows, out)
        assert (changed.total, changed.skipped) == (3, 2)
        assert [line["text"] for line in written(out) if line["id"] == "a"] == [
            *("echo: one", "echo: changed"),
        ]
        other = client.batch(rows, out, temperature=0.5)
        assert other.skipped == 0


def test_errors_are_asked_again_on_request_if_they_may_be_gone(tmp_path: Path) -> None:
    out, rows = tmp_path / "out", [{"id": "a", "prompt": "broken"}, {"id": "b", "prompt": "bad"}]
    with Service(refuse=refusing(broken=BROKEN, bad=BAD)) as service, client_of(service) as client:
        assert client.batch(rows, out).failed == 2
        assert client.batch(rows, out).skipped == 2
        service.refuse = lambda prompt: None
        report = client.batch(rows, out, retry_errors=True)
    assert (report.succeeded, report.failed, report.skipped) == (1, 1, 1)


def test_an_empty_answer_is_an_error_row(tmp_path: Path) -> None:
    with Service(text=lambda prompt: "") as service, client_of(service) as client:
        report = client.batch(["q"], tmp_path / "out")
        assert report.errors == {"EmptyAnswer": 1}
        assert client.batch(["q"], tmp_path / "out", retry_errors=True).skipped == 1
    assert written(tmp_path / "out")[0]["error"]["class"] == "EmptyAnswer"


def test_an_error_that_every_row_would_meet_stops_the_run(tmp_path: Path) -> None:
    out, rows = tmp_path / "out", [f"q{n}" for n in range(500)]
    with Service(refuse=lambda prompt: NO_BALANCE) as service, client_of(service) as client:
        report = client.batch(rows, out, concurrency=2)
        assert isinstance(report.stopped, QuotaExceededError)
        assert report.total < 50
        service.refuse = lambda prompt: None
        mended = client.batch(rows, out)
    assert (mended.total, mended.succeeded, mended.failed, mended.stopped) == (500, 500, 0, None)


def test_single_pointless_errors_do_not_stop_it(tmp_path: Path) -> None:
    with Service(refuse=refusing(q5=NO_BALANCE, q9=NO_BALANCE)) as service:
        rows = [f"q{n}" for n in range(20)]
        with client_of(service) as client:
            report = client.batch(rows, tmp_path / "out", concurrency=1)
    assert (report.total, report.failed, report.stopped) == (20, 2, None)


def test_max_errors(tmp_path: Path) -> None:
    with Service(refuse=lambda prompt: BAD) as service, client_of(service) as client:
        rows = [f"q{n}" for n in range(200)]
        report = client.batch(rows, tmp_path / "out", concurrency=1, max_errors=5)
    assert "max_errors" in str(report.stopped)
    assert 5 <= report.failed < 20


def test_ordered_sorts_the_last_lines_by_the_input(tmp_path: Path) -> None:
    out, rows = tmp_path / "out", [{"id": f"r{n}", "prompt": f"q{n}"} for n in range(60)]
    with Service() as service, client_of(service) as client:
        client.batch(rows[:10], out)
        rows[3] = {"id": "r3", "prompt": "changed"}
        client.batch(rows, out, ordered=True)
    assert [line["id"] for line in written(out)] == [f"r{n}" for n in range(60)]
    assert written(out)[3]["text"] == "echo: changed"
    assert list(tmp_path.iterdir()) == [out]


def test_the_lines_of_openai(tmp_path: Path) -> None:
    out, rows = tmp_path / "out", [{"id": "a", "prompt": "q"}, {"id": "b", "prompt": "bad"}]
    with Service(refuse=refusing(bad=BAD)) as service, client_of(service) as client:
        client.batch(rows, out, format="openai")
        assert client.batch(rows, out, format="openai").skipped == 2
    lines = {line["custom_id"]: line for line in written(out)}
    body = lines["a"]["response"]["body"]
    assert body["choices"][0]["message"] == {"role": "assistant", "content": "echo: q"}
    assert body["usage"] == {"prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 10}
    assert (lines["a"]["error"], lines["b"]["response"]) == (None, None)
    assert lines["b"]["error"]["class"] == "BadRequestError"


def test_a_system_message_for_rows_without_one(tmp_path: Path) -> None:
    own = {
        "id": "b",
        "messages": [{"role": "system", "content": "own"}, {"role": "user", "content": "q"}],
    }
    with Service() as service, client_of(service) as client:
        bodies: list[Any] = []
        service.spy = bodies.append
        client.batch([{"id": "a", "prompt": "q"}, own], tmp_path / "out", system="Be brief.")
    systems = sorted(body["messages"][0]["content"] for body in bodies)
    assert systems == ["Be brief.", "own"]


def test_the_asynchronous_client(tmp_path: Path) -> None:
    async def main() -> tuple[BatchReport, BatchReport]:
        async with AsyncClient(
            "openai", base_url=service.url, model="m", trust_env=False, retry=None
        ) as client:
            stopped = await client.batch(rows, tmp_path / "out", concurrency=2)
            service.refuse = lambda prompt: None
            return stopped, await client.batch(rows, tmp_path / "out", ordered=True)

    rows = [f"q{n}" for n in range(100)]
    with Service(refuse=lambda prompt: NO_BALANCE) as service:
        stopped, whole = asyncio.run(main())
    assert isinstance(stopped.stopped, QuotaExceededError)
    assert (whole.total, whole.succeeded, len(written(tmp_path / "out"))) == (100, 100, 100)


# -- the output file -------------------------------------------------------------------------------


def test_a_torn_last_line_is_cut_off(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with Service() as service, client_of(service) as client:
        client.batch([{"id": "a", "prompt": "q"}], out)
        whole = out.read_bytes()
        out.write_bytes(whole + b'{"id":"b","key":"x","ok":true,"te' + b"x" * 100_000)
        report = client.batch([{"id": "a", "prompt": "q"}, {"id": "b", "prompt": "q"}], out)
        assert report.skipped == 1
        assert [line["id"] for line in written(out)] == ["a", "b"]
        out.write_bytes(whole[:7] + b"x" * 200_000)
        assert client.batch(["q"], out).succeeded == 1


def test_lines_that_are_not_of_a_batch_are_passed_over(tmp_path: Path) -> None:
    out = tmp_path / "out"
    ours = b'{"id":"b","key":"k","ok":true}\n'
    other = b'not JSON\n[]\n{"id":5}\n{"ok":true,"id":"a"}\n' + b"[" * 100_000 + b"\n"
    out.write_bytes(other + ours)
    with Service() as service, client_of(service) as client:
        assert client.batch([{"id": "a", "prompt": "q"}], out).skipped == 0


def test_two_writers_of_one_output_are_refused(tmp_path: Path) -> None:
    with Service() as service, client_of(service) as client, Journal(tmp_path / "out"):
        with pytest.raises(ConfigurationError, match="another process writes to"):
            client.batch(["q"], tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == b""


def test_the_output_is_a_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with SyncClient() as client:
        for path in (tmp_path / "pipe", Path("/dev/null")):
            with pytest.raises(ConfigurationError, match="not a regular file"):
                client.batch(["q"], path)


@pytest.mark.parametrize("rows", [5, None])
def test_rows_that_are_not_rows(rows: Any, tmp_path: Path) -> None:
    with SyncClient() as client, pytest.raises(ConfigurationError, match="a path or an iterable"):
        client.batch(rows, tmp_path / "out")


def test_an_input_that_is_not_there(tmp_path: Path) -> None:
    with SyncClient() as client, pytest.raises(ConfigurationError, match="cannot be read"):
        client.batch(tmp_path / "none", tmp_path / "out")


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        ({"max_errors": 0}, "max_errors"),
        ({"max_errors": True}, "max_errors"),
        ({"format": "csv"}, "format"),
    ],
)
def test_wrong_settings(wrong: dict[str, Any], name: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        Settings(**wrong)


def test_a_full_disk_stops_the_run_and_leaves_whole_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, rows = tmp_path / "out", [f"q{n}" for n in range(50)]
    real, room = os.write, [2000]

    def full(fd: int, data: Any) -> int:
        if len(data) > room[0]:
            if room[0] <= 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            data = data[: room[0]]  # a part still fits
        room[0] -= len(data)
        return real(fd, data)

    with Service() as service, client_of(service) as client:
        monkeypatch.setattr(os, "write", full)
        report = client.batch(rows, out)
        monkeypatch.setattr(os, "write", real)
        assert isinstance(report.stopped, OSError)
        assert 0 < len(written(out)) < 50
        assert client.batch(rows, out).succeeded == 50


def test_an_fsync_that_fails_stops_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(journal_module, "_sync_folder", lambda folder: None)
    monkeypatch.setattr(os, "fsync", fails)
    with Service() as service, client_of(service) as client:
        report = client.batch(["q"], tmp_path / "out")
    assert isinstance(report.stopped, OSError)
    journal = Journal(tmp_path / "other")
    journal.failure = OSError(errno.EIO, "earlier")
    with pytest.raises(OSError, match="earlier"):
        journal.append(b"line\n")
    with pytest.raises(OSError, match="Input/output"):
        journal.close()
    journal.close()


def test_lines_reach_the_disk_every_second_and_every_256(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[float] = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(time.monotonic()))
    with Journal(tmp_path / "out") as journal:
        began = len(synced)
        for _ in range(256):
            journal.append(b"line\n")
        deadline = time.monotonic() + 10
        while len(synced) == began:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        journal.append(b"line\n")
        while len(synced) < began + 2:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    assert len(synced) >= began + 3


def test_windows_locks_by_its_own_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import types

    calls: list[tuple[int, int]] = []

    def locking(fd: int, mode: int, size: int) -> None:
        if calls:
            raise OSError(errno.EACCES, "locked")
        calls.append((mode, size))

    fake = types.SimpleNamespace(locking=locking, LK_NBLCK=2)
    monkeypatch.setitem(sys.modules, "msvcrt", fake)
    monkeypatch.setattr(journal_module.os, "name", "nt")
    path = journal_module.Path(str(tmp_path / "out")) if os.name != "nt" else tmp_path / "out"
    monkeypatch.setattr(journal_module, "Path", lambda value: path)
    Journal(path).close()
    assert calls == [(2, 1)]
    with pytest.raises(ConfigurationError, match="another process"):
        Journal(path)


# -- the end of a process --------------------------------------------------------------------------

PROGRAM = """
import sys
from glmclient import SyncClient
with SyncClient("openai", base_url=sys.argv[1], model="m", trust_env=False) as client:
    client.batch(sys.argv[2], sys.argv[3], concurrency=8)
"""


def started(service: Service, rows: Path, out: Path) -> subprocess.Popen[bytes]:
    arguments = [sys.executable, "-c", PROGRAM, service.url, str(rows), str(out)]
    return subprocess.Popen(arguments, cwd=ROOT)


@pytest.mark.slow
def test_a_run_that_is_killed_goes_on_and_loses_nothing(tmp_path: Path) -> None:
    rows = input_of(tmp_path / "in", *({"id": f"r{n}", "prompt": f"q{n}"} for n in range(2000)))
    out, chance, kills = tmp_path / "out", random.Random(7), 0
    bad = {f"q{n}": BAD for n in range(0, 2000, 100)}
    with Service(refuse=bad.get) as service:
        for _ in range(30):
            run = started(service, rows, out)
            before = out.stat().st_size if out.exists() else 0
            deadline = time.monotonic() + 30
            while run.poll() is None and (not out.exists() or out.stat().st_size <= before):
                assert time.monotonic() < deadline
                time.sleep(0.005)
            time.sleep(chance.uniform(0, 0.05))
            if run.poll() is None:
                run.send_signal(signal.SIGKILL)
                kills += 1
            run.wait()
        with client_of(service) as client:
            report = client.batch(rows, out)
        asked = len(service.prompts)
    assert kills >= 5
    assert (report.total, report.succeeded, report.failed) == (2000, 1980, 20)
    ids = [line["id"] for line in written(out)]
    assert sorted(ids) == sorted(f"r{n}" for n in range(2000))
    assert asked <= 2000 + (kills + 1) * 8 * 3


@pytest.mark.parametrize("at", [1, 20])
def test_ctrl_c_keeps_what_runs_and_says_how_to_go_on(
    tmp_path: Path, at: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GLMCLIENT_HOME", str(tmp_path / "home"))
    rows = input_of(tmp_path / "in", *(f'{{"prompt": "q{n}"}}' for n in range(500)))
    out, count = tmp_path / "out", [0]
    from glmclient.batch.run import Batch

    original = Batch.take

    def interrupted(self: Batch, result: Any) -> None:
        original(self, result)
        count[0] += 1
        if count[0] == at:
            raise KeyboardInterrupt

    monkeypatch.setattr(Batch, "take", interrupted)
    with Service(seconds=0.05) as service:
        code = main([*command(service), str(rows), str(out), "--concurrency", "4"])
    assert code == 130
    assert "to go on: glmclient" in capsys.readouterr().err
    assert at <= len(written(out)) <= at + 8
    assert len(service.prompts) == len(written(out))


# -- the command -----------------------------------------------------------------------------------


def command(service: Service) -> list[str]:
    return ["batch", "-p", "openai", "--base-url", service.url, "-m", "m"]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GLMCLIENT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NO_PROXY", "*")
    return tmp_path


def test_the_command(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = input_of(home / "in", {"prompt": "q"}, {"prompt": "bad"})
    with Service(refuse=refusing(bad=BAD)) as service:
        assert main([*command(service), str(rows), str(home / "out")]) == 3
        err = capsys.readouterr().err
        assert "2 rows: 1 answered, 1 failed" in err
        assert "1 x BadRequestError" in err
        assert "--retry-errors" in err
        input_of(rows, {"prompt": "q"})
        assert main([*command(service), str(rows), str(home / "out"), "-q", "--rpm", "6000"]) == 0
        assert capsys.readouterr().err == ""


def test_the_command_that_stops_early(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = input_of(home / "in", *({"prompt": f"q{n}"} for n in range(100)))
    with Service(refuse=lambda prompt: NO_BALANCE) as service:
        arguments = [*command(service), str(rows), str(home / "out"), "--concurrency", "1"]
        assert main(arguments) == 7
        assert "stopped early" in capsys.readouterr().err
        service.refuse = lambda prompt: BAD
        assert main([*arguments[:-2], "--max-errors", "2", "--concurrency", "1"]) == 3


def test_the_command_with_a_full_disk(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(self: Any, line: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Journal, "append", full)
    with Service() as service:
        rows = input_of(home / "in", {"prompt": "q"})
        assert main([*command(service), str(rows), str(home / "out")]) == 1
    assert "No space left" in capsys.readouterr().err


@pytest.mark.parametrize("value", ["0", "many", "-1"])
def test_wrong_concurrency(home: Path, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    with Service() as service:
        assert main([*command(service), "in", "out", "--concurrency", value]) == 2
    assert "1 or more" in capsys.readouterr().err


def test_a_dry_run_asks_nothing(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = input_of(home / "in", {"prompt": "q" * 40, "max_tokens": 100}, "not JSON")
    with Service() as service:
        assert main([*command(service), str(rows), str(home / "out"), "--dry-run"]) == 0
        assert service.prompts == []
    assert capsys.readouterr().out == "2 rows, 1 of them without a question; about 111 tokens.\n"
    assert not (home / "out").exists()


def test_standard_input(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'{"prompt": "q"}\n')))
    with Service() as service:
        assert main([*command(service), "-", str(home / "out")]) == 0
    assert written(home / "out")[0]["text"] == "echo: q"


def test_progress_without_a_terminal(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from glmclient.cli.commands import batch as module

    monkeypatch.setattr(module, "LINE_SECONDS", 0.02)
    rows = input_of(home / "in", *({"prompt": prompt} for prompt in ["bad", *"abcdefgh"]))
    with Service(refuse=refusing(bad=BAD), seconds=0.1) as service:
        once = input_of(home / "one", {"prompt": "a"})
        assert main([*command(service), str(once), str(home / "out1")]) == 0
        # Also while no answer comes.
        assert "[batch] waiting for the first answer" in capsys.readouterr().err
        arguments = [*command(service), str(rows), str(home / "out"), "--concurrency", "2"]
        assert main(arguments) == 3
        err = capsys.readouterr().err
        assert re.search(
            r"\[batch\] [1-9] rows done \(0 before\), [0-9.]+ rows/s, [0-9]+ tokens/s", err
        )
        assert re.search(r"window 2, 0:00:0[0-9] left; errors: 1 BadRequestError", err)


def test_progress_on_a_terminal(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from glmclient.cli.commands import batch as module

    monkeypatch.setattr(module, "BAR_SECONDS", 0.001)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'{"prompt": "b"}\n')))
    rows = input_of(home / "in", *({"prompt": f"q{n}"} for n in range(20)))
    with Service(seconds=0.01) as service:
        for source in (str(rows), "-"):  # the number of rows is known, and not known
            assert main([*command(service), source, str(home / "out")]) == 0
            assert "1 rows:" in capsys.readouterr().err or source != "-"
    assert len(written(home / "out")) == 21


def test_progress_counts_the_rows_of_earlier_runs() -> None:
    from glmclient.cli.commands.batch import _State

    now = [0.0]
    state = _State(Limiter(7), 110, lambda: now[0])
    assert (str(state), state.done) == ("waiting for the first answer", 0)
    now[0] = 50.0  # to read the earlier rows took as long, and does not count
    state.take(BatchReport(101, 101, 0, 100))
    assert "left" not in str(state)
    now[0] = 60.0
    state.take(BatchReport(106, 106, 0, 100, Usage(1, 1, 500)))
    assert (
        str(state) == "106 rows done (100 before), 0.5 rows/s, 50 tokens/s, window 7, 0:00:08 left"
    )


# -- single lines ----------------------------------------------------------------------------------


def test_lines_that_are_too_long_or_too_deep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines_module, "LONGEST_LINE", 2000)
    rows = [b"x" * 2001, b"[" * 1999, b"5", b'"a prompt"', b'{"id": true, "x": 1}']
    read = list(input_lines(rows, "openai", {}))
    assert [line.question is not None for line in read] == [False, False, False, True, False]
    assert "longer than 2000 bytes" in str(read[0].error)
    assert [line.id for line in read] == [None] * 5


def test_a_whole_answer_in_both_formats() -> None:
    reply = Reply(
        "",
        "thought",
        (ToolCall("c", "f", "{}"),),
        Finish("tool_calls", None, response_id="r"),
        parsed=Usage(1, 2, 3),
        images=(Image("https://x/y.png"),),
    )
    line, done = output_line(Result(0, "a", None, reply), "k", "jsonl")
    row = json.loads(line)
    assert done == Done("a", "k", "", False)
    assert (row["reasoning"], row["images"], row["parsed"]["total_tokens"]) == (
        *("thought", ["https://x/y.png"], 3),
    )
    assert row["tool_calls"] == [{"id": "c", "name": "f", "arguments": "{}"}]
    line, _ = output_line(Result(0, "a", None, reply), "k", "openai")
    body = json.loads(line)["response"]["body"]
    assert body["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == "f"
    assert body["choices"][0]["message"]["reasoning_content"] == "thought"
    assert body["usage"] is None
    odd, _ = output_line(Result(0, "a", None, Reply("x", parsed={"s": {1}})), "k", "jsonl")
    assert json.loads(odd)["parsed"] == {"s": [1]}
    assert json.loads(odd)["finish_reason"] is None


def test_an_error_row_keeps_what_came() -> None:
    error = StreamInterrupted("cut", partial=Reply("half"), retryable=True)
    line, done = output_line(Result(0, "a", None, None, error), "k", "jsonl")
    assert json.loads(line)["partial"] == {"text": "half"}
    assert done == Done("a", "k", "StreamInterrupted", True)
    other, _ = output_line(Result(0, "a", None, None, ValueError("x")), "k", "jsonl")
    assert json.loads(other)["error"] == {
        "class": "ValueError",
        "code": None,
        "message": "x",
        "retryable": False,
    }


def test_rows_behind_a_stop_are_not_read(tmp_path: Path) -> None:
    batch = Batch(tmp_path / "out", "openai", {}, Settings())
    batch.stopped = OSError("full")
    assert list(batch.questions(["a", "b"])) == []
    batch.close(whole=False)


def test_a_sort_that_fails_leaves_the_output_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(old: Any, new: Any) -> None:
        raise OSError(errno.EACCES, "not allowed")

    monkeypatch.setattr(os, "replace", fails)
    with Service() as service, client_of(service) as client:
        with pytest.raises(OSError, match="not allowed"):
            client.batch(["a", "b"], tmp_path / "out", ordered=True)
    assert len(written(tmp_path / "out")) == 2
    assert list(tmp_path.iterdir()) == [tmp_path / "out"]


# -- typed answers ---------------------------------------------------------------------------------

CITY = {
    "type": "object",
    "properties": {"name": {"type": "string"}},
    "required": ["name"],
    "additionalProperties": False,
}


@dataclass
class City:
    name: str


class Fickle:
    """Answers the first round of a prompt with a wrong value, and a repair with the right one."""

    def __call__(self, prompt: str) -> str:
        repaired = "does not fit" in prompt
        return '{"name": "Bonn"}' if repaired or "good" in prompt else '{"name": 1}'


def test_rows_and_calls_with_a_schema_are_typed_and_repaired(tmp_path: Path) -> None:
    rows = [
        {"id": "good", "prompt": "good"},
        {"id": "repaired", "prompt": "wrong"},
        {"id": "once", "prompt": "wrong", "repair": 0},
        {"id": "none", "prompt": "good", "schema": None},
        {
            "id": "own",
            "prompt": "good",
            "schema": {"type": "object", "required": ["x"]},
            "repair": 0,
        },
    ]
    with Service(text=Fickle()) as service, client_of(service) as client:
        report = client.batch(rows, tmp_path / "out", schema=City)
        again = client.batch(rows, tmp_path / "out", schema=City, repair=3, timeout=60)
    lines = {line["id"]: line for line in written(tmp_path / "out")}
    assert report.errors == {"SchemaError": 2}
    assert (again.skipped, len(lines)) == (5, 5)
    assert lines["good"]["parsed"] == lines["repaired"]["parsed"] == {"name": "Bonn"}
    assert (lines["good"]["attempts"], lines["repaired"]["attempts"]) == (1, 2)
    assert lines["repaired"]["usage"]["total_tokens"] == 10
    assert "parsed" not in lines["none"]
    assert lines["once"]["error"]["retryable"] is True
    assert lines["once"]["partial"]["text"] == '{"name": 1}'


def test_a_changed_type_is_asked_again(tmp_path: Path) -> None:
    def city(fields: list[tuple[str, type]]) -> type:
        return make_dataclass("City", fields)

    with Service(text=Fickle()) as service, client_of(service) as client:
        client.batch(["good"], tmp_path / "out", schema=city([("name", str)]))
        same = client.batch(["good"], tmp_path / "out", schema=city([("name", str)]))
        other = client.batch(
            ["good"], tmp_path / "out", schema=city([("name", str), ("size", int)]), repair=0
        )
    assert (same.skipped, other.skipped) == (1, 0)


def test_the_asynchronous_client_repairs_rows() -> None:
    async def main() -> list[Result]:
        async with AsyncClient(
            "openai", base_url=service.url, model="m", trust_env=False, retry=None
        ) as client:
            rows = [
                "wrong",
                {"prompt": "wrong", "repair": 0},
                {"prompt": "x", "repair": -1},
                "good",
            ]
            return [r async for r in client.map(rows, schema=City, ordered=True)]

    with Service(text=Fickle()) as service:
        results = asyncio.run(main())
    assert [r.reply.parsed if r.reply else type(r.error).__name__ for r in results] == [
        *(City("Bonn"), "SchemaError", "ConfigurationError", City("Bonn")),
    ]
    assert [r.attempts for r in results] == [2, 1, 0, 1]


def test_a_wrong_schema_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    with Service() as service, client_of(service) as client:
        with pytest.raises(ConfigurationError):
            client.map(["q"], schema="text")
        with pytest.raises(ConfigurationError):
            client.batch(["q"], tmp_path / "out", schema="text")
        assert service.prompts == []


def test_the_command_with_a_schema(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = input_of(home / "in", {"prompt": "good"})
    (home / "schema.json").write_text(json.dumps(CITY), "utf-8")
    with Service(text=Fickle()) as service:
        for schema in (str(home / "schema.json"), json.dumps(CITY)):
            arguments = [*command(service), str(rows), str(home / "out"), "--schema", schema]
            assert main(arguments) == 0
        assert len(written(home / "out")) == 1
        assert written(home / "out")[0]["parsed"] == {"name": "Bonn"}
        for wrong in ("missing.json", "{", str(rows.parent)):
            assert main([*arguments[:-1], wrong]) == 2


class Colour(enum.Enum):
    RED = "red"


def test_values_of_every_kind_of_type_are_plain_data() -> None:
    class Struct(msgspec.Struct, rename="camel"):
        first_name: str

    class Model(pydantic.BaseModel):
        when: datetime.date

    day = datetime.date(2026, 1, 2)
    value = {
        "a": [City("Bonn"), Struct("Ada"), Model(when=day), Colour.RED],
        "b": (frozenset({1}), day, datetime.time(1, 2), Path("x")),
    }
    line, _ = output_line(Result(0, "a", None, Reply("x", parsed=value)), "k", "jsonl")
    assert json.loads(line)["parsed"] == {
        "a": [{"name": "Bonn"}, {"firstName": "Ada"}, {"when": "2026-01-02"}, "red"],
        "b": [[1], "2026-01-02", "01:02:00", "x"],
    }


# -- files that must survive -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "content", [b"my notes\nmore", b'{"prompt": "q"}\n', b"no line end", b"\n", b'{"id": 5}\n']
)
def test_a_file_of_another_kind_is_not_touched(tmp_path: Path, content: bytes) -> None:
    out = tmp_path / "out"
    out.write_bytes(content)
    with Service() as service, client_of(service) as client:
        with pytest.raises(ConfigurationError, match="not the output of a batch"):
            client.batch(["q"], out)
        assert service.prompts == []
    assert out.read_bytes() == content


@pytest.mark.parametrize("content", [b"", b"{", b'{"id"', b'{"id":"a","key":"b","ok":tr'])
@pytest.mark.parametrize("format", ["jsonl", "openai"])
def test_a_file_of_one_torn_line_goes_on(tmp_path: Path, content: bytes, format: Any) -> None:
    out = tmp_path / "out"
    out.write_bytes(content)
    with Service() as service, client_of(service) as client:
        client.batch(["q"], out, format=format)
        assert client.batch(["q"], out, format=format).skipped == 1
    assert len(written(out)) == 1


def test_the_input_cannot_be_the_output(tmp_path: Path) -> None:
    path = input_of(tmp_path / "in", {"prompt": "q"})
    (tmp_path / "link").symlink_to(path)
    before = path.read_bytes()
    with Service() as service, client_of(service) as client:
        for output in (path, tmp_path / "link"):
            with pytest.raises(ConfigurationError, match="same file"):
                client.batch(path, output)
    assert path.read_bytes() == before


def test_long_lines_are_not_held(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(lines_module, "LONGEST_LINE", 100)
    sizes: list[int] = []

    class File(io.BytesIO):
        def readline(self, size: Any = -1, /) -> bytes:
            sizes.append(size)
            return super().readline(size)

    file = File(b"x" * 1000 + b"\n" + b'{"prompt": "q"}\n' + b"y" * 101)
    lines = list(input_lines(bounded_lines(file), "openai", {}))
    assert [line.question is not None for line in lines] == [False, True, False]
    assert [line.number for line in lines] == [1, 2, 3]
    assert set(sizes) == {101}


FULL = """
import resource, signal, sys
from glmclient import SyncClient
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
with SyncClient("openai", base_url=sys.argv[1], model="m", trust_env=False) as client:
    report = client.batch(sys.argv[2], sys.argv[3], concurrency=8)
print(type(report.stopped).__name__, report.succeeded)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there are no limits of this kind")
def test_a_disk_that_is_full_leaves_whole_lines(tmp_path: Path) -> None:
    rows = input_of(tmp_path / "in", *({"id": f"r{n}", "prompt": f"q{n}"} for n in range(400)))
    out = tmp_path / "out"
    with Service() as service:
        run = subprocess.run(
            [sys.executable, "-c", FULL, service.url, str(rows), str(out)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        name, succeeded = run.stdout.split()
        assert name == "OSError"
        assert 0 < int(succeeded) == len(written(out)) < 400
        assert out.read_bytes().endswith(b"\n")
        assert out.stat().st_size <= 20_000
        with client_of(service) as client:
            assert client.batch(rows, out).succeeded == 400
    assert sorted(line["id"] for line in written(out)) == sorted(f"r{n}" for n in range(400))


@pytest.mark.parametrize("method", ["INSERT OR REPLACE", "SELECT key"])
def test_an_index_that_fails_stops_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    class Failing:
        def __init__(self, database: Any) -> None:
            self._database = database

        def __getattr__(self, name: str) -> Any:
            return getattr(self._database, name)

        def execute(self, statement: str, *values: Any) -> Any:
            if statement.startswith(method):
                raise sqlite3.OperationalError("database or disk is full")
            return self._database.execute(statement, *values)

    original = DoneRows.__init__

    def init(self: DoneRows) -> None:
        original(self)
        self._database = Failing(self._database)

    monkeypatch.setattr(DoneRows, "__init__", init)
    with Service() as service, client_of(service) as client:
        report = client.batch(
            [{"id": "a", "prompt": "q"}, {"id": "b", "prompt": "q"}], tmp_path / "out"
        )
    assert isinstance(report.stopped, OSError)
    assert "TMPDIR" in str(report.stopped)


# -- many rows -------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_service_that_allows_three_at_once_is_used_to_the_full(tmp_path: Path) -> None:
    rows = [f"q{n}" for n in range(300)]
    seconds: dict[Any, float] = {}
    for concurrency in (3, "auto"):
        with Service(allowed=3, seconds=0.03) as service, client_of(service) as client:
            began = time.monotonic()
            report = client.batch(rows, tmp_path / f"{concurrency}", concurrency=concurrency)
            seconds[concurrency] = time.monotonic() - began
        assert (report.succeeded, report.failed) == (300, 0)
        assert service.refused < 0.05 * (300 + service.refused)
    # Measured on a quiet machine: 0.97 of the rate of a window that is right from the beginning.
    assert seconds["auto"] < 2 * seconds[3]


MANY = """
import json, re, sys
from glmclient import SyncClient
from glmclient.core.http import Head

FRAMES = b"".join(
    b"data: " + json.dumps(frame).encode() + b"\\n\\n"
    for frame in (
        {"choices": [{"index": 0, "delta": {"content": "x" * 200}}]},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
    )
) + b"data: [DONE]\\n\\n"

class Channel:
    def send(self, step):
        self.body = FRAMES
        return Head(200, {"content-type": "text/event-stream"})
    def read(self, step):
        body, self.body = self.body, b""
        return body
    def sleep(self, seconds): ...
    def release(self, step): ...
    def close(self): ...
    def abandon(self): ...
    def cancel(self): ...

class Memory:
    def open(self):
        return Channel()
    def apart(self):
        return self
    def close(self): ...

with SyncClient("openai", base_url="http://localhost:1", model="m", transport=Memory()) as client:
    report = client.batch(sys.argv[1], sys.argv[2], concurrency=2, ordered=True)
# ru_maxrss would count the memory of the process that started this one.
peak = re.search("VmHWM:[^0-9]*([0-9]+) kB", open("/proc/self/status").read())
print(report.succeeded, report.skipped, int(peak[1]) // 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from /proc")
def test_sixty_thousand_rows_in_little_memory(tmp_path: Path) -> None:
    rows, out = tmp_path / "in", tmp_path / "out"
    with rows.open("w", encoding="utf-8") as file:
        for number in range(60_000):
            file.write(json.dumps({"id": f"r{number}", "prompt": f"q{number} " + "y" * 200}) + "\n")
    for skipped in (0, 60_000):
        run = subprocess.run(
            [sys.executable, "-c", MANY, str(rows), str(out)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        succeeded, before, mebibytes = map(int, run.stdout.split())
        assert (succeeded, before) == (60_000, skipped)
        assert mebibytes < 150
    with out.open(encoding="utf-8") as file:
        assert [json.loads(line)["id"] for line in file] == [f"r{n}" for n in range(60_000)]
