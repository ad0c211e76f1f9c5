"""The last conversation, kept so that ``--continue`` can go on with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ...conversations.conversation import Conversation
from ...conversations.file import SavedConversation
from ...errors import ConfigurationError
from ...providers import service_names
from ..parameters import Choices, choices_of, options_of
from . import history
from .places import HOME, INSTALL, folder, needed
from .settings import Settings

if TYPE_CHECKING:
    from ...clients.sync_client import SyncClient

__all__ = ["begin", "is_kept", "keep", "remember", "resolved", "saved", "text_of"]

NAME = "last_conversation.json"


def saved() -> SavedConversation:
    """Return the last conversation.

    Raises:
        ConfigurationError: there is none, or it cannot be read.
    """
    place = folder("state")
    if place is None:
        raise ConfigurationError(
            f"to go on with a conversation, one more package is needed: {INSTALL}. Or name a folder for it in {HOME}."
        )
    try:
        found = SavedConversation.read(place / NAME)
    except FileNotFoundError:
        raise ConfigurationError(
            "there is no conversation yet to go on with; ask something first."
        ) from None
    except OSError as error:
        raise ConfigurationError(f"{place / NAME} cannot be read: {error.strerror}.") from None
    if found.provider not in service_names():
        raise ConfigurationError(
            f"the last conversation was with {found.provider!r}, which the terminal does not know."
        )
    return found


def resolved(
    settings: Settings, given: Mapping[str, Any]
) -> tuple[SavedConversation | None, Choices]:
    """Return the last conversation, if it is to go on, and which service to ask.

    A conversation goes on where it was held, unless an argument says otherwise.

    Raises:
        ConfigurationError: there is no such conversation, or a setting is wrong.
    """
    found = saved() if given.get("go_on") else None
    if found is None:
        return None, choices_of(settings, given)
    same_service = given["provider"] in (None, found.provider)
    if given["base_url"] is None and same_service and not _is_usual(found, settings):
        # As if the address was typed: keys that are set up for another address do not go there.
        given = {**given, "base_url": found.url}
    return found, choices_of(settings, given, found.provider)


def _is_usual(found: SavedConversation, settings: Settings) -> bool:
    """Tell whether a conversation was held at the address that a question would go to now."""
    return settings.address(found.provider).rstrip("/") == found.url.rstrip("/")


def begin(
    client: SyncClient,
    found: SavedConversation | None,
    settings: Settings,
    given: Mapping[str, Any],
    model: str | None,
) -> Conversation:
    """Return a new conversation, or go on with one that was saved; what is given now comes first."""
    options = options_of(given["options"])
    if found is None:
        system = settings.get("system", given["system"])
        return client.conversation(system=system, model=model, **options)
    conversation = Conversation.of(found, client)
    conversation.system = given["system"] or conversation.system
    conversation.model = model or conversation.model
    conversation.options.update(options)
    return conversation


def is_kept(settings: Settings, given: Mapping[str, Any]) -> bool:
    """Tell whether the conversation is to be kept."""
    return given.get("no_save") is False and settings.get("save") is not False


def remember(conversation: Conversation, settings: Settings, note: Callable[[str], None]) -> None:
    """Add the last question and its answer to the history, unless a setting forbids it; tell if that fails."""
    messages = conversation.messages
    if settings.get("history") is False or messages[-1]["role"] != "assistant":
        return
    try:
        history.add(
            conversation.client.provider.name,
            conversation.model,
            text_of(messages[-2].get("content")),
            text_of(messages[-1].get("content")),
        )
    except ConfigurationError as error:
        note(f"[not in the history] {error}")


def text_of(content: Any) -> str:
    """Return the content of a message as text; parts that are not text by their names in brackets."""
    if isinstance(content, list):
        return " ".join(str(part.get("text") or f"[{part.get('type')}]") for part in content)
    return str(content or "")


def keep(conversation: Conversation, note: Callable[[str], None]) -> None:
    """Save the conversation as the last one, where there is a place for it; tell if that fails."""
    if folder("state") is None:
        return
    try:
        conversation.save(needed("state") / NAME)
    except (OSError, ConfigurationError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        note(f"[not kept for --continue] {why}")
