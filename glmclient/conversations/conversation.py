"""A conversation: what was said, and what the service needs to go on with it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from .._visible import complete_repr
from ..clients.base import BaseClient, described_options
from ..errors import ConfigurationError, StreamMisuse
from ..events import Finish
from ..messages import Messages, checked_messages
from ..reply import Reply
from ..signatures import complete
from ..streams.base import BaseStream
from .file import SavedConversation

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from ..clients.async_client import AsyncClient
    from ..clients.sync_client import SyncClient
    from ..core.limits import Timeout
    from ..core.retry import RetryPolicy
    from ..options import ChatOptions, QuestionArguments, TurnArguments
    from ..runs.async_run import AsyncRun
    from ..runs.base import BaseRun
    from ..runs.sync_run import Run
    from ..streams.async_stream import AsyncStream
    from ..streams.sync_stream import Stream

__all__ = ["AsyncConversation", "BaseConversation", "Conversation"]

_ANY_QUESTION = "?"
"""What stands for a question where only the options are looked at."""

C = TypeVar("C", bound=BaseClient)
S = TypeVar("S", bound=BaseStream)


class BaseConversation(Generic[C, S]):
    """What both kinds of conversation are: the state between two turns.

    A turn counts when its `Finish` was handed over. After a failure, or when the loop was left early, the
    conversation is as it was before the turn; `keep_partial` takes the piece in after all.

    Args:
        client: who asks.
        system: the system message.
        model: the model for every turn that does not name one; the client's otherwise.
        options: for every turn; what a turn gives itself comes first.

    Raises:
        ConfigurationError: ``system`` is not text, or the provider cannot honour the model or an option.
    """

    def __init_subclass__(cls) -> None:
        complete(cls, BaseConversation)

    def __init__(
        self,
        client: C,
        *,
        system: str | None = None,
        model: str | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        if system is not None and (not isinstance(system, str) or not system.strip()):
            raise ConfigurationError("system must be a text that is not empty, or None.")
        self.client = client
        self.system = system
        self.model = model
        self.options: dict[str, Any] = dict(options or {})
        # What the provider refuses in every turn, it may as well refuse now.
        client.provider.prepare(_ANY_QUESTION, model, described_options(self.options))
        self._history: tuple[dict[str, Any], ...] = ()
        self._memory: Finish | None = None
        """The last answer, while it holds what the service goes on from."""
        self._said: tuple[dict[str, Any], ...] = ()
        self._pending: S | BaseRun[Any] | None = None
        """The answer that is being read, or was left; it is looked at when somebody asks."""

    # -- what was said -------------------------------------------------------------------------------------

    @property
    def messages(self) -> tuple[dict[str, Any], ...]:
        """Everything that was said, the system message first, as ``stream`` of any client takes it."""
        self._settle()
        return tuple(dict(message) for message in (*self._preamble(), *self._history))

    def _preamble(self) -> tuple[dict[str, Any], ...]:
        return () if self.system is None else ({"role": "system", "content": self.system},)

    def _settle(self) -> None:
        """Take in the pending turn if its answer was handed over to the end."""
        stream = self._pending
        if stream is None or stream.finish is None:
            return
        self._take_in(*stream._turn())
        finish = stream.finish
        remembers = finish is not None and (finish.continuation or finish.conversation_id)
        self._memory = finish if remembers else None

    def _take_in(self, *answer: Mapping[str, Any]) -> None:
        self._history = (*self._history, *self._said, *(dict(message) for message in answer))
        self._pending = None

    def keep_partial(self) -> bool:
        """Take in the last turn although its answer did not end, with the text that came.

        A tool call that was cut is left out. Where the service is told the whole conversation, it will be told this
        piece too; where it remembers the conversation itself, it remembers what it said.

        Returns:
            Whether there was a turn with a piece of an answer to take in.
        """
        self._settle()
        stream = self._pending
        answer = stream._partial_turn() if stream is not None else ()
        if not answer:
            return False
        self._take_in(*answer)
        if self._memory is not None and self._memory.continuation is not None:
            self._memory = None  # it is the conversation itself, without this turn
        return True

    # -- what both conversations have, documented once -----------------------------------------------------

    def stream(
        self,
        said: Messages,
        *,
        model: str | None = None,
        timeout: Timeout | float | None = ...,
        retry: RetryPolicy | None = ...,
        schema: Any = ...,
        **options: Unpack[ChatOptions],
    ) -> Any:
        """Say something, and return the answer as a stream of events.

        Args:
            said: text, or messages: the results of tool calls, for one.
            model: the model for this turn.
            timeout: time limits for this turn.
            retry: attempts for this turn.
            schema: the type of the answer, as `SyncClient.stream` takes it.
            options: for this turn, in place of the conversation's own of the same name.

        Raises:
            ConfigurationError: something is wrong with the question; nothing was sent.
            StreamMisuse: the answer before is being read at this moment.
        """

    def chat(
        self,
        said: Messages,
        *,
        model: str | None = None,
        timeout: Timeout | float | None = ...,
        retry: RetryPolicy | None = ...,
        schema: Any = ...,
        repair: int = ...,
        **options: Unpack[ChatOptions],
    ) -> Any:
        """Say something, and return the whole answer: `stream`, drained.

        With ``schema=`` the conversation keeps the question and the last answer; rounds of repair are not part of it.

        Args:
            schema: the type of the answer, as `SyncClient.chat` takes it.
            repair: further rounds that send the problems back if the answer does not fit.

        Raises:
            SchemaError: the answer still does not fit.
            GLMError: what went wrong; what came is on ``error.partial``.
        """

    def run(
        self,
        said: Messages,
        tools: Iterable[Any] | None = None,
        *,
        max_rounds: int = ...,
        raise_tool_errors: bool = ...,
        model: str | None = None,
        timeout: Timeout | float | None = ...,
        retry: RetryPolicy | None = ...,
        schema: Any = ...,
        **options: Any,
    ) -> Any:
        """Ask, and run the functions that the model calls, until it answers.

        The turn counts when its `Finish` was handed over; the conversation then holds every round of it.

        Args:
            said: text, or messages.
            tools: functions, as `SyncClient.run` takes them; the conversation's own without them.
            max_rounds: requests at most.
            raise_tool_errors: raise what goes wrong in a call.
            model: the model for this turn.
            timeout: time limits; ``total`` covers the whole run.
            retry: attempts of each round.
            schema: the type of the last answer.
            options: for this turn, in place of the conversation's own of the same name.

        Raises:
            ConfigurationError: something is wrong with the question; nothing was sent.
            StreamMisuse: the answer before is being read at this moment.
        """

    # -- the next turn -------------------------------------------------------------------------------------

    def _next(
        self, said: Messages, arguments: TurnArguments
    ) -> tuple[list[dict[str, Any]], QuestionArguments]:
        """Return the messages of a turn, and its arguments.

        The messages are the whole conversation, or only the part that the service does not remember.
        """
        checked = checked_messages(said, compatible=True)
        self._settle()
        stream = self._pending
        if stream is not None:
            if stream._iterating:
                raise StreamMisuse(
                    "the answer before is still being read: read it to its end or close it first, or fork() the "
                    "conversation to go both ways."
                )
            self._abandon(stream)
            self._pending = None
        self._said = checked
        question: QuestionArguments = {
            **cast("ChatOptions", self.options),
            **cast("QuestionArguments", arguments),
        }
        if question.get("model") is None:
            question["model"] = self.model
        if self._memory is None:
            return [*self._preamble(), *self._history, *self._said], question
        question["continue_from"] = self._memory
        # A service without system messages was told them inside the first question, and remembers that.
        lasting = self.client.provider.supports.system_messages
        return [*(self._preamble() if lasting else ()), *self._said], question

    def _abandon(self, stream: Any) -> None:
        """End an answer that nobody reads any more."""
        raise TypeError("use Conversation or AsyncConversation")

    def _run_of(
        self,
        said: Messages,
        tools: Iterable[Any] | None,
        arguments: Mapping[str, Any],
        **settings: Any,
    ) -> Any:
        """Begin a turn of several rounds."""
        # The service's own memory has no place for the results of calls: a run sends everything.
        self._settle()
        self._memory = None
        messages, question = self._next(said, cast("TurnArguments", arguments))
        own = question.pop("tools", None)
        settings.update(question)
        run = self.client.run(messages, own if tools is None else tools, **settings)
        self._pending = run
        return run

    # -- copies and files ----------------------------------------------------------------------------------

    def fork(self) -> Self:
        """Return an independent copy: what is said in one is not heard in the other.

        A service that remembers the conversation itself has only one memory of it, so the copy tells it everything
        anew with its first question.
        """
        self._settle()
        copy = type(self)(self.client, system=self.system, model=self.model, options=self.options)
        copy._history = self._history
        if self._memory is not None and self._memory.conversation_id is None:
            copy._memory = self._memory
        return copy

    def __copy__(self) -> Self:
        return self.fork()

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self.fork()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the conversation to a file of mode 0600, in one step; no key is in it.

        Raises:
            ConfigurationError: an option cannot be written as JSON.
            OSError: the file cannot be written; what was there stays.
        """
        self._settle()
        provider, memory = self.client.provider, self._memory
        saved = SavedConversation(
            provider=provider.name,
            url=provider.url,
            model=self.model,
            options=described_options(self.options),
            system=self.system,
            messages=self._history,
            conversation_id=memory.conversation_id if memory is not None else None,
            continuation=memory.continuation if memory is not None else None,
        )
        saved.write(path)

    @classmethod
    def load(cls, path: str | os.PathLike[str], client: C) -> Self:
        """Return a conversation from a file.

        With a client of another service the words alone are taken over: model, options and the other service's
        memory stay behind.

        Raises:
            ConfigurationError: it is not a file that `save` wrote.
            OSError: the file cannot be read.
        """
        return cls.of(SavedConversation.read(path), client)

    @classmethod
    def of(cls, saved: SavedConversation, client: C) -> Self:
        """Return a conversation as it was saved; see `load`."""
        same = (saved.provider, saved.url) == (client.provider.name, client.provider.url)
        conversation = cls(
            client,
            system=saved.system,
            model=saved.model if same else None,
            options=saved.options if same else None,
        )
        conversation._history = saved.messages
        if same and (saved.conversation_id or saved.continuation):
            conversation._memory = Finish(
                "stop", conversation_id=saved.conversation_id, continuation=saved.continuation
            )
        return conversation

    @complete_repr
    def __repr__(self) -> str:
        turns = sum(message["role"] == "user" for message in self._history)
        return f"<{type(self).__name__} with {self.client.provider.name}, {turns} turns>"


