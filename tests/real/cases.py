"""What the application answers to a question ``case:<name>``, step by step; read by it and by the tests.

Each step is the whole answer so far, as Gradio wants it.
"""

from __future__ import annotations

import re


def growing(text: str) -> list[str]:
    """Return ``text`` as a model sends it: word by word, or by one or two characters of Chinese."""
    pieces = re.findall(
        r"\s*(?:[\u2e80-\u9fff\uff00-\uffef]{1,2}|[^\s\u2e80-\u9fff\uff00-\uffef]+)", text
    )
    assert "".join(pieces) == text
    return ["".join(pieces[: number + 1]) for number in range(len(pieces))]


CHINESE = (
    "你好！我是一个测试助手。流式传输时，服务器只发送新增的部分，而不是完整的答案。"
    "第一条消息是完整的，之后的每一条只说明改变了什么。“引号”、《书名号》——都是文字。"
)
EMOJI = (
    "A family 👨‍👩‍👧‍👦, a flag 🇨🇳, a skin tone 👍🏽 and 🤷🏻‍♀️; é is not é, 𝄞 is one, 👩‍💻 codes."
)
CODE = """\
Here it is:

```python
def fibonacci(n: int) -> int:
    a, b = 0, 1
    for _ in range(n):
        a, b = b, a + b
    return a


print(fibonacci(10), "\\n", '<b>&amp;</b>')
```

That prints 55."""
SEPARATORS = "line\u2028separator, paragraph\u2029separator, next\x85line, data: {} and event: x."
INDENTED = "def f(x):\n    if x:\n        return 1\n    return 2\n\nprint(f(1))\nprint(f(2))"
LONG = " ".join(f"word{number}" for number in range(400)) + "."
ANSWER = "The answer after all that."

ANSWERS: dict[str, list[str]] = {
    "chinese": growing(CHINESE),
    "emoji": growing(EMOJI),
    "code": growing(CODE),
    "separators": growing(SEPARATORS),
    # The server dedents a message whose later lines are all indented, until one is not: its own rewrite.
    "indented": [INDENTED[: at + 1] for at, _ in enumerate(INDENTED)],
    "thinking": ["Thinking", "Thinking...", "Thinking......", *growing(ANSWER)],
    "withdrawn": [
        *growing("Something that is taken back."),
        "Something else.",
        "Some",
        "Some more.",
    ],
    "empty": [""],
    "long": growing(LONG),
}

FAILURE = "The model <b>crashed</b> in the middle."
QUOTA = (
    "You have exceeded your GPU quota (60s requested vs. 12s left). "
    '<a href="https://huggingface.co/join">Create a free account</a> to get more. Try again in 0:09:48'
)
