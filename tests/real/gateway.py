"""A real gateway of others in front of simulated services: LiteLLM's proxy, in an environment of its own.

It has one model that it answers itself, from a script, and others that it asks our simulator for, so that what a
client gets went through the gateway's own reading and writing of the dialect.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import threading
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from .servers import SECONDS, Environment

if TYPE_CHECKING:
    from typing_extensions import Self

LITELLM = Environment("litellm-1.106.2", ("litellm[proxy]==1.106.2",), newest=(3, 13))
KEY = "sk-gateway"
SCRIPTED = "Hello there, 你好！ This is a scripted answer. 😀"

_RUNNING = re.compile(r"Uvicorn running on (http://127\.0\.0\.1:\d+)")
_OFFLINE = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "NO_PROXY": "127.0.0.1,localhost",
    "PYTHONWARNINGS": "ignore",
    "PYTHONUNBUFFERED": "1",
}


class Gateway:
    """A gateway that runs for as long as it is entered.

    Args:
        python: the environment's interpreter.
        folder: for its configuration.
        platform: the address of a simulated platform, for the model ``glm``.
        local: the address of a simulated compatible server, for the model ``local``.
    """

    def __init__(self, python: Path, folder: Path, *, platform: str, local: str) -> None:
        configuration = folder / "gateway.yaml"
        configuration.write_text(
            json.dumps(_configuration(platform, local), ensure_ascii=False), "utf-8"
        )
        self._log: list[str] = []
        self._known = threading.Event()
        self._url: str | None = None
        self._process = subprocess.Popen(
            [
                # Not its script, which names the folder where the environment was made and not where it is.
                *(str(python), "-c", "import litellm; litellm.run_server()"),
                *("--config", str(configuration)),
                *("--host", "127.0.0.1", "--port", "0", "--telemetry", "False"),
            ],
            cwd=folder,
            env={**os.environ, **_OFFLINE},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._log.append(line)
            if found := _RUNNING.search(line):
                self._url = found[1]
                self._known.set()
        self._known.set()  # it ended; there is nothing more to wait for

    @property
    def url(self) -> str:
        """Where it listens; waits until it does."""
        assert self._known.wait(2 * SECONDS) and self._url is not None, "".join(self._log[-40:])
        return f"{self._url}/v1"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.wait(SECONDS)
        self._reader.join(SECONDS)
        assert self._process.stdout is not None
        self._process.stdout.close()


def _configuration(platform: str, local: str) -> dict[str, object]:
    models = {
        "scripted": {"model": "openai/scripted", "api_key": "none", "mock_response": SCRIPTED},
        "limited": {
            "model": "openai/limited",
            "api_key": "none",
            "mock_response": "litellm.RateLimitError",
        },
        "glm": {"model": "zai/glm-4.6", "api_key": "id.secret", "api_base": platform},
        "local": {"model": "hosted_vllm/zai-org/GLM-4.6", "api_base": local},
    }
    return {
        "model_list": [
            {"model_name": name, "litellm_params": told} for name, told in models.items()
        ],
        "general_settings": {"master_key": KEY},
        "litellm_settings": {"telemetry": False, "num_retries": 0},
    }
