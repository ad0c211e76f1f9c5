"""Ask many questions at once and write each answer as a line of JSON when it is whole.

    python examples/many_questions.py < questions.txt > answers.jsonl

One question a line. Lines are read as they are needed, so that a file of any length takes the same memory; a question
that fails is reported in its own line and stops no other.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator

from glmclient import SyncClient


def rows(lines: Iterable[str]) -> Iterator[str]:
    """Yield the questions; nothing is held of those before."""
    for line in lines:
        if line.strip():
            yield line.strip()


def main(lines: Iterable[str]) -> int:
    failed = False
    with SyncClient() as client:
        for result in client.map(rows(lines)):
            answer = {"number": result.index + 1, "question": result.row}
            if result.reply is not None:
                answer["answer"] = result.reply.text
            else:
                failed = True
                answer["error"] = f"{type(result.error).__name__}: {result.error}"
            print(json.dumps(answer, ensure_ascii=False), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.stdin))