class Conversation(BaseConversation["SyncClient", "Stream"]):
    """A conversation of a `SyncClient`; its ``conversation`` method makes one.

    A turn counts when its `Finish` was handed over. After a failure, or when the loop was left early, the
    conversation is as it was before the turn; `keep_partial` takes the piece in after all.
    """

    client: SyncClient

    def stream(
        self,
        said: Messages,
        *,
        schema: Any = None,
        **arguments: Unpack[TurnArguments],
    ) -> Stream:
        messages, question = self._next(said, arguments)
        self._pending = stream = self.client.stream(messages, schema=schema, **question)
        return stream

    def chat(
        self,
        said: Messages,
        *,
        schema: Any = None,
        repair: int = 1,
        **arguments: Unpack[TurnArguments],
    ) -> Reply[Any]:
        messages, question = self._next(said, arguments)
        self._pending = stream = self.client.stream(messages, schema=schema, **question)
        if schema is None:
            return stream.reply()

        def ask(messages: Messages, again: QuestionArguments) -> Stream:
            self._pending = self.client.stream(messages, schema=schema, **again)
            return self._pending

        rounds = self.client._repairs(repair, messages, question)
        from ..streams.sync_stream import repaired

        return repaired(stream, ask, rounds)

    def run(
        self,
        said: Messages,
        tools: Iterable[Any] | None = None,
        *,
        max_rounds: int = 8,
        raise_tool_errors: bool = False,
        schema: Any = None,
        **arguments: Any,
    ) -> Run:
        run: Run = self._run_of(
            said,
            tools,
            arguments,
            max_rounds=max_rounds,
            raise_tool_errors=raise_tool_errors,
            schema=schema,
        )
        return run

    def _abandon(self, stream: Stream | Run) -> None:
        stream.close()


