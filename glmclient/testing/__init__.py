"""For tests of applications that use this package: simulated services, and what to assert on them.

Its import costs nothing: names are imported when they are first used (PEP 562). With pytest installed, the fixture
``glm_simulator`` is there without an import.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..simulator import Cut as Cut
    from ..simulator import EndBody as EndBody
    from ..simulator import Open as Open
    from ..simulator import Pause as Pause
    from ..simulator import Refusal as Refusal
    from ..simulator import Reset as Reset
    from ..simulator import Script as Script
    from ..simulator import SimulatedRequest as SimulatedRequest
    from ..simulator import Simulator as Simulator
    from ..simulator import Wait as Wait
    from .factory import SimulatorFactory as SimulatorFactory

__all__ = [
    "Cut",
    "EndBody",
    "Open",
    "Pause",
    "Refusal",
    "Reset",
    "Script",
    "SimulatedRequest",
    "Simulator",
    "SimulatorFactory",
    "Wait",
]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    home = f"{__name__}.factory" if name == "SimulatorFactory" else "glmclient.simulator"
    value: object = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
