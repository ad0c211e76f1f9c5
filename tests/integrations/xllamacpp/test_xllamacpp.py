"""Typed answers of a real server: llama.cpp holds a model of random weights to the grammar of the schema."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import anyio
import msgspec
import pytest
import xllamacpp

from glmclient import AsyncClient, Finish, SyncClient
from glmclient.schemas.growing import is_prefix

from .model import write_model


@dataclasses.dataclass
class House:
    size: Literal["small", "large"]
    rooms: Annotated[int, msgspec.Meta(ge=0, le=9)]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    model = tmp_path_factory.mktemp("model") / "random.gguf"
    write_model(Path(model))
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(model)
    parameters.n_ctx, parameters.n_parallel, parameters.n_gpu_layers = 2048, 1, 0
    parameters.cpuparams.n_threads, parameters.warmup, parameters.port = 1, False, 0
    server = xllamacpp.Server(parameters)
    yield f"{server.listening_address}/v1"
    del server


def test_a_dataclass_and_a_list(address: str) -> None:
    with SyncClient("openai", base_url=address) as client:
        for seed in range(5):
            reply = client.chat("A house?", schema=House, max_tokens=500, seed=seed, repair=0)
            assert isinstance(reply.parsed, House)
        houses: Any = Annotated[list[House], msgspec.Meta(min_length=2, max_length=3)]
        reply = client.chat("Houses?", schema=houses, max_tokens=1_500, repair=0)
        assert 2 <= len(reply.parsed) <= 3
        assert not client._schema_forms, "the server refused the strictest form"


def test_the_value_grows(address: str) -> None:
    with SyncClient("openai", base_url=address) as client:
        stream = client.stream("A house?", schema=House, max_tokens=500)
        states = [copy.deepcopy(value) for value in stream.value_stream]
        assert isinstance(stream.finish, Finish)
        assert states[-1] == dataclasses.asdict(stream.parsed)
        assert all(map(is_prefix, states, states[1:]))


@pytest.mark.parametrize(
    ("backend", "library"), [("asyncio", "httpx"), ("trio", "httpx"), ("asyncio", "aiohttp")]
)
def test_the_asynchronous_client(address: str, backend: str, library: Any) -> None:
    async def ask() -> Any:
        async with AsyncClient("openai", base_url=address, http_backend=library) as client:
            return await client.chat("A house?", schema=House, max_tokens=500, repair=0)

    assert isinstance(anyio.run(ask, backend=backend).parsed, House)
