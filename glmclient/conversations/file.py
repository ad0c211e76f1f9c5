"""A conversation in a file: JSON that people can read, and no key in it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from ..core.http import load_object
from ..errors import ConfigurationError
from ..messages import checked_messages
from ..private_file import read_regular, told_what_to_do, write_private

__all__ = ["SavedConversation"]

LARGEST = 256 * 1024 * 1024
"""Bytes of a saved conversation at most; images in it are base64."""
FORMAT = 1
"""The number of the file format; a reader refuses any other."""


@dataclass(frozen=True, slots=True)
class SavedConversation:
    """What is kept of a conversation.

    Args:
        provider: the name of the service that it was held with.
        url: the address of that service.
        model: the conversation's own model.
        options: the conversation's own options.
        system: the system message.
        messages: what was said after it.
        conversation_id: by which the service remembers it.
        continuation: what the service wants back to go on.
    """

    provider: str
    url: str
    model: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    system: str | None = None
    messages: tuple[dict[str, Any], ...] = ()
    conversation_id: str | None = None
    continuation: str | None = None

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write it to a file of mode 0600, in one step.

        Raises:
            ConfigurationError: an option cannot be written as JSON.
            OSError: the file cannot be written.
        """
        state = {"glmclient_conversation": FORMAT, **asdict(self)}
        try:
            text = json.dumps(state, ensure_ascii=False, indent=1, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ConfigurationError(
                f"the conversation cannot be written as JSON: {error}."
            ) from None
        # A lone surrogate has no UTF-8; JSON can escape it (RFC 8259 §8.2).
        write_private(path, text.encode("utf-8", "backslashreplace").decode() + "\n")

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> SavedConversation:
        """Read what `write` wrote.

        Raises:
            ConfigurationError: it is something else.
            OSError: the file cannot be read.
        """
        shown = os.fspath(path)
        try:
            state = load_object(read_regular(path, LARGEST).decode("utf-8", "replace"))
        except OSError as error:
            advice = "give the path of a file that a conversation's save() wrote"
            raise told_what_to_do(error, path, advice) from None
        if state is None or "glmclient_conversation" not in state:
            raise ConfigurationError(f"{shown} is not a conversation that glmclient saved.")
        if state["glmclient_conversation"] != FORMAT:
            raise ConfigurationError(
                f"{shown} has the format {state['glmclient_conversation']!r}, and this version of glmclient reads "
                f"{FORMAT}. Install the version that wrote it, or a newer one."
            )
        known: dict[str, Any] = {name: state.get(name) for name in _FIELDS}
        for name, (kind, optional) in _FIELDS.items():
            if not isinstance(known[name], kind) and not (optional and known[name] is None):
                raise ConfigurationError(f"{shown} is damaged: its {name!r} is no {kind.__name__}.")
        said = known.pop("messages")
        return cls(messages=checked_messages(said, compatible=True) if said else (), **known)


_FIELDS: Mapping[str, tuple[type, bool]] = {
    # name: its type in JSON, and whether it may be missing
    "provider": (str, False),
    "url": (str, False),
    "model": (str, True),
    "options": (dict, False),
    "system": (str, True),
    "messages": (list, False),
    "conversation_id": (str, True),
    "continuation": (str, True),
}
