"""Standard streams that lack characters lose nothing silently."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from glmclient.cli import main
from glmclient.cli.display.encoding import escape_what_is_missing, take_lacking_encoding
from glmclient.cli.display.voices import rewindable

from .conftest import Serve, Stdin

ANSWER = "naïve 你好 😀 “quoted”"
ENCODINGS = ("cp1252", "ascii", "latin-1", "cp936", "utf-16", "utf-8")


@pytest.fixture
def streams(monkeypatch: pytest.MonkeyPatch) -> tuple[io.BytesIO, io.BytesIO]:
    monkeypatch.setattr(sys, "stdin", Stdin(b"", terminal=True))
    return io.BytesIO(), io.BytesIO()


def run_with(
    encoding: str,
    streams: tuple[io.BytesIO, io.BytesIO],
    patch: pytest.MonkeyPatch,
    *arguments: str,
) -> tuple[int, str, str]:
    out, err = streams
    patch.setattr(sys, "stdout", io.TextIOWrapper(out, encoding, errors="strict", newline=""))
    patch.setattr(sys, "stderr", io.TextIOWrapper(err, encoding, errors="strict", newline=""))
    code = main(list(arguments))
    sys.stdout.flush()
    sys.stderr.flush()
    return code, out.getvalue().decode(encoding), err.getvalue().decode(encoding)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_text_is_escaped_and_one_line_says_so(
    encoding: str,
    streams: tuple[io.BytesIO, io.BytesIO],
    serve: Serve,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    serve(ANSWER)
    code, out, err = run_with(encoding, streams, monkeypatch, "Hi")
    expected = ANSWER.encode(encoding, "backslashreplace").decode(encoding)
    assert (code, out) == (0, f"{expected}\n")
    if expected == ANSWER:
        assert err == ""
    else:
        assert err.count("\n") == 1
        assert "escapes" in err and "PYTHONIOENCODING=utf-8" in err


@pytest.mark.parametrize("form", ["--json", "--jsonl"])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_json_keeps_every_value(
    encoding: str,
    form: str,
    streams: tuple[io.BytesIO, io.BytesIO],
    serve: Serve,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    serve(ANSWER)
    code, out, err = run_with(encoding, streams, monkeypatch, form, "Hi")
    objects = [json.loads(line) for line in out.splitlines()]
    text = "".join(each.get("text") or "" for each in objects)
    assert (code, text, err) == (0, ANSWER, "")


def test_other_streams_and_errors_are_left_alone() -> None:
    escape_what_is_missing(io.StringIO())
    out = io.TextIOWrapper(io.BytesIO(), "ascii")
    escape_what_is_missing(out)
    out.write("é\udc80")
    assert take_lacking_encoding() == "ascii"
    assert take_lacking_encoding() is None
    assert b"\xff".decode("ascii", "glmclient.escape") == "\\xff"
    assert take_lacking_encoding() is None


def test_a_file_with_a_mark_at_its_beginning_is_not_rewritten(tmp_path: Path) -> None:
    with (
        open(tmp_path / "a", "w", encoding="utf-16") as marked,
        open(tmp_path / "b", "w", encoding="utf-8") as other,
    ):
        assert rewindable(marked, other) is None
        assert rewindable(other, marked) == 0
