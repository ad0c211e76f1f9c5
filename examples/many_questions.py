"""Ask many questions at once and write each answer as a line of JSON when it is whole.

    python examples/many_questions.py < questions.txt > answers.jsonl

One question a line. At most four are on their way at a time; a question that fails is reported in its own line and
stops no other.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable

import anyio

from glmclient import AsyncClient, GLMError

AT_ONCE = 4


async def main(questions: Iterable[str]) -> int:
    failed = 0
    free = anyio.CapacityLimiter(AT_ONCE)

    async def ask(client: AsyncClient, number: int, question: str) -> None:
        nonlocal failed
        async with free:
            try:
                reply = await client.chat(question)
                answer = {"answer": reply.text}
            except GLMError as error:
                failed += 1
                answer = {"error": f"{type(error).__name__}: {error}"}
        line = {"number": number, "question": question, **answer}
        print(json.dumps(line, ensure_ascii=False), flush=True)

    async with AsyncClient() as client, anyio.create_task_group() as tasks:
        for number, question in enumerate(questions, 1):
            tasks.start_soon(ask, client, number, question)
    return 1 if failed else 0


if __name__ == "__main__":
    asked = [line.strip() for line in sys.stdin if line.strip()]
    sys.exit(anyio.run(main, asked))
