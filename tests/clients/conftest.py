"""Bodies of tests that are coroutines are run by the driver that they ask for."""

from __future__ import annotations

import gc
import inspect
from typing import Any

import pytest

from .certificates import Authority
from .driver import Driver, drivers


@pytest.fixture(autouse=True, scope="session")
def _old_objects() -> None:
    """Leave what is there already out of every later collection, of which there is one a test."""
    gc.collect()
    gc.freeze()


@pytest.fixture(params=drivers, ids=repr)
def driver(request: pytest.FixtureRequest) -> Driver:
    """Each way to run a client."""
    found: Driver = request.param
    return found


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: Any) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    arguments = {name: pyfuncitem.funcargs[name] for name in names}
    pyfuncitem.funcargs["driver"].run(pyfuncitem.obj, **arguments)
    return True


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Certificates for this machine, and who signed them."""
    return Authority(tmp_path_factory.mktemp("tls"))
