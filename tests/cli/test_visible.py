"""Text from outside reaches a terminal only as `visible` returns it, whatever front end writes it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import socket
import stat
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glmclient import SyncClient
from glmclient.cli.commands.simulation import _tell_requests
from glmclient.cli.display.answer_display import LiveDisplay, Look
from glmclient.cli.display.cells import json_text, visible, visible_line
from glmclient.cli.display.structured import EventLines, WholeAnswer
from glmclient.cli.store.places import needed, private_file
from glmclient.cli.store.settings import Settings
from glmclient.conversations.file import SavedConversation
from glmclient.core.transcript import Transcript
from glmclient.errors import ConfigurationError
from glmclient.events import (
    CodeDelta,
    CodeReplace,
    Event,
    ExecutionOutput,
    Finish,
    Image,
    Notice,
    QueueStatus,
    ReasoningDelta,
    ReasoningReplace,
    SearchResult,
    SearchResults,
    TextDelta,
    TextReplace,
    ToolCallDelta,
    Unknown,
)
from glmclient.notebook.live import _PlainText, show
from glmclient.private_file import read_regular
from glmclient.providers.base import Model
from glmclient.reply import Reply
from glmclient.simulator import Simulator

from .conftest import Run, Serve
from .emulator import Emulator

HOSTILE = (
    "\x1b]52;c;aGk=\x07",  # the clipboard
    "\x1b]0;title\x1b\\",
    "\x1b[2J\x1b[31m",
    "\x9b31m",  # C1: control sequence introducer
    "\x90q\x9c",  # C1: device control string
    "\x7f\x00\x08",
    "\u202egnp.exe\u202c",
    "\u2066x\u2069",
    "\u2028\u2029",
    "\U000e0041\U000e007f",  # tag characters
    "\udc80",
)
TEXT = "a".join(HOSTILE)
MARKS = "\u200e\u200f\u061c\u200c\u200d"
EVENTS: tuple[Event, ...] = (
    QueueStatus(1, 2, 3.0),
    ReasoningDelta(TEXT),
    ReasoningReplace(0, TEXT),
    CodeDelta(TEXT),
    CodeReplace(0, TEXT),
    ExecutionOutput(TEXT),
    Image(TEXT),
    SearchResults((SearchResult(TEXT, TEXT, TEXT, TEXT),)),
    Notice(TEXT, TEXT, TEXT),
    Unknown(TEXT, TEXT),
    TextDelta(TEXT),
    TextReplace(0, TEXT),
    ToolCallDelta(0, TEXT, TEXT, TEXT),
    Finish("other", raw_reason=TEXT, model=TEXT, request_id=TEXT, message=TEXT),
)


def harmless(text: str, *, ours: str = "") -> bool:
    """Tell whether a text steers nothing: ``ours`` are the escape sequences that our own rendering writes."""
    for sequence in ours.split():
        text = text.replace(sequence.replace("ESC", "\x1b"), "")
    return not any(
        (ord(c) < 32 and c not in "\n\t\r") or 0x7F <= ord(c) < 0xA0 or c in "\u202e\u202c\u2066\u2069"
        or c in "\u2028\u2029\U000e0041\U000e007f" or 0xD800 <= ord(c) < 0xE000
        for c in text
    )  # fmt: skip


def test_hidden_characters_become_escapes_and_marks_stay() -> None:
    assert visible("a\u202eb\u2066c\U000e0041\udc80") == r"a\u202eb\u2066c\U000e0041\udc80"
    assert visible(f"שלום{MARKS}👨\u200d👩") == f"שלום{MARKS}👨\u200d👩"
    assert visible_line("a\nb\tc\r\nd") == r"a\nb\tc\nd"


@given(st.text())
def test_json_keeps_its_value(text: str) -> None:
    for encoding in (None, "utf-8", "ascii", "cp1252", "cp936", "no-such-encoding"):
        line = json_text(json.dumps(text, ensure_ascii=False), encoding)
        assert json.loads(line) == text
        assert harmless(line)
        line.encode(encoding if encoding not in (None, "no-such-encoding") else "utf-8")


@pytest.mark.parametrize("markdown", [True, False])
@pytest.mark.parametrize("terminal", [True, False])
def test_every_event_is_harmless_on_a_terminal(*, markdown: bool, terminal: bool) -> None:
    out, err = Emulator(80, 200), Emulator(80, 200)
    look = Look(out, err, markdown, usage=True, out_is_terminal=True, err_is_terminal=terminal)
    for stop in range(len(EVENTS)):
        display = LiveDisplay(look, TEXT)
        for event in EVENTS[stop:]:
            display.add(event)
        display.end(whole=True)
    # What is left after removing colours and cursor movements is text.
    for written in (out.getvalue(), err.getvalue()) if terminal else (out.getvalue(),):
        assert harmless(_without_our_own(written))


def _without_our_own(written: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*[mAJK]", "", written)


def test_every_event_is_harmless_as_json() -> None:
    out = io.StringIO()
    lines, whole = EventLines(out), WholeAnswer(out, "chatglm")
    for event in EVENTS:
        lines.add(event)
        whole.add(event)
    whole.end(whole=True)
    assert harmless(out.getvalue())
    objects = [json.loads(line) for line in out.getvalue().splitlines()]
    assert len(objects) == len(EVENTS) + 1
    assert objects[-1]["text"] == TEXT


def test_the_plain_twins_of_notebook_cards_are_harmless() -> None:
    transcript = Transcript()
    transcript.extend(EVENTS)
    reply = transcript.reply()
    out = io.StringIO()
    shown = _PlainText(out, reply.text)
    assert shown.end(reply) is reply
    assert harmless(out.getvalue())
    for word in ("[code]", "[output]", "[image]", "[sources]", "[tool call]"):
        assert word in out.getvalue()


def test_a_line_end_in_two_pieces_is_one(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    serve("abc")
    with SyncClient() as client:
        show(client.stream("Hi"))
    assert capsys.readouterr().out == "abc\n"
    out = io.StringIO()
    text = _PlainText(out, "a\r")
    text.write("\nb\r")
    text.end(Reply())
    assert out.getvalue() == "a\nb\n\n"


def test_model_ids_are_harmless(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SyncClient, "models", lambda self: (Model(f"{TEXT}\nx"),))
    ran = run("models")
    assert harmless(ran.out) and ran.out.count("\n") == 1
    ran = run("models", "--json")
    assert harmless(ran.out) and json.loads(ran.out)[0]["id"] == f"{TEXT}\nx"


def test_request_paths_are_harmless(capsys: pytest.CaptureFixture[str]) -> None:
    with Simulator("Hello") as simulator:
        host, port = simulator.url.removeprefix("http://").split("/")[0].split(":")
        with socket.create_connection((host, int(port))) as connection:
            path = "/\x9b31m\x1b]0;x\x07".encode("latin-1")
            connection.sendall(
                b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
            )
            while connection.recv(4096):
                pass
        ended = threading.Event()
        timer = threading.Timer(0.5, ended.set)
        timer.start()
        _tell_requests(simulator, ended, quiet=False)
        timer.join()
    assert harmless(capsys.readouterr().err)


def test_what_is_wrong_with_the_command_line_is_harmless(run: Run) -> None:
    ran = run("models", "-p", TEXT.replace("\x00", ""))
    assert ran.code == 2
    assert harmless(ran.err)


@pytest.mark.parametrize("name", ["proxy", "zai.base_url"])
@pytest.mark.parametrize("password", ["s3cret", "s3c@ret"])
def test_settings_show_no_password(run: Run, home: Path, name: str, password: str) -> None:
    home.mkdir(mode=0o700)
    value = f"http://user:{password}@proxy.test:3128"
    (home / "settings.json").write_text(json.dumps({name: value}))
    ran = run("settings")
    assert f"{name} = http://***@proxy.test:3128" in ran.out
    assert "s3c" not in ran.out + ran.err


def test_settings_of_the_environment_show_no_password(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLMCLIENT_PROXY", "socks5h://user:s3cret@proxy.test:1080")
    assert "s3cret" not in run("settings").out


# -- files -----------------------------------------------------------------------------------------


def test_files_and_folders_are_closed_to_others(home: Path) -> None:
    home.mkdir(mode=0o755)
    home.chmod(0o755)
    needed("state")
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    history = home / "chat_history"
    history.write_text("old")
    history.chmod(0o644)
    assert private_file(history).read_text() == "old"
    assert stat.S_IMODE(history.stat().st_mode) == 0o600


def test_what_another_user_owns_is_left(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home.mkdir()
    home.chmod(0o755)

    def refused(self: Path, mode: int) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "chmod", refused)
    assert needed("state") == home


def test_the_warning_is_one_line(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home.mkdir()
    keys = home / "keys.json"
    keys.write_text(json.dumps({"zai": "k"}))
    keys.chmod(0o644)
    assert Settings(environment={}).key("zai", None) == "k"
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "chmod 600" in told
    keys.chmod(0o600)
    assert Settings(environment={}).key("zai", None) == "k"
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("name", ["settings.json", "keys.json"])
@pytest.mark.parametrize("kind", ["fifo", "device", "large", "deep", "folder"])
def test_a_file_that_is_not_one_is_told(run: Run, home: Path, name: str, kind: str) -> None:
    home.mkdir()
    path = home / name
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    else:
        path.write_text("[" * 200_000 if kind == "deep" else " " * 1_000_001)
    ran = run("settings" if name == "settings.json" else "keys")
    assert ran.code == 2
    assert str(path) in "".join(ran.err.split("\n"))
    assert "Traceback" not in ran.err


def test_a_history_that_is_not_a_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(ConfigurationError, match="cannot be written"):
        private_file(tmp_path / "fifo")
    with pytest.raises(ConfigurationError, match="not a regular file"):
        private_file(Path("/dev/null"))


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


def _damaged(name: str, value: object) -> bytes:
    state = {"glmclient_conversation": 1, "provider": "zai", "url": "u", "options": {}}
    return json.dumps({**state, "messages": [], name: value}).encode()


@given(
    st.binary(max_size=200)
    | st.builds(_damaged, st.sampled_from(["provider", "url", "options", "messages"]), JSON_VALUES)
)
def test_no_content_of_a_conversation_is_a_traceback(content: bytes) -> None:
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        conversation = None
        with contextlib.suppress(ConfigurationError):
            conversation = SavedConversation.read(file.name)
    assert conversation is None or isinstance(conversation, SavedConversation)


@pytest.mark.parametrize("kind", ["fifo", "device"])
def test_a_conversation_is_a_regular_file(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "conversation"
    if kind == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    with pytest.raises(OSError, match="not a regular file"):
        SavedConversation.read(path)


def test_a_file_of_bounded_size_is_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    assert read_regular(path, 5) == b"12345"
    with pytest.raises(OSError, match="larger than 4 bytes"):
        read_regular(path, 4)
