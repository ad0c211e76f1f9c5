"""An application of the shape of the Qwen2.5 Space, for the Gradio of the environment that it is run in.

    python space_app.py <port of the test that listens>

It connects there, says when it serves, what happens in it, and waits where it is told to; when that connection ends,
so does the application.
"""

from __future__ import annotations

import inspect
import json
import os
import queue
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr
from cases import ANSWER, ANSWERS, FAILURE, QUOTA, growing

MAJOR = int(gr.__version__.partition(".")[0])
SYSTEM = "You are a scripted assistant."
PATIENCE = 60.0
"""Seconds after which a held answer gives up; the test has failed long before."""

STILL = 1.0
"""Seconds without a step, of which there are fifty in one, after which an answer counts as stopped."""

try:
    import modelscope_studio as studio
except ImportError:
    studio = None


class Control:
    """The line to the test: JSON objects, one in a line."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self._socket.settimeout(None)
        self._lock = threading.Lock()
        self._released: queue.Queue[None] = queue.Queue()
        self.steps: Steps | None = None

    def tell(self, **happened: Any) -> None:
        with self._lock:
            self._socket.sendall(json.dumps(happened).encode() + b"\n")

    def wait_for_release(self) -> None:
        self._released.get(timeout=PATIENCE)

    def obey(self) -> None:
        for line in self._socket.makefile("rb"):
            if json.loads(line) == "release":
                self._released.put(None)
            elif self.steps is not None:
                self.tell(steps=self.steps.count)


control = Control(int(sys.argv[1]))


def answers(query: str, history: list[Any], system: str, choice: str) -> Iterator[str]:
    """Yield the answer so far, again and again."""
    name = query.partition("case:")[2].partition(" ")[0]
    if name in ANSWERS:
        yield from ANSWERS[name]
    elif name == "paced":
        for text in growing(ANSWER):
            time.sleep(0.02)
            yield text
    elif name == "noisy":
        gr.Info("loading the <b>model</b>")
        gr.Warning("the model is slow today")
        yield from growing(ANSWER)
    elif name == "none":
        return
    elif name in ("failure", "hidden", "quota", "early"):
        yield from growing(ANSWER) if name != "early" else []
        if name in ("hidden", "early"):
            raise ValueError("nobody sees this")
        raise gr.Error(FAILURE if name == "failure" else QUOTA)
    elif name == "slow":
        yield from slow()
    elif name == "held":
        yield "Held"
        control.tell(held=query)
        control.wait_for_release()
        yield "Held and released."
    else:
        yield f"query={query!r} history={words(history)!r} system={system!r} choice={choice!r}"


class Steps:
    """Counts the steps of a slow answer, and tells when no more are taken.

    Gradio 5 and 6 drop the generator, which tells it at once; 4.44 forgets it without dropping it.
    """

    def __init__(self) -> None:
        self.count = 0
        self._taken = threading.Event()
        self._dropped = False
        threading.Thread(target=self._watch, daemon=True).start()

    def take(self) -> None:
        self.count += 1
        self._taken.set()

    def drop(self) -> None:
        self._dropped = True
        self._taken.set()

    def _watch(self) -> None:
        while self._taken.wait(STILL) and not self._dropped:
            self._taken.clear()
        control.tell(stopped=self.count)


def slow() -> Iterator[str]:
    """Grow until somebody stops it."""
    control.steps = steps = Steps()
    control.tell(started=True)
    text, began = "", time.monotonic()
    try:
        while time.monotonic() - began < PATIENCE:
            steps.take()
            text += " s"
            yield text
            time.sleep(0.02)
    finally:
        steps.drop()


def words(history: Any) -> list[str]:
    """Return what was said before, whatever the format."""
    if isinstance(history, str):
        return [history]
    if isinstance(history, dict):
        said = history.get("content", history.get("text"))
        return words(said)
    if isinstance(history, (list, tuple)):
        return [word for each in history for word in words(each)]
    return words(history.text) if hasattr(history, "text") else []


def in_pairs(query: str, history: Any, system: str, choice: str) -> Iterator[Any]:
    before = list(history or [])
    for text in answers(query, before, system, choice):
        yield "", [*before, [query, text]], system


def in_messages(query: str, history: Any, system: str, choice: str) -> Iterator[Any]:
    before = list(history or [])
    for text in answers(query, before, system, choice):
        turn = [{"role": "user", "content": query}, {"role": "assistant", "content": text}]
        yield "", [*before, *turn], system


def two_turns(query: str, history: Any, system: str, choice: str) -> Iterator[Any]:
    """Answer, ask itself something, and answer that too."""
    before = list(history or [])
    if FORMAT == "messages":
        first = [{"role": "user", "content": query}, {"role": "assistant", "content": "First."}]
        again = [{"role": "user", "content": "And?"}, {"role": "assistant", "content": ""}]
    else:
        first, again = [[query, "First."]], [["And?", ""]]
    yield "", [*before, *first], system
    for text in growing("Second, and last."):
        if FORMAT == "messages":
            again[-1] = {"role": "assistant", "content": text}
        else:
            again[-1] = ["And?", text]
        yield "", [*before, *first, *again], system


def narrow(query: str, history: Any, system: str, choice: str) -> Iterator[Any]:
    """Do the same for one caller at a time; Gradio counts the callers of a function, not of its name."""
    yield from (in_messages if FORMAT == "messages" else in_pairs)(query, history, system, choice)


FORMAT = "pairs" if MAJOR == 4 else "messages"


def chatbot(kind: str) -> Any:
    """Return a chatbot of this Gradio: ``own`` format, or the older ``pairs``."""
    if kind == "own" and studio is not None:
        return studio.Chatbot()
    if MAJOR == 5:
        return gr.Chatbot(type="messages" if kind == "own" else "tuples")
    return gr.Chatbot()


def build() -> Any:
    with gr.Blocks() as demo:
        # Gradio 5 and newer refuse a value that is not among the choices; the Space's own radio has none.
        choice = gr.Radio(choices=[] if MAJOR == 4 else ["72B"], value="72B", visible=False)
        system_state = gr.Textbox(value=SYSTEM, visible=False)
        question, system_input = gr.Textbox(), gr.Textbox(value=SYSTEM)
        functions: list[tuple[str, Callable[..., Any], str, dict[str, Any]]] = [
            ("model_chat", in_messages if FORMAT == "messages" else in_pairs, "own", {}),
            ("narrow", narrow, "own", {"concurrency_limit": 1}),
            ("two_turns", two_turns, "own", {}),
        ]
        if MAJOR < 6:
            functions.append(("in_pairs", in_pairs, "pairs", {}))
        for name, function, kind, limits in functions:
            bot = chatbot(kind)
            gr.Button(name).click(
                function,
                inputs=[question, bot, system_state, choice],
                outputs=[question, bot, system_input],
                api_name=name,
                **limits,
            )
    return demo.queue(api_open=False, default_concurrency_limit=40, max_size=3)


def launch(demo: Any) -> int:
    """Serve on a free port and return it."""
    known = inspect.signature(demo.launch).parameters
    quiet = {"show_api": False} if "show_api" in known else {}
    for _ in range(5):
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port: int = probe.getsockname()[1]
        try:
            demo.launch(
                server_name="127.0.0.1", server_port=port, prevent_thread_lock=True, **quiet
            )
            return port
        except OSError:
            continue  # somebody took the port between the two lines
    raise OSError("no free port")


def main() -> None:
    port = launch(build())
    control.tell(version=gr.__version__, url=f"http://127.0.0.1:{port}", studio=studio is not None)
    control.obey()
    os._exit(0)  # answers that are held must not hold the process


if __name__ == "__main__":
    main()
