"""``%glm`` and ``%%glm``: ask from a cell, without a line of Python."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand
from traitlets import Unicode

from ..clients.sync_client import SyncClient
from ..conversations.conversation import Conversation
from ..providers import DEFAULT_SERVICE
from .live import show
from .question import Question

__all__ = ["GLMMagics"]


@magics_class
class GLMMagics(Magics):
    """Questions from a cell.

    Args:
        shell: the notebook's.
        make_client: makes the client of a provider, by its name.
    """

    provider: Unicode[str, str | bytes] = Unicode(
        DEFAULT_SERVICE, help="The service that is asked where -p names none."
    ).tag(config=True)
    model: Unicode[str, str | bytes] = Unicode(
        "", help="The model where -m names none; the service's own default if empty."
    ).tag(config=True)

    def __init__(self, shell: Any, make_client: Callable[[str], SyncClient] = SyncClient) -> None:
        super().__init__(shell)
        self._variables: dict[str, Any] = shell.user_ns
        self._make_client = make_client
        self._clients: dict[str, SyncClient] = {}
        self._conversations: dict[SyncClient, Conversation] = {}
        """The last conversation of each client, to go on with."""

    def close(self) -> None:
        """Forget the conversations, and close the connections of the clients that were made here."""
        self._conversations.clear()
        while self._clients:
            self._clients.popitem()[1].close()

    @no_var_expand
    @line_cell_magic
    def glm(self, line: str, cell: str | None = None) -> None:
        """Ask, and show the answer while it comes.

        In a line:
            %glm [options] question

        or with the question in the cell:
            %%glm [options]
            question

        The question is sent as it is written. The interrupt button ends the answer; what came of it is kept.

        Options:
            -m, --model MODEL           the model for this question
            -p, --provider PROVIDER     the service, such as chatglm or zai
            -o, --output VARIABLE       where to put the answer: a Reply
            -s, --system TEXT           what the model is told before the question
            -c, --continue              go on from the last question and its answer
            --client VARIABLE           a SyncClient of the notebook, with its own key, address and limits
            --option NAME VALUE         an option of the provider; the value is JSON, or else text
            --                          ends the options

        `%config GLMMagics.provider = "zai"` and `%config GLMMagics.model = "..."` choose for the whole notebook.
        """
        question = Question.of(line, cell)
        conversation = self._conversation(question)
        options: Any = {"include_status": True, **question.options}
        stream = conversation.stream(
            question.prompt, model=question.model or self.model or None, **options
        )
        try:
            show(stream)
        finally:
            conversation.keep_partial()
            if question.output is not None:
                self._variables[question.output] = stream.partial

    def _conversation(self, question: Question) -> Conversation:
        client = self._client(question)
        if not question.continues:
            self._conversations[client] = client.conversation(system=question.system)
        elif client not in self._conversations:
            raise UsageError("%glm: there is nothing to --continue: no question came before.")
        return self._conversations[client]

    def _client(self, question: Question) -> SyncClient:
        if question.client is not None:
            client = self._variables.get(question.client)
            if not isinstance(client, SyncClient):
                raise UsageError(f"%glm: {question.client!r} is not a SyncClient of this notebook.")
            return client
        name = question.provider or self.provider
        if name not in self._clients:
            self._clients[name] = self._make_client(name)
        return self._clients[name]
