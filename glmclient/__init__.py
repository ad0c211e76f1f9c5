"""Stream chat answers from GLM and Qwen services: one core, a blocking client and its exact asynchronous mirror.

Names are imported when they are first used (PEP 562), so that ``import glmclient`` costs next to nothing.

PYTEST_DONT_REWRITE: pytest loads our plugin, and would warn that this package was imported before it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._version import __version__ as __version__

if TYPE_CHECKING:
    from .batch.limiter import Limiter as Limiter
    from .batch.rows import Result as Result
    from .batch.run import BatchReport as BatchReport
    from .cassette import Replay as Replay
    from .clients.async_client import AsyncClient as AsyncClient
    from .clients.sync_client import SyncClient as SyncClient
    from .content import image as image
    from .conversations.conversation import AsyncConversation as AsyncConversation
    from .conversations.conversation import Conversation as Conversation
    from .core.limits import Limits as Limits
    from .core.limits import Timeout as Timeout
    from .core.observing import ExchangeInfo as ExchangeInfo
    from .core.observing import Observation as Observation
    from .core.observing import Observer as Observer
    from .core.retry import RetryPolicy as RetryPolicy
    from .errors import APIConnectionError as APIConnectionError
    from .errors import APIStatusError as APIStatusError
    from .errors import APITimeoutError as APITimeoutError
    from .errors import AuthenticationError as AuthenticationError
    from .errors import BadRequestError as BadRequestError
    from .errors import CassetteError as CassetteError
    from .errors import ConfigurationError as ConfigurationError
    from .errors import GLMError as GLMError
    from .errors import GuestQuotaError as GuestQuotaError
    from .errors import LimitExceeded as LimitExceeded
    from .errors import MaxRoundsExceeded as MaxRoundsExceeded
    from .errors import NotFoundError as NotFoundError
    from .errors import PermissionDeniedError as PermissionDeniedError
    from .errors import ProtocolError as ProtocolError
    from .errors import QuotaExceededError as QuotaExceededError
    from .errors import RateLimitError as RateLimitError
    from .errors import RewriteError as RewriteError
    from .errors import SchemaError as SchemaError
    from .errors import SchemaProblem as SchemaProblem
    from .errors import ServerError as ServerError
    from .errors import ServiceBlockedError as ServiceBlockedError
    from .errors import StreamCancelled as StreamCancelled
    from .errors import StreamInterrupted as StreamInterrupted
    from .errors import StreamMisuse as StreamMisuse
    from .errors import ToolCallError as ToolCallError
    from .errors import TransportFailure as TransportFailure
    from .events import CodeDelta as CodeDelta
    from .events import CodeReplace as CodeReplace
    from .events import Event as Event
    from .events import ExecutionOutput as ExecutionOutput
    from .events import Finish as Finish
    from .events import FinishReason as FinishReason
    from .events import Image as Image
    from .events import Notice as Notice
    from .events import QueueStatus as QueueStatus
    from .events import ReasoningDelta as ReasoningDelta
    from .events import ReasoningReplace as ReasoningReplace
    from .events import RunEvent as RunEvent
    from .events import SearchResult as SearchResult
    from .events import SearchResults as SearchResults
    from .events import TextDelta as TextDelta
    from .events import TextReplace as TextReplace
    from .events import ToolCall as ToolCall
    from .events import ToolCallDelta as ToolCallDelta
    from .events import ToolResult as ToolResult
    from .events import Unknown as Unknown
    from .events import Usage as Usage
    from .messages import Message as Message
    from .messages import Messages as Messages
    from .options import ChatOptions as ChatOptions
    from .providers.base import Capabilities as Capabilities
    from .providers.base import Model as Model
    from .providers.base import Provider as Provider
    from .providers.chat_completions.provider import BigModel as BigModel
    from .providers.chat_completions.provider import DashScope as DashScope
    from .providers.chat_completions.provider import DashScopeIntl as DashScopeIntl
    from .providers.chat_completions.provider import OpenAICompatible as OpenAICompatible
    from .providers.chat_completions.provider import Zai as Zai
    from .providers.chatglm.provider import ChatGLM as ChatGLM
    from .providers.gradio.provider import Gradio as Gradio
    from .reply import Reply as Reply
    from .runs.async_run import AsyncRun as AsyncRun
    from .runs.functions import Tool as Tool
    from .runs.functions import tool as tool
    from .runs.sync_run import Run as Run
    from .streams.async_stream import AsyncStream as AsyncStream
    from .streams.sync_stream import Stream as Stream

_HOMES = {
    "clients.async_client": "AsyncClient",
    "reply": "Reply",
    "streams.async_stream": "AsyncStream",
    "batch.limiter": "Limiter",
    "batch.rows": "Result",
    "batch.run": "BatchReport",
    "cassette": "Replay",
    "content": "image",
    "conversations.conversation": "AsyncConversation Conversation",
    "core.limits": "Limits Timeout",
    "core.observing": "ExchangeInfo Observation Observer",
    "core.retry": "RetryPolicy",
    "errors": (
        "APIConnectionError APIStatusError APITimeoutError AuthenticationError "
        "BadRequestError CassetteError ConfigurationError GLMError GuestQuotaError "
        "LimitExceeded MaxRoundsExceeded NotFoundError PermissionDeniedError ProtocolError "
        "QuotaExceededError RateLimitError RewriteError SchemaError SchemaProblem ServerError "
        "ServiceBlockedError StreamCancelled StreamInterrupted StreamMisuse ToolCallError "
        "TransportFailure"
    ),
    "events": (
        "CodeDelta CodeReplace Event ExecutionOutput Finish FinishReason Image Notice "
        "QueueStatus ReasoningDelta ReasoningReplace RunEvent SearchResult SearchResults "
        "TextDelta TextReplace ToolCall ToolCallDelta ToolResult Unknown Usage"
    ),
    "messages": "Message Messages",
    "options": "ChatOptions",
    "providers.base": "Capabilities Model Provider",
    "providers.chatglm.provider": "ChatGLM",
    "providers.gradio.provider": "Gradio",
    "providers.chat_completions.provider": "BigModel DashScope DashScopeIntl OpenAICompatible Zai",
    "clients.sync_client": "SyncClient",
    "runs.async_run": "AsyncRun",
    "runs.functions": "Tool tool",
    "runs.sync_run": "Run",
    "streams.sync_stream": "Stream",
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names.split()}
# What `%load_ext glmclient` calls; nobody else's business.
_HOOKS = {"load_ipython_extension": "notebook", "unload_ipython_extension": "notebook"}

__all__ = [
    "APIConnectionError",
    "APIStatusError",
    "APITimeoutError",
    "AsyncClient",
    "AsyncConversation",
    "AsyncRun",
    "AsyncStream",
    "AuthenticationError",
    "BadRequestError",
    "BatchReport",
    "BigModel",
    "Capabilities",
    "CassetteError",
    "ChatGLM",
    "ChatOptions",
    "CodeDelta",
    "CodeReplace",
    "ConfigurationError",
    "Conversation",
    "DashScope",
    "DashScopeIntl",
    "Event",
    "ExchangeInfo",
    "ExecutionOutput",
    "Finish",
    "FinishReason",
    "GLMError",
    "Gradio",
    "GuestQuotaError",
    "Image",
    "LimitExceeded",
    "Limiter",
    "Limits",
    "MaxRoundsExceeded",
    "Message",
    "Messages",
    "Model",
    "NotFoundError",
    "Notice",
    "Observation",
    "Observer",
    "OpenAICompatible",
    "PermissionDeniedError",
    "ProtocolError",
    "Provider",
    "QueueStatus",
    "QuotaExceededError",
    "RateLimitError",
    "ReasoningDelta",
    "ReasoningReplace",
    "Replay",
    "Reply",
    "Result",
    "RetryPolicy",
    "RewriteError",
    "Run",
    "RunEvent",
    "SchemaError",
    "SchemaProblem",
    "SearchResult",
    "SearchResults",
    "ServerError",
    "ServiceBlockedError",
    "Stream",
    "StreamCancelled",
    "StreamInterrupted",
    "StreamMisuse",
    "SyncClient",
    "TextDelta",
    "TextReplace",
    "Timeout",
    "Tool",
    "ToolCall",
    "ToolCallDelta",
    "ToolCallError",
    "ToolResult",
    "TransportFailure",
    "Unknown",
    "Usage",
    "Zai",
    "__version__",
    "image",
    "tool",
]


if TYPE_CHECKING:
    pass  # a checker that saw `__getattr__` would take every misspelt name for an object
else:

    def __getattr__(name: str) -> object:
        module = _HOME_OF.get(name) or _HOOKS.get(name)
        if module is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        import importlib

        value: object = getattr(importlib.import_module(f".{module}", __name__), name)
        if name in _HOME_OF:
            globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