class AsyncConversation(BaseConversation["AsyncClient", "AsyncStream"]):
    """A conversation of an `AsyncClient`; its ``conversation`` method makes one.

    A turn counts when its `Finish` was handed over. After a failure, or when the loop was left early, the
    conversation is as it was before the turn; `keep_partial` takes the piece in after all.
    """

    client: AsyncClient

    def stream(
        self,
        said: Messages,
        *,
        schema: Any = None,
        **arguments: Unpack[TurnArguments],
    ) -> AsyncStream:
        messages, question = self._next(said, arguments)
        self._pending = stream = self.client.stream(messages, schema=schema, **question)
        return stream

    async def chat(
        self,
        said: Messages,
        *,
        schema: Any = None,
        repair: int = 1,
        **arguments: Unpack[TurnArguments],
    ) -> Reply[Any]:
        messages, question = self._next(said, arguments)
        self._pending = stream = self.client.stream(messages, schema=schema, **question)
        if schema is None:
            return await stream.reply()

        def ask(messages: Messages, again: QuestionArguments) -> AsyncStream:
            self._pending = self.client.stream(messages, schema=schema, **again)
            return self._pending

        rounds = self.client._repairs(repair, messages, question)
        from ..streams.async_stream import repaired

        return await repaired(stream, ask, rounds)

    def run(
        self,
        said: Messages,
        tools: Iterable[Any] | None = None,
        *,
        max_rounds: int = 8,
        raise_tool_errors: bool = False,
        schema: Any = None,
        **arguments: Any,
    ) -> AsyncRun:
        run: AsyncRun = self._run_of(
            said,
            tools,
            arguments,
            max_rounds=max_rounds,
            raise_tool_errors=raise_tool_errors,
            schema=schema,
        )
        return run

    def _abandon(self, stream: AsyncStream | AsyncRun) -> None:
        # Nothing can be awaited here: whoever still reads it gets `StreamCancelled`, and it closes itself.
        stream.cancel()
