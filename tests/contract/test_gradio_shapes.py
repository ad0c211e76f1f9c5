"""Gradio apps of every shape, as the simulator plays them, through every kind of client."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from glmclient import ConfigurationError, RetryPolicy, SyncClient
from glmclient.simulator import Simulator

from .flavours import Flavour

ONCE = RetryPolicy(attempts=1)
SHAPES = (
    *("chat_interface", "chat_interface_settings", "chat_interface_multimodal", "interface"),
    *("interface_settings", "respond", "respond_settings", "chain", "state", "chatglm"),
    *("qwen", "qwen_multimodal"),
)
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}


@pytest.mark.parametrize("shape", SHAPES)
def test_questions_that_go_on(every_client: Flavour, shape: str) -> None:
    with Simulator(["你", "好"], provider="gradio", shape=shape) as sim:
        asking = every_client("gradio", base_url=sim.url, retry=ONCE)
        first = asking.chat("one")
        second = asking.chat("two", continue_from=first)
        third = asking.chat("three", continue_from=second)
        assert [first.text, second.text, third.text] == ["你好"] * 3
        assert len(sim.prompts) == 3 and sim.prompts[2].endswith("three")


def test_inputs_and_functions_are_options_of_a_question(every_client: Flavour) -> None:
    with Simulator("ok", provider="gradio", shape="chat_interface_settings") as sim:
        asking = every_client("gradio", base_url=sim.url, retry=ONCE)
        asking.chat("Hi", inputs={"Temperature": 0.2, "shout": True}, function="chat")
        [join] = [each.json for each in sim.requests if each.path.endswith("/join")]
        assert join["data"][3:] == [0.2, "small", True]
        for options, words in (
            ({"inputs": {"Temperature": 9}}, "from 0 to 2"),
            ({"inputs": {"Tempreture": 1}}, "Did you mean 'Temperature'"),
            ({"inputs": 5}, "inputs must be a mapping"),
            ({"function": ""}, "function must be"),
        ):
            with pytest.raises(ConfigurationError, match=words):
                asking.chat("Hi", **options)
        assert len(sim.prompts) == 1, "what is refused is not sent"


def test_an_image_is_uploaded(every_client: Flavour) -> None:
    with Simulator("A cat.", provider="gradio", shape="chat_interface_multimodal") as sim:
        asking = every_client("gradio", base_url=sim.url, retry=ONCE)
        question: Any = [{"role": "user", "content": [{"type": "text", "text": "See."}, PICTURE]}]
        assert asking.chat(question).text == "A cat."
        [upload] = [each for each in sim.requests if each.path.endswith("/upload")]
        assert b"\x89PNG\r\n\x1a\n" in upload.body


@pytest.mark.parametrize(
    "shape", ["chat_interface", "chain", "interface", "chat_interface_multimodal"]
)
def test_what_was_recorded_is_replayed(shape: str, tmp_path: Path) -> None:
    cassette = tmp_path / "gradio.jsonl"
    parts = [{"type": "text", "text": "See."}, *([PICTURE] if "multimodal" in shape else [])]
    question: Any = [{"role": "user", "content": parts}]
    with (
        Simulator("Hello.", provider="gradio", shape=shape) as sim,
        SyncClient("gradio", base_url=sim.url, record=cassette, trust_env=False) as client,
    ):
        first = client.chat(question)
        client.chat("And?", continue_from=first)
        listed = client.models()
    with SyncClient("gradio", replay=cassette) as client:
        again = client.chat(question)
        assert again.text == "Hello." == client.chat("And?", continue_from=again).text
        assert client.models() == listed


def test_a_saved_conversation_goes_on(tmp_path: Path) -> None:
    with Simulator("Rome.", provider="gradio") as sim, sim.client() as client:
        conversation = client.conversation(system="Be brief.")
        conversation.chat("The capital of Italy?")
        conversation.save(tmp_path / "saved.json")
        conversation.chat("And of France?")
        with SyncClient("gradio", base_url=sim.url, trust_env=False) as other:
            loaded = other.conversation().load(tmp_path / "saved.json", other)
            loaded.chat("And of Spain?")
        assert sim.prompts[1:] == (
            "And of France?",
            "Be brief.\n\nUser: The capital of Italy?\n\nAssistant: Rome.\n\nUser: And of Spain?",
        )
