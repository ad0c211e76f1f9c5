"""An event loop is asked for from finalizers, too, and these run until the interpreter is gone."""

from __future__ import annotations

import sys

import pytest

from glmclient.transports.event_loop import EventLoop


def test_no_loop_runs_where_nothing_was_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("asyncio", "trio"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(RuntimeError, match="no event loop"):
        EventLoop.current()
