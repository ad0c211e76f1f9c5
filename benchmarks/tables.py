"""Every measurement: who does which work, and what is to be reached."""

from __future__ import annotations

from .startup import CODE
from .table import Table, Target

__all__ = ["tables"]

STREAM = ("-m", "benchmarks.peers", "PEER")
SCENE = ("-m", "benchmarks.scenarios")
STARTUP = ("-c", CODE, "PEER", "URL")


def tables() -> list[Table]:
    """Return the measurements in the order in which they are made."""
    return [*_platform(), *_snapshots(), *_connections(), *_memory(), *_startup()]


def _platform() -> list[Table]:
    drained = ("socket_json", "requests_tight", "requests_drain", "httpx_drain", "aiohttp_drain")
    others = ("openai_sync", "openai_async", "zai_sync")
    ours = ("ours_sync", "ours_async", "ours_aiohttp")
    return [
        Table(
            "platform_many",
            "Platform deltas, 5,000 events, many frames a read",
            (*STREAM, "platform", "URL", "3"),
            (*ours, *drained, *others),
            "many",
            (
                Target("ours_sync", 1.0, "socket_json"),
                Target("ours_sync", 1 / 20, "openai_sync"),
                Target("ours_sync", 1 / 50, "zai_sync"),
            ),
            slow=("openai_async", "requests_drain", "aiohttp_drain"),
        ),
        Table(
            "platform_single",
            "Platform deltas, 5,000 events, one frame a read",
            (*STREAM, "platform", "URL"),
            (*ours, *drained, *others),
            "single",
            (
                Target("ours_sync", 1.6, "socket_json"),
                Target("ours_async", 1.3, "httpx_drain"),
                Target("ours_aiohttp", 1.3, "httpx_drain"),
            ),
            slow=("zai_sync", "requests_drain", "aiohttp_drain"),
        ),
        Table(
            "platform_paced",
            "Platform deltas, one event a millisecond, 1,000 events",
            (*STREAM, "platform", "URL"),
            (*ours, "requests_drain", "httpx_drain", "aiohttp_drain", *others[:2]),
            "paced",
            slow=("openai_async", "aiohttp_drain"),
            heavy=True,
        ),
        Table(
            "shares",
            "Our own share of an event, one frame a read and no network, layer upon layer",
            ("-m", "benchmarks.shares", "PEER", "4"),
            ("decoder", "flow", "ours_sync", "ours_async"),
        ),
    ]


def _snapshots() -> list[Table]:
    peers = ("ours_sync", "ours_async", "ours_aiohttp")
    drained = ("requests_drain", "httpx_drain", "aiohttp_drain")
    return [
        Table(
            "snapshots_half",
            "ChatGLM snapshots, 2,000 frames (for the growth with length)",
            (*STREAM, "chatglm", "URL"),
            (*peers, *drained),
            "many/2000",
        ),
        Table(
            "snapshots",
            "ChatGLM snapshots, 4,000 frames",
            (*STREAM, "chatglm", "URL"),
            (
                *peers,
                "requests_tight",
                *drained,
                "predecessor",
            ),
            "many",
            (
                Target("ours_sync", 0.45, "predecessor"),
                Target("ours_async", 1.15, "httpx_drain"),
                Target("ours_aiohttp", 0.5, "predecessor"),
            ),
            growth_of="snapshots_half",
            growth=1.3,
        ),
    ]


def _connections() -> list[Table]:
    ours = ("ours_sync", "ours_async", "ours_aiohttp")
    return [
        Table(
            "at_once",
            "1,000 streams of 100 events at once, one client",
            (*SCENE, "at_once", "PEER", "URL"),
            ("ours_async", "ours_aiohttp", "openai_async", "httpx_drain", "aiohttp_drain"),
            "short",
            (
                Target("ours_async", 0.25, "openai_async"),
                Target("ours_aiohttp", 0.18, "openai_async"),
                Target("ours_async", 0, None, "errors"),
                Target("ours_aiohttp", 0, None, "errors"),
            ),
            slow=("httpx_drain", "aiohttp_drain"),
            heavy=True,
        ),
        Table(
            "reuse",
            "Connections for 30 streams, one after the other",
            (*SCENE, "reuse", "PEER", "URL"),
            (*ours, "openai_sync", "openai_async"),
            "short",
            tuple(Target(name, 1, None, "connections") for name in ours),
            slow=("openai_async",),
            heavy=True,
        ),
        Table(
            "first_event",
            "First event, warm and with a new client, plain HTTP",
            (*SCENE, "first_event", "PEER", "URL"),
            ("ours_sync", "requests_drain", "ours_async", "ours_aiohttp", "httpx_drain"),
            "many/3",
            (
                Target("ours_sync", 1.3, "requests_drain", "warm_ms"),
                Target("ours_sync", 1.3, "requests_drain", "new_ms"),
                Target("ours_async", 1.3, "httpx_drain", "warm_ms"),
                Target("ours_async", 2.0, None, "new_ms"),
            ),
        ),
    ]


def _memory() -> list[Table]:
    peers = ("ours_sync", "ours_async", "openai_sync")
    works = (("platform", "Platform deltas", 20_000), ("chatglm", "ChatGLM snapshots", 4_000))
    return [
        Table(
            f"memory_{work}{suffix}",
            f"Memory held at the most: {title}, {count:,} frames",
            (*SCENE, "memory", "PEER", "URL", work),
            peers if work == "platform" else peers[:2],
            f"many/{count}",
            growth_of="" if suffix else f"memory_{work}_half",
            growth=1.1,
            growth_figure="peak_kib",
            slow=("openai_sync",),
        )
        for work, title, whole in works
        for suffix, count in (("_half", whole // 2), ("", whole))
    ]


def _startup() -> list[Table]:
    return [
        Table(
            "imports",
            "Imports, in an interpreter that has loaded nothing else",
            STARTUP,
            ("bare", "ours", "ours_events", "anyio", "httpx", "requests", "zai", "openai"),
            targets=(Target("ours", 25.0),),
            compiled=True,
        ),
        Table(
            "first_stream",
            "The first answer of a script, imports included",
            STARTUP,
            ("requests", "requests_stream", "ours_client", "ours_stream"),
            "many/3",
            (Target("ours_stream", 1.5, "requests_stream"),),
            compiled=True,
        ),
    ]
