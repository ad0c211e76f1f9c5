"""Secrets in foreign text: every usual spelling of them, and what a bound leaves of them."""

from __future__ import annotations

import base64
import html
import json
import time
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glmclient import GLMError, ProtocolError, Reply, ServerError, ToolCall, TransportFailure
from glmclient.core.masking import Masker
from glmclient.core.secrets import credentials, mask, masked_bytes

KEY = "sk-canary/0123+456789.abc=def&gh"
PLAIN = "hf_canary0123456789ABCDEF"

SPELLINGS = {
    "itself": str,
    "percent": lambda key: quote(key, safe=""),
    "percent in lower case": lambda key: "".join(f"%{ord(c):02x}" for c in key),
    "percent twice": lambda key: quote(quote(key, safe=""), safe=""),
    "JSON": json.dumps,
    "JSON with escaped slashes": lambda key: json.dumps(key).replace("/", "\\/"),
    "JSON in JSON": lambda key: json.dumps(json.dumps(key).replace("/", "\\/")),
    "code points": lambda key: "".join(f"\\u{ord(c):04X}" for c in key),
    "half of it as code points": lambda key: key[:9] + "".join(f"\\u{ord(c):04x}" for c in key[9:]),
    "Python": lambda key: "".join(f"\\x{ord(c):02x}" for c in key),
    "HTML": html.escape,
    "HTML numbers": lambda key: "".join(f"&#{ord(c)};" for c in key),
    "HTML hexadecimal": lambda key: "".join(f"&#x{ord(c):X};" for c in key),
    "Base64": lambda key: base64.b64encode(key.encode()).decode(),
    "Base64 for URLs": lambda key: base64.urlsafe_b64encode(key.encode()).decode(),
    "Base64 of a header": lambda key: base64.b64encode(f"Bearer {key}".encode()).decode(),
    "Base64 of JSON": lambda key: base64.b64encode(f'{{"k": "{key}"}}'.encode()).decode(),
    "Base64 with another offset": lambda key: base64.b64encode(f"ab{key}c".encode()).decode(),
    "hexadecimal": lambda key: key.encode().hex(),
    "hexadecimal in capitals": lambda key: key.encode().hex().upper(),
}


def rest(masked: str, spelled: str) -> int:
    """Return the length of the longest piece of a spelling that is left."""
    return max(
        (
            end - start
            for start in range(len(spelled))
            for end in range(start + 1, len(spelled) + 1)
            if spelled[start:end] in masked
        ),
        default=0,
    )


@pytest.mark.parametrize("key", [KEY, PLAIN])
@pytest.mark.parametrize("name", SPELLINGS)
def test_a_secret_is_masked_in_every_spelling(name: str, key: str) -> None:
    spelled = SPELLINGS[name](key)
    masked = Masker(frozenset({key})).text(f"before {spelled} after")
    assert masked.startswith("before ") and masked.endswith(" after") and "***" in masked
    assert rest(masked.removeprefix("before ").removesuffix(" after"), spelled) <= 12


@pytest.mark.parametrize("name", SPELLINGS)
def test_the_rest_of_a_secret_that_was_cut_is_masked(name: str) -> None:
    spelled = SPELLINGS[name](PLAIN)
    if name.startswith("Base64 ") and name != "Base64 for URLs":
        return  # its beginning depends on what stands before the secret
    masker = Masker(frozenset({PLAIN}))
    step = len(spelled) // len(PLAIN)
    for length in range(9 * step + 4, len(spelled)):
        assert "***" in masker.text(f"key {spelled[:length]} and more")
        assert masker.text(f"key {spelled[:length]}").startswith("key")
    for end in ("", "'", '"', "…"):
        assert masker.text(f"key {PLAIN[:5]}{end}") == f"key ***{end}"
    assert masker.text(f"key {PLAIN[:5]} is the beginning") == f"key {PLAIN[:5]} is the beginning"


