"""What one process says of one piece of work."""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def cpu() -> float:
    """Return the seconds of processor time of this process, all threads."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def peak_kib() -> int:
    """Return the most memory that this process ever held, in KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def open_files(count: int) -> None:
    """Allow this process as many open files, where the system lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


@contextmanager
def measured(**facts: Any) -> Iterator[dict[str, Any]]:
    """Measure the block and print the result as JSON; ``facts`` and what the block adds go with it."""
    result: dict[str, Any] = dict(facts)
    wall, before = time.perf_counter(), cpu()
    yield result
    result["cpu"], result["wall"] = cpu() - before, time.perf_counter() - wall
    result.setdefault("peak_kib", peak_kib())
    print(json.dumps(result))
