"""A small web service that passes an answer on to a browser while it comes.

    pip install starlette uvicorn
    uvicorn relay:app --app-dir examples

`GET /answer?question=...` is a stream of server-sent events: `text` (append), `replace` (from a character on), `finish`
and `failed`, each with a JSON object. `GET /` is a page that shows them.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import TypedDict

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.routing import Route

from glmclient import AsyncClient, AsyncStream, Finish, GLMError, TextDelta, TextReplace

PAGE = """<!doctype html>
<meta charset="utf-8"><title>Relay</title>
<style>body { font: 16px/1.5 sans-serif; max-width: 40em; margin: 2em auto } #answer { white-space: pre-wrap }</style>
<form><input name="question" size="40" value="Why is the sky blue?" autofocus> <button>Ask</button></form>
<p id="answer"></p><p id="end"></p>
<script>
const answer = document.querySelector("#answer"), end = document.querySelector("#end");
let source = null, text = [];
const show = () => { answer.textContent = text.join(""); };
document.querySelector("form").onsubmit = submitted => {
  submitted.preventDefault();
  if (source) source.close();
  text = []; end.textContent = "…"; show();
  source = new EventSource("/answer?" + new URLSearchParams(new FormData(submitted.target)));
  const on = (name, use) => source.addEventListener(name, event => use(JSON.parse(event.data)));
  on("text", data => { text.push(...data.text); show(); });  // by characters, as the service counts them
  on("replace", data => { text.splice(data.start); text.push(...data.text); show(); });
  on("finish", data => { end.textContent = data.reason; source.close(); });
  on("failed", data => { end.textContent = data.message; source.close(); });
};
</script>
"""


class State(TypedDict):
    """What lives as long as the service: one client, whose connections all requests share."""

    client: AsyncClient


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[State]:
    """Open the client with the service, and close it with the service."""
    async with AsyncClient() as client:
        yield {"client": client}


async def page(request: Request) -> Response:
    """Return the page."""
    return HTMLResponse(PAGE)


async def answer(request: Request) -> Response:
    """Ask, and return the answer as it comes; a refusal that comes first is a plain HTTP error."""
    client: AsyncClient = request.state.client
    try:
        # Opened, not yet read: what the service refuses can still become a status.
        stream = await client.stream(request.query_params.get("question", ""))
    except GLMError as error:
        status = 400 if isinstance(error, ValueError) else 502
        return Response(f"{type(error).__name__}: {error}", status, media_type="text/plain")
    return StreamingResponse(relayed(stream), media_type="text/event-stream")


async def relayed(stream: AsyncStream) -> AsyncIterator[str]:
    """Yield the events for the browser; when it leaves, the answer is not read any further."""
    async with aclosing(stream):
        try:
            async for event in stream:
                match event:
                    case TextDelta(text):
                        yield frame("text", {"text": text})
                    case TextReplace(start, text):
                        yield frame("replace", {"start": start, "text": text})
                    case Finish(reason):
                        yield frame("finish", {"reason": reason})
        except GLMError as error:
            yield frame("failed", {"message": f"{type(error).__name__}: {error}"})


def frame(event: str, data: object) -> str:
    """Return one server-sent event."""
    return f"event: {event}\ndata: {json.dumps(data)}\n\n"


app = Starlette(routes=[Route("/", page), Route("/answer", answer)], lifespan=lifespan)
