"""A service on this machine that answers from a script: for tests, demonstrations and any client."""

from __future__ import annotations

from .http import (
    BodyItem,
    Cut,
    Framing,
    Pause,
    Reset,
    Service,
    Signal,
    SimulatedRequest,
    SimulatedResponse,
    Wait,
)
from .script import AnswerLike, EndBody, Open, Refusal, Script, ScriptLike, Step
from .server import LoopbackServer
from .simulator import PROVIDERS, Simulator

__all__ = [
    "PROVIDERS",
    "AnswerLike",
    "BodyItem",
    "Cut",
    "EndBody",
    "Framing",
    "LoopbackServer",
    "Open",
    "Pause",
    "Refusal",
    "Reset",
    "Script",
    "ScriptLike",
    "Service",
    "Signal",
    "SimulatedRequest",
    "SimulatedResponse",
    "Simulator",
    "Step",
    "Wait",
]
