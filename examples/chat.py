"""Talk with a model in the terminal; an empty line ends it.

    python examples/chat.py [provider]

A failed turn leaves the conversation as it was before, so the same question can simply be asked again.
"""

from __future__ import annotations

import sys

from glmclient import ConfigurationError, GLMError, SyncClient


def main(provider: str) -> int:
    try:
        client = SyncClient(provider)
    except ConfigurationError as error:  # no such service, or no key for it
        print(error, file=sys.stderr)
        return 1
    with client:
        conversation = client.conversation(system="Answer briefly.")
        while question := asked():
            try:
                for piece in conversation.stream(question).text_stream:
                    print(piece, end="", flush=True)
                print()
            except KeyboardInterrupt:
                conversation.keep_partial()  # the model will know how far it came
                print(" [interrupted]")
            except GLMError as error:
                print(f"\n{type(error).__name__}: {error}", file=sys.stderr)
    turns = sum(message["role"] == "user" for message in conversation.messages)
    print(f"questions answered: {turns}", file=sys.stderr)
    return 0


def asked() -> str:
    """Return the next question; nothing at the end of the input."""
    try:
        return input("> ").strip()
    except EOFError:
        return ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "chatglm"))