def test_other_text_stays() -> None:
    masker = Masker(frozenset({KEY, PLAIN}))
    for text in (
        "",
        "hf_",
        "sk-",
        "nothing",
        "%41%zz\\u12\\x4&#;&amp;&#99999999;&#x110000;\\",
        "\\/",
    ):
        assert masker.text(text) == text
    assert masker.text(f"{PLAIN} {KEY}{KEY} {PLAIN}") == "*** *** ***"
    assert masker.text(f"a&#1114112;{PLAIN}") == "a&#1114112;***"


@given(st.text(max_size=20), st.text(max_size=20))
def test_text_around_a_secret_is_kept(before: str, after: str) -> None:
    masked = Masker(frozenset({PLAIN})).text(f"{before} {PLAIN} {after}")
    assert masked == f"{before} *** {after}"


@pytest.mark.parametrize(
    "piece",
    [
        *(
            "x",
            "s",
            "sk-c",
            "hf_canary012345678",
            "%",
            "%25",
            "%2525",
            "%41",
            "\\",
            "\\u0041",
            "\\/",
        ),
        *("&", "&#", "&#0", "&#65;", "&amp;", "aGZf", "\\\\x4", "Ym"),
    ],
)
def test_the_time_grows_with_the_text(piece: str) -> None:
    began = time.perf_counter()
    Masker(frozenset({KEY, PLAIN})).text(piece * (1_000_000 // len(piece)))
    assert time.perf_counter() - began < 10


def test_everything_that_an_error_holds_is_masked() -> None:
    partial = Reply(
        f"text {KEY}", f"why {KEY}", (ToolCall("i", "f", json.dumps({"k": KEY})),), None
    )
    error = ProtocolError(f"say {KEY}", frame=f"<{quote(KEY)}>", partial=partial, request_id=KEY)
    error.__cause__ = ServerError(f"cause {KEY}", body=KEY, status_code=500)
    error.__cause__.__cause__ = TransportFailure("broken", KEY)
    error.__cause__.__context__ = error
    error.add_note(f"note {KEY}") if hasattr(error, "add_note") else None
    mask(error, frozenset({KEY}))
    shown = repr([error, vars(error), error.__cause__, vars(error.__cause__)])
    shown += repr(vars(error.__cause__.__cause__)) + str(error.__cause__.__cause__)
    assert "canary" not in shown and shown.count("***") >= 8
    assert error.partial.tool_calls[0].name == "f"


def test_what_holds_no_secret_is_the_same_object() -> None:
    masker = Masker(frozenset({KEY}))
    for value in ("a", ("a", 1), ["a"], {"a": ("b",)}, Reply("a", "", (), None), 5, None, Reply):
        assert masker.value(value) is value
    assert masker.value({KEY: [KEY, b"x"]}) == {"***": ["***", b"x"]}
    assert masked_bytes(b"", frozenset({KEY})) == b""
    assert masked_bytes(KEY.encode() + b"\xff", frozenset({KEY})) == b"***\xff"


def test_the_password_of_basic_authorization_is_a_secret() -> None:
    token = base64.b64encode(b"user:long-password-0123").decode()
    assert set(credentials({"Authorization": f"Basic {token}"})) == {token, "long-password-0123"}
    assert set(credentials({"Authorization": "Basic not-base64-\xe4-0123"})) == {
        "not-base64-\xe4-0123"
    }


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("a\nb\r\nc", "a\\nb\\r\\nc"),
        ("\x1b]52;c;x\x07", "\\x1b]52;c;x\\x07"),
        ("\x9b31m \x7f\x00", "\\x9b31m \\x7f\\x00"),
        ("\u202eabc\u2066\u2028\u2029", "\\u202eabc\\u2066\\u2028\\u2029"),
        ("\U000e0041\ud800", "\\U000e0041\\ud800"),
        ("你好 \u200d\u200f é", "你好 \u200d\u200f é"),
        ("tab\there", "tab\\there"),
    ],
)
def test_an_error_is_one_visible_line(message: str, shown: str) -> None:
    assert str(GLMError(message)) == shown == str(ServerError(message))
    assert GLMError(message).args == (message,)
    assert str(TransportFailure("broken", message)) == f"broken: {shown}"
