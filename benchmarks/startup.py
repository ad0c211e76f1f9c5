"""What an import, and a first answer, cost a script: measured in an interpreter that has loaded nothing else.

The text of `CODE` is run by ``python -c``, so that not even this package is loaded there.
"""

from __future__ import annotations

__all__ = ["CODE", "WORKS"]

_BODY = '{"model": "glm-4.5", "messages": [], "stream": True}'
WORKS = {
    "bare": "pass",
    "ours": "import glmclient",
    "ours_events": "from glmclient import TextDelta",
    "anyio": "import anyio",
    "httpx": "import httpx",
    "requests": "import requests",
    "zai": "import zai",
    "openai": "import openai",
    "ours_client": "from glmclient import SyncClient; SyncClient('zai', api_key='k')",
    "ours_stream": (
        "from glmclient import SyncClient\n"
        "with SyncClient('zai', api_key='k', base_url=url) as client: client.chat('hi')"
    ),
    "requests_stream": (
        "import requests\n"
        f"answer = requests.post(url + '/chat/completions', json={_BODY}, stream=True)\n"
        "while answer.raw.read1(65536): pass"
    ),
}

CODE = f"""
import sys, time
work, url = {WORKS!r}[sys.argv[1]], sys.argv[2]
before = set(sys.modules)
wall, cpu = time.perf_counter(), time.process_time()
exec(work)
cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
names = sorted(set(sys.modules) - before)
import json
print(json.dumps(dict(peer=sys.argv[1], cpu=cpu, wall=wall, modules=len(names), names=names)))
"""
