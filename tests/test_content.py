"""Images as parts of a message."""

from __future__ import annotations

import base64
import os
import struct
from pathlib import Path
from typing import Any

import pytest

import glmclient
from glmclient import ConfigurationError
from glmclient.testing import Simulator


def png(width: int = 2, height: int = 3, size: int = 0) -> bytes:
    head = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + struct.pack(">II", width, height)
    return head + b"\0" * max(0, size - len(head))


def gif(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HH", width, height)


def jpeg(width: int, height: int) -> bytes:
    comment = b"\xff\xfe\x00\x06abcd"
    return (
        b"\xff\xd8"
        + comment
        + b"\xff"
        + b"\xff\xc2\x00\x11\x08"
        + struct.pack(">HH", height, width)
    )


def webp(kind: bytes, width: int, height: int) -> bytes:
    head = b"RIFF\0\0\0\0WEBP" + kind + b"\0\0\0\0"
    if kind == b"VP8X":
        return (
            head
            + b"\0" * 4
            + (width - 1).to_bytes(3, "little")
            + (height - 1).to_bytes(3, "little")
        )
    if kind == b"VP8L":
        return head + b"\x2f" + ((width - 1) | (height - 1) << 14).to_bytes(4, "little")
    return head + b"\0\0\0\x9d\x01\x2a" + struct.pack("<HH", width, height)


def part(content: bytes, media: str) -> dict[str, Any]:
    data = base64.b64encode(content).decode()
    return {"type": "image_url", "image_url": {"url": f"data:image/{media};base64,{data}"}}


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_bytes_are_sent_inside_the_message(kind: Any) -> None:
    assert glmclient.image(kind(png())) == part(png(), "png")


def test_a_path_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a picture.bin"
    file.write_bytes(gif(1, 1))
    assert glmclient.image(file) == part(gif(1, 1), "gif")
    assert glmclient.image(str(file)) == part(gif(1, 1), "gif")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert glmclient.image(os.path.join("~", file.name)) == part(gif(1, 1), "gif")


@pytest.mark.parametrize(
    "url", ["https://example.org/a.png?b=c", "HTTP://example.org/x", " https://a/b "]
)
def test_a_url_is_passed_on(url: str) -> None:
    assert glmclient.image(url) == {"type": "image_url", "image_url": {"url": url.strip()}}


def test_a_data_url_is_checked_and_written_anew() -> None:
    data = base64.b64encode(png()).decode()
    for url in (f"data:image/png;base64,{data}", f"DATA:;charset=x;BASE64,{data[:9]}\n{data[9:]}"):
        assert glmclient.image(url) == part(png(), "png")


@pytest.mark.parametrize(
    "source",
    [
        png(size=5 * 1024 * 1024),
        png(6_001, 1),
        png(1, 6_001),
        gif(6_001, 1),
        jpeg(1, 6_001),
        jpeg(6_001, 1),
        webp(b"VP8X", 6_001, 1),
        webp(b"VP8L", 1, 6_001),
        webp(b"VP8 ", 6_001, 1),
        "data:image/png;base64," + base64.b64encode(png(9_000)).decode(),
    ],
)
def test_a_large_image_is_refused_unless_it_is_allowed(source: Any) -> None:
    with pytest.raises(ConfigurationError, match="Make it smaller"):
        glmclient.image(source)
    assert glmclient.image(source, max_bytes=None, max_side=None)["type"] == "image_url"


@pytest.mark.parametrize(
    "source",
    [
        png(size=5 * 1024 * 1024 - 1),
        png(6_000, 6_000),
        jpeg(6_000, 6_000),
        b"\xff\xd8\xff\xe0",  # a head without a size
        b"\xff\xd8\xff\xe0\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
        webp(b"VP8X", 6_000, 6_000),
        webp(b"VP8L", 6_000, 6_000),
        webp(b"VP8 ", 6_000, 6_000),
    ],
)
def test_an_image_within_the_limits_is_taken(source: bytes) -> None:
    assert glmclient.image(source)["image_url"]["url"].startswith("data:image/")


@pytest.mark.parametrize(
    "source",
    [
        b"",
        b"not an image",
        "",
        "/no/such/file",
        "a\0b",
        ".",
        "file:///a.png",
        "https:///a.png",
        "https:a.png",
        "https://a b/c.png",
        "data:image/png,abc",
        "data:image/png;base64,a",
        "data:nothing",
        "data:image/png;base64,aaaa",
        3,
        None,
    ],
)
def test_what_is_not_an_image_is_refused(source: Any) -> None:
    with pytest.raises(ConfigurationError):
        glmclient.image(source)


def test_a_service_receives_the_part() -> None:
    content = [{"type": "text", "text": "What is it?"}, glmclient.image(png())]
    with Simulator("a dot", provider="zai") as simulator, simulator.client() as client:
        assert client.chat([{"role": "user", "content": content}]).text == "a dot"
        assert simulator.requests[-1].json["messages"][0]["content"][1] == part(png(), "png")
    with Simulator("x", provider="chatglm") as simulator, simulator.client() as client:
        with pytest.raises(ConfigurationError, match="image_url"):
            client.chat([{"role": "user", "content": content}])
