"""Any Gradio chat app from the command line."""

from __future__ import annotations

import json

from glmclient.simulator import Simulator

from .conftest import Run


def test_an_app_is_asked_and_its_functions_are_listed(run: Run) -> None:
    with Simulator("Hello! 你好！", provider="gradio", shape="chat_interface_settings") as sim:
        where = ("-p", "gradio", "--base-url", sim.url)
        answered = run(*where, "-o", "inputs", json.dumps({"Temperature": 0.2}), "--plain", "Hi")
        assert (answered.code, answered.out.strip()) == (0, "Hello! 你好！"), answered.err
        assert sim.requests[-2].json["data"][3] == 0.2
        listed = run("models", *where).out
        assert listed.startswith(
            "chat: takes text, keeps the conversation; inputs: System prompt = "
        )
        assert "Model = 'small' (small, large), Shout = False" in listed
        [model] = json.loads(run("models", *where, "--json").out)
        assert model["id"] == "chat" and "Temperature = 0.7 (from 0 to 2)" in model["description"]


def test_an_app_that_is_not_a_chat_is_refused(run: Run) -> None:
    with Simulator("x", provider="gradio", shape="audio") as sim:
        where = ("-p", "gradio", "--base-url", sim.url)
        for arguments in (("Hi",), ("models",)):
            refused = run(*arguments[1:], *arguments[:1], *where)
            assert refused.code == 2 and "it takes audio" in refused.err
        found = run("doctor", *where)
        assert "it takes audio" in found.out
    assert run("-p", "gradio", "Hi").code == 2
