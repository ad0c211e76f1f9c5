"""The recorded streams of real Gradio servers, and reading them through the decoder."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from glmclient.core.limits import Limits
from glmclient.core.transcript import Transcript
from glmclient.errors import GLMError
from glmclient.events import Event
from glmclient.providers.gradio.decoder import SessionDecoder
from glmclient.providers.gradio.formats import Chatbot

FOLDER = Path(__file__).parent / "captures"


@dataclass(frozen=True, slots=True)
class Recording:
    """One body of ``/queue/data``, as it came from a real server."""

    name: str
    raw: bytes
    sizes: tuple[int, ...]
    ended: str

    @classmethod
    def read(cls, name: str) -> Recording:
        meta = json.loads((FOLDER / f"{name}.meta.json").read_text("utf-8"))
        raw = (FOLDER / f"{name}.sse").read_bytes()
        return cls(name, raw, tuple(size for _, size in meta["chunks"]), meta["ended"])

    @property
    def expected(self) -> str:
        """The true final answer."""
        return (FOLDER / f"{self.name}.expected.txt").read_bytes().decode()

    @property
    def messages(self) -> list[dict[str, object]]:
        return [
            json.loads(line.removeprefix("data: "))
            for line in self.raw.decode().split("\n")
            if line.startswith("data: ")
        ]

    @property
    def event_ids(self) -> list[str]:
        """The events that were started in this session, in order."""
        ids = [m["event_id"] for m in self.messages if m["msg"] == "estimation"]
        return list(dict.fromkeys(str(each) for each in ids))

    @property
    def diffs(self) -> bool:
        return not self.name.startswith("4.12.0")

    @property
    def network_chunks(self) -> list[bytes]:
        chunks, start = [], 0
        for size in self.sizes:
            chunks.append(self.raw[start : start + size])
            start += size
        assert start == len(self.raw), "the recording's chunks do not cover its body"
        return chunks

    def cuts(self) -> Iterator[tuple[str, list[bytes]]]:
        """Yield the body whole, as the network cut it, byte by byte, and in odd sizes."""
        yield "whole", [self.raw]
        yield "network", self.network_chunks
        yield "bytes", [self.raw[i : i + 1] for i in range(len(self.raw))]
        for size in (7, 64, 1021):
            yield f"by {size}", [self.raw[i : i + size] for i in range(0, len(self.raw), size)]


def names(*, answered: bool) -> list[str]:
    """Return the recordings that have a final answer, or those that have none."""
    all_names = sorted(path.name.removesuffix(".sse") for path in FOLDER.glob("*.sse"))
    return [name for name in all_names if (FOLDER / f"{name}.expected.txt").exists() is answered]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of reading a stream."""

    batches: list[list[Event]]
    error: GLMError | None
    decoder: SessionDecoder

    @property
    def events(self) -> list[Event]:
        return [event for batch in self.batches for event in batch]

    @property
    def text(self) -> str:
        transcript = Transcript()
        transcript.extend(self.events)
        return transcript.text


def decoder_for(event_id: str, **known: object) -> SessionDecoder:
    sent, prompt = known.pop("sent", []), known.pop("prompt", "")
    settings: dict[str, object] = {
        "view": Chatbot(sent, prompt),  # type: ignore[arg-type]
        "answer": 1,
        "diffs": True,
        "continuation": lambda value, text: json.dumps(value),
        "limits": Limits(),
    }
    return SessionDecoder(event_id=event_id, **{**settings, **known})  # type: ignore[arg-type]


def decoded(chunks: Iterable[bytes], decoder: SessionDecoder) -> Outcome:
    """Feed ``chunks`` until the decoder is done or raises."""
    batches: list[list[Event]] = []
    for chunk in chunks:
        batch: list[Event] = []
        batches.append(batch)
        try:
            decoder.feed(chunk, batch)
        except GLMError as error:
            return Outcome(batches, error, decoder)
        if decoder.done:
            break
    return Outcome(batches, None, decoder)
