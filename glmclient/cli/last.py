"""The last conversation, kept so that ``--continue`` can go on with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..configuration import PROVIDERS
from ..conversation import Conversation
from ..conversation_file import SavedConversation
from ..errors import ConfigurationError
from .places import HOME, INSTALL, folder, needed

if TYPE_CHECKING:
    from ..sync_client import SyncClient

__all__ = ["begin", "keep", "saved"]

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
    if found.provider not in PROVIDERS:
        raise ConfigurationError(
            f"the last conversation was with {found.provider!r}, which the terminal does not know."
        )
    return found


def begin(
    client: SyncClient,
    found: SavedConversation | None,
    system: str | None,
    model: str | None,
    options: dict[str, Any],
) -> Conversation:
    """Return a new conversation, or go on with one that was saved; what is given now comes first."""
    if found is None:
        return client.conversation(system=system, model=model, **options)
    conversation = Conversation.of(found, client)
    conversation.system = system or conversation.system
    conversation.model = model or conversation.model
    conversation.options.update(options)
    return conversation


def keep(conversation: Conversation) -> None:
    """Save the conversation as the last one, where there is a place for it.

    Raises:
        ConfigurationError: the place cannot be written to.
    """
    if folder("state") is None:
        return
    try:
        conversation.save(needed("state") / NAME)
    except OSError as error:
        raise ConfigurationError(
            f"the conversation cannot be kept: {error.strerror}. --no-save leaves it out."
        ) from None
