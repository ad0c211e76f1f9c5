"""Chat apps of every common shape, mounted in one process, for the Gradio of the environment that runs it.

    python shapes_app.py <port of the test that listens>

It connects there, writes one line of JSON when it serves, and ends when that connection ends.
"""

from __future__ import annotations

import base64
import inspect
import json
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr
import uvicorn
from fastapi import FastAPI

MAJOR = int(gr.__version__.partition(".")[0])
SYSTEM = "You are a scripted assistant."


def texts(value: Any) -> list[str]:
    """Return every text of a conversation, whatever its format."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return texts(value.get("content", value.get("text")))
    if isinstance(value, (list, tuple)):
        return [text for each in value for text in texts(each)]
    return texts(value.text) if hasattr(value, "text") else []


def answer(question: Any, history: Any, **settings: Any) -> Iterator[str]:
    """Yield an answer that repeats everything that the app received, growing word by word."""
    before = texts(history)
    if isinstance(question, dict):
        files = [file_content(each) for each in question.get("files") or []]
        settings["files"] = files
        question = question.get("text")
    text = json.dumps({"question": question, "history": before, **settings}, ensure_ascii=False)
    if "Markdown" in str(question):
        text = "First **bold** 你好.\n\n```python\nprint('x')\n```\n\nLast."
    if str(question).startswith("fail"):
        raise gr.Error("The model is out of order.")
    words = text.split(" ")
    for number in range(len(words)):
        yield " ".join(words[: number + 1])


def file_content(each: Any) -> str:
    path = (
        each
        if isinstance(each, str)
        else (each.get("path") if isinstance(each, dict) else each.path)
    )
    with open(path, "rb") as file:
        return base64.b64encode(file.read()).decode()


def last(pieces: Iterator[str]) -> str:
    return list(pieces)[-1]


# -- ChatInterface -------------------------------------------------------------------------------------------


def interface_kind(kind: str) -> dict[str, Any]:
    """Return the argument that chooses the format of a ChatInterface, where there is one."""
    known = inspect.signature(gr.ChatInterface).parameters
    return {"type": kind} if "type" in known else {}


def plain(message: str, history: Any) -> Iterator[str]:
    yield from answer(message, history)


def whole(message: str, history: Any) -> str:
    return last(answer(message, history))


def with_settings(
    message: str, history: Any, system_prompt: str, temperature: float, model: str, shout: bool
) -> Iterator[str]:
    yield from answer(
        message, history, system=system_prompt, temperature=temperature, model=model, shout=shout
    )


def multimodal(message: Any, history: Any) -> Iterator[str]:
    yield from answer(message, history)


def settings() -> list[Any]:
    return [
        gr.Textbox(SYSTEM, label="System prompt"),
        gr.Slider(0.0, 2.0, value=0.7, step=0.1, label="Temperature"),
        gr.Dropdown(["small", "large"], value="small", label="Model"),
        gr.Checkbox(False, label="Shout"),
    ]


# -- Interface -----------------------------------------------------------------------------------------------


def reply(text: str) -> str:
    return last(answer(text, []))


def reply_in_pieces(text: str, temperature: float) -> Iterator[str]:
    yield from answer(text, [], temperature=temperature)


# -- Blocks --------------------------------------------------------------------------------------------------


def bot(kind: str = "own", **props: Any) -> Any:
    known = inspect.signature(gr.Chatbot).parameters
    if "type" in known:
        return gr.Chatbot(type="messages" if kind == "own" and MAJOR > 4 else "tuples", **props)
    return gr.Chatbot(**props)


def turn(before: Any, question: Any, text: str) -> list[Any]:
    """Return a conversation with one more turn, in the format of this Gradio."""
    before = list(before or [])
    if isinstance(question, dict):
        question = question.get("text")
    if MAJOR == 4:
        return [*before, [question, text]]
    return [
        *before,
        {"role": "user", "content": question},
        {"role": "assistant", "content": text},
    ]


def respond(message: str, history: Any) -> Iterator[Any]:
    before = list(history or [])
    for text in answer(message, before):
        yield "", turn(before, message, text)


def respond_with_settings(
    message: str, history: Any, system_message: str, max_tokens: int, top_p: float
) -> Iterator[Any]:
    before = list(history or [])
    for text in answer(message, before, system=system_message, max_tokens=max_tokens, top_p=top_p):
        yield "", turn(before, message, text)


def user(message: str, history: Any) -> Any:
    if MAJOR == 4:
        return "", [*history, [message, None]]
    return "", [*history, {"role": "user", "content": message}]


def reply_to_last(history: Any) -> Iterator[Any]:
    question = texts(history)[-1]
    before = history[:-1]
    for text in answer(question, before):
        yield turn(before, question, text)


def with_state(message: str, state: Any) -> Iterator[Any]:
    before = list(state or [])
    for text in answer(message, before):
        now = turn(before, message, text)
        yield now, now


def predict(
    input: str,
    chatbot: Any,
    max_length: float,
    top_p: float,
    temperature: float,
    history: Any,
    past: Any,
) -> Iterator[Any]:
    """Answer as ChatGLM's own demonstration does: the model's history is in a state beside the chatbot."""
    shown = list(chatbot or [])
    for text in answer(input, history, max_length=max_length, top_p=top_p, temperature=temperature):
        told = [*history, (input, text)]
        yield turn(shown, input, text), told, len(told)


def chatglm() -> Any:
    with gr.Blocks() as demo:
        chatbot = bot()
        user_input = gr.Textbox(show_label=False, placeholder="Input...", lines=10)
        submit, empty = gr.Button("Submit", variant="primary"), gr.Button("Clear History")
        max_length = gr.Slider(
            0, 32768, value=8192, step=1.0, label="Maximum length", interactive=True
        )
        top_p = gr.Slider(0, 1, value=0.8, step=0.01, label="Top P", interactive=True)
        temperature = gr.Slider(0, 1, value=0.6, step=0.01, label="Temperature", interactive=True)
        history, past_key_values = gr.State([]), gr.State(None)
        submit.click(
            predict,
            [user_input, chatbot, max_length, top_p, temperature, history, past_key_values],
            [chatbot, history, past_key_values],
        )
        submit.click(lambda: "", [], [user_input])
        empty.click(lambda: ([], [], None), outputs=[chatbot, history, past_key_values])
    return demo


def model_chat(query: Any, history: Any, system: str, *rest: Any) -> Iterator[Any]:
    before = list(history or [])
    for text in answer(query, before, system=system, rest=list(rest)):
        yield None if isinstance(query, dict) else "", turn(before, query, text), system


def qwen(shape: str) -> Any:
    with gr.Blocks() as demo:
        system_input = gr.Textbox(value=SYSTEM, lines=1, label="System")
        modify = gr.Button("Set system prompt and clear history")
        chatbot = bot(label="Qwen2.5")
        question = (
            gr.MultimodalTextbox(label="Input")
            if shape == "multimodal"
            else gr.Textbox(lines=1, label="Input")
        )
        clear, submit = gr.Button("Clear History"), gr.Button("Send")
        radio = gr.Radio(choices=[] if MAJOR == 4 else ["72B"], value="72B", visible=False)
        slider = gr.Slider(0, 2, value=0.7, label="Temperature")
        system_state = gr.Textbox(value=SYSTEM, visible=False)
        rest = {"plain": [radio], "slider": [radio, slider], "bare": [], "multimodal": [radio]}[
            shape
        ]
        for start in (question.submit, submit.click):
            start(
                model_chat,
                inputs=[question, chatbot, system_state, *rest],
                outputs=[question, chatbot, system_input],
            )
        clear.click(lambda: ("", []), inputs=[], outputs=[question, chatbot])
        modify.click(
            lambda text: (text, text, []), [system_input], [system_state, system_input, chatbot]
        )
    return demo


def blocks_respond() -> Any:
    with gr.Blocks() as demo:
        chatbot, message = bot(), gr.Textbox()
        gr.ClearButton([message, chatbot])
        message.submit(respond, [message, chatbot], [message, chatbot])
    return demo


def blocks_settings() -> Any:
    with gr.Blocks() as demo:
        system = gr.Textbox(SYSTEM, label="System message")
        chatbot, message = bot(), gr.Textbox(label="Message")
        max_tokens = gr.Slider(1, 2048, value=512, step=1, label="Max new tokens")
        top_p = gr.Slider(0.1, 1.0, value=0.95, step=0.05, label="Top-p (nucleus sampling)")
        # The system box is first among the inputs of the page, but the question's box starts the function.
        message.submit(
            respond_with_settings, [message, chatbot, system, max_tokens, top_p], [message, chatbot]
        )
    return demo


def blocks_chain() -> Any:
    with gr.Blocks() as demo:
        chatbot, message, clear = bot(), gr.Textbox(), gr.Button("Clear")
        message.submit(user, [message, chatbot], [message, chatbot], queue=False).then(
            reply_to_last, chatbot, chatbot
        ).then(lambda: gr.update(interactive=True), None, [message], queue=False)
        clear.click(lambda: None, None, chatbot, queue=False)
    return demo


def blocks_state() -> Any:
    with gr.Blocks() as demo:
        chatbot, state = bot(), gr.State([])
        message = gr.Textbox(show_label=False, placeholder="Enter text and press enter")
        message.submit(with_state, [message, state], [chatbot, state])
    return demo


def listen(sound: Any) -> str:
    return "heard"


def interface_params() -> Any:
    return gr.Interface(
        reply_in_pieces,
        [gr.Textbox(label="Question"), gr.Slider(0, 1, value=0.5, label="Temperature")],
        gr.Textbox(label="Answer"),
    )


def two_chats() -> Any:
    """Two functions that fit, each with its own box: nothing on the page decides between them."""
    with gr.Blocks() as demo:
        for name in ("first", "second"):
            chatbot, message = bot(), gr.Textbox(label=name)
            message.submit(respond, [message, chatbot], [message, chatbot], api_name=name)
    return demo


def shapes() -> dict[str, Callable[[], Any]]:
    made: dict[str, Callable[[], Any]] = {
        "chat": lambda: gr.ChatInterface(plain, **interface_kind("messages")),
        "chat_whole": lambda: gr.ChatInterface(whole, **interface_kind("messages")),
        "chat_settings": lambda: gr.ChatInterface(
            with_settings, additional_inputs=settings(), **interface_kind("messages")
        ),
        "chat_multimodal": lambda: gr.ChatInterface(
            multimodal, multimodal=True, **interface_kind("messages")
        ),
        "interface": lambda: gr.Interface(reply, "textbox", "textbox"),
        "interface_settings": interface_params,
        "blocks_respond": blocks_respond,
        "blocks_settings": blocks_settings,
        "blocks_chain": blocks_chain,
        "blocks_state": blocks_state,
        "chatglm": chatglm,
        "qwen": lambda: qwen("plain"),
        "qwen_slider": lambda: qwen("slider"),
        "qwen_bare": lambda: qwen("bare"),
        "qwen_multimodal": lambda: qwen("multimodal"),
        "audio": lambda: gr.Interface(listen, gr.Audio(), "textbox"),
        "two_chats": two_chats,
    }
    if MAJOR < 6:
        made["chat_tuples"] = lambda: gr.ChatInterface(plain, **interface_kind("tuples"))
    return made


def main() -> None:
    line = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
    app = FastAPI()
    for name, make in shapes().items():
        with make() as demo:
            app = gr.mount_gradio_app(app, demo.queue(), path=f"/{name}")
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))

    def tell() -> None:
        line.sendall(
            json.dumps({"version": gr.__version__, "url": url, "studio": False}).encode() + b"\n"
        )
        while line.recv(64):
            pass
        os._exit(0)

    threading.Thread(target=tell, daemon=True).start()
    server.run(sockets=[listener])


if __name__ == "__main__":
    main()
