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
from .script import (
    Answer,
    AnswerLike,
    Answers,
    Dialect,
    EndBody,
    Open,
    Refusal,
    Script,
    ScriptLike,
    Step,
    script_failure,
    unsupported,
)
from .serve import serve
from .server import LoopbackServer
from .services import PROVIDERS
from .simulator import Simulator

__all__ = [
    "PROVIDERS",
    "Answer",
    "AnswerLike",
    "Answers",
    "BodyItem",
    "Cut",
    "Dialect",
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
    "script_failure",
    "serve",
    "unsupported",
]
