"""Ask one question and print the answer as it comes.

    python examples/ask.py Why is the sky blue?

The answer goes to standard output, the model's thinking and everything else to standard error.
"""

from __future__ import annotations

import sys

from glmclient import Finish, GLMError, ReasoningDelta, SyncClient, TextDelta, TextReplace


def main(question: str) -> int:
    try:
        with SyncClient() as client:
            for event in client.stream(question):
                match event:
                    case TextDelta(text):
                        print(text, end="", flush=True)
                    case TextReplace(start, text):
                        # What was printed cannot be taken back: say from where on it reads differently now.
                        print(f"\n[from character {start} on:]\n{text}", end="", flush=True)
                    case ReasoningDelta(text):
                        print(text, end="", file=sys.stderr, flush=True)
                    case Finish("stop"):
                        print()
                    case Finish(reason):
                        print(f"\n[the answer ended early: {reason}]", file=sys.stderr)
    except GLMError as error:
        print(f"\n{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(" ".join(sys.argv[1:]) or "Hello"))
