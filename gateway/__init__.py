"""Daobo's vocabulary for plugin authors: everything a plugin may import is here.

A plugin is one module that implements some of the four hooks, see ``plugins/README.md``.
"""

from .contracts import (
    ChatProvider,
    EmbeddedProvider,
    EmbeddingProvider,
    Observer,
    ProviderSettings,
    RegisterObserver,
    RegisterProvider,
    RegisterStrategy,
    RouteView,
    Strategy,
    Upstream,
    UpstreamResponse,
)
from .errors import CallError, ConfigError, Outcome, outcome_of_status
from .hookspecs import hookimpl
from .openai_compatible import OpenAICompatible
from .openai_wire import (
    completion_body,
    completion_chunk,
    load_object,
    quoted,
    read_count,
    read_retry_after_s,
    read_usage,
)
from .schema import (
    Answer,
    Attempt,
    Caller,
    CallRecord,
    Capability,
    ChatChunk,
    ChatRequest,
    EmbeddingRequest,
    Event,
    Money,
    Target,
    Timeouts,
    UpstreamRequest,
    Usage,
)

__all__ = [
    "Answer",
    "Attempt",
    "CallError",
    "CallRecord",
    "Caller",
    "Capability",
    "ChatChunk",
    "ChatProvider",
    "ChatRequest",
    "ConfigError",
    "EmbeddedProvider",
    "EmbeddingProvider",
    "EmbeddingRequest",
    "Event",
    "Money",
    "Observer",
    "OpenAICompatible",
    "Outcome",
    "ProviderSettings",
    "RegisterObserver",
    "RegisterProvider",
    "RegisterStrategy",
    "RouteView",
    "Strategy",
    "Target",
    "Timeouts",
    "Upstream",
    "UpstreamRequest",
    "UpstreamResponse",
    "Usage",
    "completion_body",
    "completion_chunk",
    "hookimpl",
    "load_object",
    "outcome_of_status",
    "quoted",
    "read_count",
    "read_retry_after_s",
    "read_usage",
]
