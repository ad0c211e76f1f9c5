"""The tests of faults run as those of the clients do."""

from __future__ import annotations

from tests.clients.conftest import _old_objects, authority, driver, pytest_pyfunc_call

__all__ = ["_old_objects", "authority", "driver", "pytest_pyfunc_call"]
