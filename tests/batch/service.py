"""A chat completions service on the loopback interface that allows a number of requests at once."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["Service"]

Answer = Callable[[dict[str, Any]], "tuple[int, dict[str, str], str]"]


class Service:
    """A server that echoes the last message.

    Args:
        allowed: requests at once; a further one is refused with 429.
        seconds: until an answer is sent.
        retry_after: the header of a refusal.
        refuse: returns a status and a body for a prompt that is refused, or ``None``.
    """

    def __init__(
        self,
        *,
        allowed: int = 1000,
        seconds: float = 0.0,
        retry_after: str | None = None,
        refuse: Callable[[str], tuple[int, dict[str, Any]] | None] = lambda prompt: None,
        text: Callable[[str], str] = lambda prompt: f"echo: {prompt}",
    ) -> None:
        self.allowed = allowed
        self.seconds = seconds
        self.retry_after = retry_after
        self.refuse = refuse
        self.text = text
        self.spy: Callable[[dict[str, Any]], object] = lambda body: None
        self.headers_spy: Callable[[Any], object] = lambda headers: None
        self.prompts: list[str] = []
        self.refused = 0
        self.at_once = 0
        self.most_at_once = 0
        self._lock = threading.Lock()
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Head and body are two writes: the second would wait 40 ms for the client's delayed acknowledgement.
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                service.answer(self, body)

            def log_message(self, format: str, *arguments: object) -> None:
                """Write nothing: the test's output is the test's."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 256

            def handle_error(self, request: Any, client_address: Any) -> None:
                """A client that leaves early is part of some tests."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def answer(self, handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        prompt = str(body["messages"][-1]["content"])
        self.spy(body)
        self.headers_spy(handler.headers)
        with self._lock:
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            room = self.at_once <= self.allowed
            if room:
                self.prompts.append(prompt)
            else:
                self.refused += 1
        refusal = self.refuse(prompt) if room else None
        if room and refusal is None:
            time.sleep(self.seconds)
        # Before the answer is sent: a client that has it may send its next question at once.
        with self._lock:
            self.at_once -= 1
        if not room:
            self._send(handler, 429, {"error": {"code": "1302", "message": "too many at once"}})
        elif refusal is not None:
            self._send(handler, *refusal)
        else:
            self._stream(handler, self.text(prompt))

    def _send(self, handler: BaseHTTPRequestHandler, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        handler.send_response(status)
        handler.send_header("content-type", "application/json")
        handler.send_header("content-length", str(len(data)))
        if status == 429 and self.retry_after is not None:
            handler.send_header("retry-after", self.retry_after)
        handler.end_headers()
        handler.wfile.write(data)

    def _stream(self, handler: BaseHTTPRequestHandler, text: str) -> None:
        chunk = {"id": "1", "model": "m", "choices": [{"index": 0, "delta": {"content": text}}]}
        usage = {"prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 10}
        last = {
            "id": "1",
            "model": "m",
            "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}],
            "usage": usage,
        }
        frames = [f"data: {json.dumps(each)}\n\n" for each in (chunk, last)]
        data = "".join([*frames, "data: [DONE]\n\n"]).encode()
        handler.send_response(200)
        handler.send_header("content-type", "text/event-stream")
        handler.send_header("content-length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    def __enter__(self) -> Service:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
