"""The tests of faults run as those of the clients do."""

from __future__ import annotations

from tests.clients.conftest import driver, pytest_pyfunc_call

__all__ = ["driver", "pytest_pyfunc_call"]
