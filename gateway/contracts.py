"""What a plugin can be: small protocols, one for each kind of work. Fill those you can.

A provider is pure translation. It opens no socket, reads no clock, sleeps for nobody and keeps
no state between calls; the gateway owns connections, deadlines, retries, limits, money and
metrics, so every provider gets them and none can get them wrong.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Literal, Protocol, Self, runtime_checkable

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from .errors import CallError
from .journey import Journey
from .schema import (
    Allowances,
    Answer,
    CallRecord,
    ChatChunk,
    ChatRequest,
    EmbeddingRequest,
    Event,
    Target,
    Timeouts,
    UpstreamRequest,
)


class ProviderSettings(BaseModel):
    """What every entry of ``providers:`` may say. A provider subclasses it to say more."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: str
    """Which registered provider serves this entry."""
    base_url: str | None = None
    """Where the upstream listens; None means the provider's own default."""
    api_key: SecretStr | None = None
    """Only ever a reference to the environment: ``${NAME}``."""
    api_keys: tuple[SecretStr, ...] = ()
    """In place of ``api_key``: several, used in turn; each has the limits below for itself. One
    whose variable is not set is empty here, and left out."""
    headers: dict[str, str] = Field(default_factory=dict)
    """Sent with every request to this upstream."""
    connect_timeout_s: float = Field(5.0, gt=0)
    first_byte_timeout_s: float = Field(120.0, gt=0)
    idle_timeout_s: float = Field(60.0, gt=0)
    total_timeout_s: float = Field(600.0, gt=0)
    max_connections: int = Field(4000, gt=0)
    max_concurrency: int | None = Field(None, gt=0)
    """Calls in flight to this upstream; more of them wait. None: ``max_connections`` decides."""
    requests_per_minute: int | None = Field(None, gt=0)
    """Calls started in a minute, on average: up to as many at once, then evenly; the rest wait."""
    tokens_per_minute: int | None = Field(None, gt=0)
    """Input and output together: reserved by estimate, settled to what was used."""
    stream_usage: bool = True
    """False for upstreams that refuse ``stream_options``."""
    stream_only: bool = False
    """The upstream answers in streams only: calls for a whole answer are streamed from it, too."""
    json_only: bool = False
    """The upstream answers whole only: calls for a stream get the answer in chunks at its end."""
    thinking_tags: bool | Literal["opened"] = False
    """The upstream leaves ``<think>…</think>`` in the text; it goes to ``reasoning_content``.
    ``opened``: its prompt template writes the opening tag, the answer has only the closing one.
    For types that speak OpenAI."""
    cumulative_tool_calls: bool = False
    """The upstream repeats all arguments so far in each delta of a tool call. For types that speak
    OpenAI."""
    stream_end_timeout_s: float = Field(2.0, gt=0)
    """How long a stream may go on without text after its finish reason, for usage and end."""
    content_timeout_s: float | None = Field(None, gt=0)
    """How long a stream may go on with comments alone. None: ``total_timeout_s`` decides."""

    @property
    def timeouts(self) -> Timeouts:
        return Timeouts(
            self.connect_timeout_s,
            self.first_byte_timeout_s,
            self.idle_timeout_s,
            self.total_timeout_s,
            self.stream_end_timeout_s,
            self.content_timeout_s,
        )

    def streams(self, asked: bool) -> bool:
        """Whether to ask the upstream for a stream where one is ``asked`` for, or not."""
        return (asked or self.stream_only) and not self.json_only

    @property
    def keys(self) -> tuple[SecretStr | None, ...]:
        """What to authenticate with, in the order of the configuration: at least one entry, None
        for an upstream that wants no key."""
        return self.api_keys or (self.api_key,)

    @model_validator(mode="after")
    def _one_way_to_name_keys(self) -> Self:
        if self.api_key is not None and self.api_keys:
            raise ValueError("api_key and api_keys exclude each other")
        return self

    @model_validator(mode="after")
    def _one_way_to_answer(self) -> Self:
        if self.stream_only and self.json_only:
            raise ValueError("stream_only and json_only exclude each other")
        return self


class Provider(Protocol):
    """What every provider has, whichever of the protocols below it fills."""

    root: str
    """The base URL in effect: it decides about a proxy, and whose price list applies."""


@runtime_checkable
class ChatProvider(Protocol):
    """Translates chat completions to an upstream's wire and back."""

    def build_request(self, request: ChatRequest) -> UpstreamRequest:
        """Raises CallError(UNSUPPORTED) for what the upstream cannot carry at all; lesser
        losses go into ``UpstreamRequest.dropped``."""

    def parse_response(self, request: ChatRequest, body: bytes) -> Answer:
        """A 200 body to an OpenAI chat completion. Raises CallError for an error inside it."""

    def parse_stream(
        self, request: ChatRequest, events: AsyncIterator[Event]
    ) -> AsyncIterator[bytes | ChatChunk]:
        """An async generator: upstream events in, OpenAI events out (``data: {…}\\n\\n``).

        Yields bytes for plain deltas and a ChatChunk where usage or the finish reason shows.
        Returns at the upstream's terminal event (never yields ``[DONE]``: the gateway does).
        Raises CallError for an error event. It may await nothing but ``events``: the gateway
        drives it by hand from the socket's callback, without a task of its own.
        """

    def parse_error(self, status: int, headers: Mapping[str, str], body: bytes) -> CallError:
        """An error answer to the row of the table that it means. Header names are lower case."""


