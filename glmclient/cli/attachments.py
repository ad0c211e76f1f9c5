"""Files that are part of a question: images as images, anything else as text."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Any

from ..content import image_part, media_type
from ..errors import ConfigurationError
from ..private_file import read_regular

__all__ = ["Asked", "question_with"]

Asked = str | list[dict[str, Any]]
"""A question: a text, or messages if it holds images."""

LARGEST = 20_000_000
"""Bytes of one file at most."""
_FENCES = re.compile(r"`{3,}")


def question_with(question: str, files: Sequence[str]) -> Asked:
    """Return a question with the content of files before it.

    Args:
        question: the text.
        files: paths; what a file is decides its content, not its name.

    Raises:
        ConfigurationError: a file cannot be read, is too large, or is neither an image nor UTF-8 text.
    """
    texts: list[str] = []
    images: list[dict[str, Any]] = []
    for file in files:
        content = _content(file)
        media = media_type(content)
        if media is None:
            texts.append(_fenced(file, content))
        else:
            images.append(image_part(content, media))
    text = "\n\n".join((*texts, question))
    if not images:
        return text
    return [{"role": "user", "content": [*images, {"type": "text", "text": text}]}]


def _content(file: str) -> bytes:
    try:
        return read_regular(os.path.expanduser(file), LARGEST)
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be attached: {error.strerror}.") from None


def _fenced(file: str, content: bytes) -> str:
    """Return a text file as a block of code, behind its name."""
    try:
        text = content.decode("utf-8-sig").rstrip("\n")
    except UnicodeDecodeError as error:
        raise ConfigurationError(
            f"{file} cannot be attached: it is neither an image (PNG, JPEG, GIF, WebP) nor UTF-8 text "
            f"(byte {error.start} is {content[error.start]:#04x})."
        ) from None
    longest = max((len(fence) for fence in _FENCES.findall(text)), default=2)
    fence = "`" * (longest + 1)
    return f"{os.path.basename(file)}:\n{fence}\n{text}\n{fence}"
