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
from .serve import serve
from .server import LoopbackServer
from .services import PROVIDERS
from .simulator import Simulator

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
    "serve",
]