@runtime_checkable
class StreamingChooser(Protocol):
    """A chat provider whose upstream cannot answer each call in the way that it was asked in."""

    def wants_stream(self, request: ChatRequest) -> bool:
        """Whether to ask for a stream; ``request.stream`` is what the client asked for. Where the
        two differ, the gateway makes an answer of the stream, or chunks of the answer."""


@runtime_checkable
class AllowanceReader(Protocol):
    """A provider whose upstream says in the head of each answer what its limits leave."""

    def read_allowances(self, headers: Mapping[str, str]) -> Allowances | None:
        """Called for every answer, refusals too; None, quickly, if it says nothing. Header names
        are lower case. There is no clock: moments are taken relative to the ``date`` header."""


@runtime_checkable
class EmbeddingProvider(Protocol):
    """Translates embedding calls."""

    def build_embedding(self, request: EmbeddingRequest) -> UpstreamRequest: ...

    def parse_embedding(self, request: EmbeddingRequest, body: bytes) -> Answer:
        """A 200 body to an OpenAI embeddings list, floats or base64 as ``body`` asked for."""

    def parse_error(self, status: int, headers: Mapping[str, str], body: bytes) -> CallError: ...


class UpstreamResponse(Protocol):
    """An answer whose head has arrived; the body is read once, whole or as it comes."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case; repeated headers joined with a comma."""

    async def read(self, max_bytes: int) -> bytes:
        """The whole body. Raises CallError(UPSTREAM_GARBLED) above ``max_bytes``."""

    async def first(self) -> bytes:
        """Wait for the next piece of the body; ``b""`` at its end. May precede ``pump``."""

    async def pump(self, receive: Callable[[bytes], None]) -> None:
        """Call ``receive`` with each piece as it arrives; return at the end of the body.

        Raises CallError (UPSTREAM_CUT, UPSTREAM_TIMEOUT) if the body does not end as promised.
        An exception out of ``receive`` closes the connection and is raised from here.
        """

    def pause(self) -> None:
        """Stop reading from the socket until ``resume``; the idle clock stops too."""

    def resume(self) -> None: ...

    def close(self) -> None:
        """Give the connection back if the body was read to its end, else close it. Idempotent."""


class Upstream(Protocol):
    """Something that answers requests: a pool of connections, or a stand-in inside the process."""

    async def send(self, request: UpstreamRequest, timeouts: Timeouts) -> UpstreamResponse:
        """Send and wait for the head of the answer.

        Raises CallError: UPSTREAM_UNREACHABLE is proof that no byte of the request was written;
        UPSTREAM_TIMEOUT and UPSTREAM_CUT mean that the upstream may have taken it.
        """

    async def close(self) -> None: ...


@runtime_checkable
class EmbeddedProvider(Protocol):
    """A provider that brings its upstream along instead of having one on the network.

    Its targets are rehearsal: they bill nothing, step back behind every live target, and never
    answer for another model without saying so.
    """

    def open_upstream(self) -> Upstream: ...


class ProviderClass(Protocol):
    """How the gateway makes a provider: once for each live entry of ``providers:``."""

    def __call__(self, settings: Any) -> Provider: ...


class RouteView(Protocol):
    """What a strategy may know about targets besides the targets themselves."""

    def price_nano(self, target: Target) -> int:
        """Nano-USD for a million fresh input and a quarter million output tokens; an unknown
        price sorts last."""

    def first_token_s(self, target: Target) -> float:
        """Moving average of the time to first token, 0.0 while nothing is known."""

    def random(self) -> float:
        """In [0, 1)."""


Strategy = Callable[[Sequence[Target], RouteView], list[Target]]
"""Orders targets. Fallback is the rest of the list; a strategy drops none."""

Observer = Callable[[CallRecord], None]
"""Told of every finished call, after the reply has left. It must not block."""

RegisterProvider = Callable[[str, type[ProviderSettings], ProviderClass], None]
RegisterStrategy = Callable[[str, Strategy], None]
RegisterObserver = Callable[[Observer], None]


class Client(Protocol):
    """The client's end of a call, as the rooms see it: where the answer goes."""

    @property
    def started(self) -> bool:
        """A byte has left, be it a heartbeat's: from here on an error is an event of the stream."""

    @property
    def committed(self) -> bool:
        """A byte of the answer has left; from here on nothing may be tried elsewhere."""

    async def send_answer(self, journey: Journey, body: bytes) -> None:
        """The whole answer."""

    async def begin_stream(self, journey: Journey, first: bytes) -> None:
        """The head of a stream together with its first events."""

    def write(self, data: bytes) -> bool:
        """Events, at once. False: the client's buffer is full, wait for ``when_drained``."""

    def when_drained(self, resume: Callable[[], None]) -> None:
        """Call ``resume`` as soon as the client has caught up."""

    async def end_stream(self, journey: Journey) -> None:
        """The stream's end: what it cost, and ``[DONE]``."""
