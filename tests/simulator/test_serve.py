"""A service that runs until it is told to end."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading

import pytest

from glmclient import SyncClient
from glmclient.errors import ConfigurationError, ServerError
from glmclient.simulator import PROVIDERS, Script, serve

from .peer import SECONDS


class Screen(io.StringIO):
    """Text that can be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.changed = threading.Condition()

    def flush(self) -> None:
        with self.changed:
            self.changed.notify_all()

    def until(self, mark: str) -> str:
        with self.changed:
            assert self.changed.wait_for(lambda: mark in self.getvalue(), SECONDS), self.getvalue()
        return self.getvalue()


def test_it_serves_and_tells_what_is_asked_until_it_is_ended() -> None:
    screen, end = Screen(), threading.Event()
    thread = threading.Thread(
        target=serve,
        args=(Script("Hello"),),
        kwargs={"provider": "chatglm", "delay": 0, "out": screen, "end": end},
    )
    thread.start()
    try:
        said = screen.until('"chatglm", base_url="')
        url = said.partition('base_url="')[2].partition('"')[0]
        with SyncClient(base_url=url, trust_env=False, retry=None) as client:
            assert client.chat("q").text == "Hello"
            screen.until("POST /chatglm/mainchat-api/guest/stream (")
            with pytest.raises(ServerError):
                client.chat("q")
            screen.until("the script failed: the script has 1 answer,")
    finally:
        end.set()
        thread.join(SECONDS)
    assert not thread.is_alive()


def test_ctrl_c_ends_it() -> None:
    program = "from glmclient.simulator import serve; serve(); print('ended')"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        assert child.stderr is not None
        assert child.stdout is not None
        said = child.stderr.readline()
        assert said.startswith("Simulator(chatglm")
        shown = "".join(child.stderr.readline() for _ in range(len(PROVIDERS) + 1))
        os.kill(child.pid, signal.SIGINT)
        assert child.wait(SECONDS) == 0
        assert child.stdout.read() == "ended\n"
    for name in PROVIDERS:
        assert f'SyncClient("{name}", base_url="http://127.0.0.1:' in shown


class Interrupted(threading.Event):
    """What Ctrl-C does to whoever waits."""

    def is_set(self) -> bool:
        raise KeyboardInterrupt


def test_an_interrupt_is_an_end_and_no_error() -> None:
    screen = io.StringIO()
    serve("a", provider=["chatglm", "zai"], out=screen, end=Interrupted())
    assert screen.getvalue().endswith('/services/zai")\n\n\n')


def test_it_says_it_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    end = threading.Event()
    end.set()
    serve(end=end)
    assert capsys.readouterr().err.startswith("Simulator(chatglm")


def test_wrong_arguments_are_told() -> None:
    with pytest.raises(ConfigurationError, match="from 0 to 65535"):
        serve(port=99999, out=io.StringIO())
