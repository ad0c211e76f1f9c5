"""What a gateway adds to a stream: ours beside LiteLLM's proxy and a bare hop through nginx.

usage: python -m benchmarks.gateway [--litellm PYTHON]

``PYTHON`` is the interpreter of an environment with ``litellm[proxy]``. nginx comes from the system. Each is measured
in the same run: the milliseconds to the first event beyond those without a gateway (median of 40 requests), and the
microseconds of processor time for each event (5 streams of 1000 events, one event a millisecond).
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .run import server

EVENTS = 1000
STREAMS = 5
REQUESTS = 40
KEY = "sk-benchmark"
QUESTION: dict[str, Any] = {
    "model": "m",
    "messages": [{"role": "user", "content": "Hi"}],
    "stream": True,
}


def ask(url: str, *, whole: bool) -> float:
    """Ask once; return the milliseconds to the first event."""
    host, _, path = url.removeprefix("http://").partition("/")
    connection = http.client.HTTPConnection(host, timeout=60)
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"}
    try:
        connection.connect()
        began = time.perf_counter()
        connection.request("POST", f"/{path}/chat/completions", json.dumps(QUESTION), headers)
        response = connection.getresponse()
        assert response.status == 200, response.read()
        while not response.readline().startswith(b"data: {"):
            pass
        first = time.perf_counter() - began
        if whole:
            events = response.read().count(b"data: {")
            assert events >= EVENTS - 1, events
        return first * 1000
    finally:
        connection.close()


def cpu(process: int) -> float:
    """Return the seconds of processor time of a process."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def running(*command: str, ready: str, **known: Any) -> Iterator[tuple[int, str]]:
    """Run a gateway; yield its process and what ``ready`` finds in its output."""
    pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(command, **pipe, **known) as process:
        try:
            lines: list[str] = []
            for line in process.stdout or ():
                lines.append(line)
                if found := re.search(ready, line):
                    yield process.pid, found[1]
                    return
            raise RuntimeError("".join(lines[-20:]))
        finally:
            process.kill()


@contextlib.contextmanager
def ours(upstream: str, folder: Path) -> Iterator[tuple[int, str]]:
    """Run `glmclient serve`."""
    command = (sys.executable, "-m", "glmclient", "serve", "-p", "openai", "--base-url", upstream)
    with running(*command, "--port", "0", "--api-key", KEY, ready=r"(http://\S+)") as made:
        yield made


@contextlib.contextmanager
def nginx(upstream: str, folder: Path) -> Iterator[tuple[int, str]]:
    """Run nginx as one process that passes everything on."""
    host, _, path = upstream.removeprefix("http://").partition("/")
    port = 18_000 + os.getpid() % 1000
    configuration = folder / "nginx.conf"
    configuration.write_text(
        f"""daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/nginx.log;
events {{}}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  upstream service {{ server {host}; keepalive 8; }}
  server {{ listen 127.0.0.1:{port}; location / {{
    proxy_pass http://service/{path}/; proxy_buffering off; proxy_http_version 1.1;
    proxy_set_header Connection "";
  }} }}
}}""",
        encoding="utf-8",
    )
    with subprocess.Popen(
        ["nginx", "-c", str(configuration)], stderr=subprocess.DEVNULL
    ) as process:
        try:
            time.sleep(1)
            yield process.pid, f"http://127.0.0.1:{port}"
        finally:
            process.kill()


@contextlib.contextmanager
def litellm(python: str, upstream: str, folder: Path) -> Iterator[tuple[int, str]]:
    """Run LiteLLM's proxy."""
    parameters = {"model": "hosted_vllm/m", "api_base": upstream}
    configuration = folder / "litellm.yaml"
    configuration.write_text(
        json.dumps(
            {
                "model_list": [{"model_name": "m", "litellm_params": parameters}],
                "general_settings": {"master_key": KEY},
            }
        ),
        encoding="utf-8",
    )
    environment = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "PYTHONUNBUFFERED": "1"}
    command = (python, "-c", "import litellm; litellm.run_server()", "--config", str(configuration))
    with running(
        *(*command, "--host", "127.0.0.1", "--port", "0", "--telemetry", "False"),
        ready=r"Uvicorn running on (http://127\.0\.0\.1:\d+)",
        env=environment,
        cwd=folder,
    ) as (process, url):
        yield process, f"{url}/v1"


def measure(process: int, url: str, without: float) -> dict[str, float]:
    """Return what a gateway adds."""
    ask(url, whole=True)
    first = statistics.median(ask(url, whole=False) for _ in range(REQUESTS))
    before = cpu(process)
    for _ in range(STREAMS):
        ask(url, whole=True)
    used = cpu(process) - before
    return {
        "first event, ms more": round(first - without, 2),
        "µs of CPU an event": round(used / STREAMS / EVENTS * 1e6, 1),
    }


def main() -> None:
    """Measure all that are installed, and print a line of JSON for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--litellm", metavar="PYTHON")
    python = parser.parse_args().litellm
    with server() as address, tempfile.TemporaryDirectory() as name:
        folder, upstream = Path(name), f"{address}/paced/{EVENTS}"
        ask(upstream, whole=True)
        without = statistics.median(ask(upstream, whole=False) for _ in range(REQUESTS))
        gateways: dict[str, Any] = {"glmclient": lambda: ours(upstream, folder)}
        if shutil.which("nginx"):
            gateways["nginx"] = lambda: nginx(upstream, folder)
        if python:
            gateways["litellm"] = lambda: litellm(python, upstream, folder)
        for gateway, run in gateways.items():
            with run() as (process, url):
                print(
                    json.dumps({"gateway": gateway, **measure(process, url, without)}), flush=True
                )


if __name__ == "__main__":
    main()
