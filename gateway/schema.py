"""The words every room shares: frozen data, no behaviour beyond arithmetic on itself.

What is made anew for each call is a NamedTuple: as frozen as a frozen dataclass, at a fifth of
the price.

Units stand in the names: ``_s`` seconds, ``_tokens`` tokens, ``_nano`` billionths of a currency
unit. Of the gateway, only the outcome table is imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from .errors import Outcome
from .ledger import Bill


class Capability(StrEnum):
    """What a target can do; a request that needs more is refused before anything is sent."""

    CHAT = "chat"
    EMBEDDINGS = "embeddings"
    IMAGE = "image"
    VIDEO = "video"
    VISION = "vision"
    AUDIO_INPUT = "audio_input"
    TOOLS = "tools"
    JSON_OBJECT = "json_object"
    JSON_SCHEMA = "json_schema"
    REASONING = "reasoning"


@dataclass(frozen=True, slots=True, order=True)
class Money:
    """An amount in billionths of its currency's unit. Integers only; rounding is upwards.

    The order means something within one currency only.
    """

    nano: int
    currency: str = "USD"

    def __str__(self) -> str:
        units, nano = divmod(abs(self.nano), 1_000_000_000)
        sign = "-" if self.nano < 0 else ""
        return f"{sign}{units}.{nano:09d}"


class Usage(NamedTuple):
    """Tokens in disjoint classes: no token is counted in two of them.

    ``input_tokens`` is fresh text input only and ``output_tokens`` visible text only; cache,
    thinking, image and audio tokens have classes of their own. ``estimated`` says that the
    upstream never reported and the figures are the gateway's own count.
    """

    input_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    image_input_tokens: int = 0
    audio_input_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    image_output_tokens: int = 0
    audio_output_tokens: int = 0
    estimated: bool = False

    @property
    def total_input_tokens(self) -> int:
        return (
            self.input_tokens
            + self.cache_read_tokens
            + self.cache_write_tokens
            + self.cache_write_1h_tokens
            + self.image_input_tokens
            + self.audio_input_tokens
        )

    @property
    def total_output_tokens(self) -> int:
        return (
            self.output_tokens
            + self.reasoning_tokens
            + self.image_output_tokens
            + self.audio_output_tokens
        )

    def plus(self, other: Usage) -> Usage:
        """Both together; estimated if either of them is."""
        counts = {name: getattr(self, name) + getattr(other, name) for name in TOKEN_CLASSES}
        return Usage(**counts, estimated=self.estimated or other.estimated)

    def classes(self) -> dict[str, int]:
        """Token counts by class, zero classes left out."""
        return {name: count for name in TOKEN_CLASSES if (count := getattr(self, name))}

    def to_openai(self) -> dict[str, Any]:
        """The ``usage`` object of a chat completion."""
        return {
            "prompt_tokens": self.total_input_tokens,
            "completion_tokens": self.total_output_tokens,
            "total_tokens": self.total_input_tokens + self.total_output_tokens,
            "prompt_tokens_details": {
                "cached_tokens": self.cache_read_tokens,
                "cache_write_tokens": self.cache_write_tokens + self.cache_write_1h_tokens,
                "audio_tokens": self.audio_input_tokens,
            },
            "completion_tokens_details": {
                "reasoning_tokens": self.reasoning_tokens,
                "audio_tokens": self.audio_output_tokens,
            },
        }


NO_USAGE = Usage()
TOKEN_CLASSES = tuple(name for name in Usage._fields if name.endswith("_tokens"))


@dataclass(frozen=True, slots=True)
class Target:
    """One model at one provider: the thing a call is finally sent to."""

    provider: str
    """Name in the configuration's ``providers:``."""
    model: str
    """The id that this provider knows the model by."""
    public_model: str
    """Name in the configuration's ``models:`` that leads here."""
    capabilities: frozenset[str] = frozenset({Capability.CHAT})
    context_tokens: int | None = None
    max_output_tokens: int | None = None
    weight: int = 1
    rehearsal: bool = False
    """Served by an embedded stand-in that bills nothing."""
    stands_for: Target | None = None
    """The target that a stand-in answers for: its price is what the call would have cost."""

    @property
    def name(self) -> str:
        return f"{self.provider}/{self.model}"


class Caller(NamedTuple):
    """Who is calling and for which part of a production, as a valid key and the request say."""

    key_id: str
    project: str | None = None
    user: str | None = None
    tenant: str | None = None
    season: str | None = None
    episode: str | None = None
    scene: str | None = None
    shot: str | None = None


class Call(NamedTuple):
    """One request of a client, authenticated and parsed, before anything was decided."""

    id: str
    endpoint: str
    """``chat`` or ``embeddings``."""
    caller: Caller
    model: str
    """The client's word for where it should go: a task, a model, a target or ``auto``."""
    body: Mapping[str, Any]
    body_bytes: int
    started_at_s: float
    """Wall clock, seconds since 1970."""
    received_s: float
    """Monotonic clock, for deadlines and durations."""
    stream: bool = False
    include_usage: bool = False
    """The client of a stream asked for the usage chunk."""
    task_hint: str | None = None
    """The task that a header names."""
    admitted_hold: str | None = None
    """The admitted quote that a header names, whose money this call is to draw from."""
    priority: str | None = None
    """``interactive`` or ``batch``, if a header says so."""
    cache: bool | None = None
    """Whether a header asks for a kept answer, or for none; None: as the configuration says."""
    idempotency_key: str | None = None
    """The client's own name for this request: sent again, it is answered and paid once."""
    chunking: str = "auto"
    """Whether it may be cut into parts, as a header says: ``auto`` (as its task says), ``off``,
    ``force``."""

    @property
    def asked_output_tokens(self) -> int | None:
        """The output cap that the client itself asks for."""
        return self.body.get("max_completion_tokens") or self.body.get("max_tokens")


INTERACTIVE, BATCH = "interactive", "batch"
PRIORITIES = (INTERACTIVE, BATCH)
"""In a queue, batch calls wait for interactive ones."""
CHUNKINGS = ("auto", "off", "force")
"""Whether a call is cut into parts where it does not fit: as its task says, never, or always."""


class Plan(NamedTuple):
    """Where a call may go, in order, and what the route makes of it."""

    targets: tuple[Target, ...]
    body: Mapping[str, Any]
    """The call's body after the task's parameters were filled in."""
    reason: str
    """Why this route: task, model, target, or auto-{header,metadata,classifier,default}."""
    task: str | None = None
    confidence: float | None = None
    """How sure the classifier is, in [0, 1], if it was asked."""
    max_output_tokens: int | None = None
    deadline_s: float | None = None
    priority: str = INTERACTIVE
    """Who waits for whom in a queue."""
    hedge_after_s: float | None = None
    """Try a second target as well if the first is silent for so long; None: never."""
    skipped: tuple[str, ...] = ()
    """Sentences on the targets that were left out, for error texts."""
    warnings: tuple[str, ...] = ()
    """What the client should know about how its request was changed."""
    parts: tuple[Part, ...] = ()
    """What the call is cut into; none if it is sent as it is."""
    cut: Any = None
    """How it is cut: the room of chunking's own."""
    at_once: int = 1
    """How many parts are under way at the same time."""
    part: int | None = None
    """In the plan of a part: which one it is, from 1."""

    def cap_for(self, call: Call, target: Target) -> int | None:
        """The output cap to send to a target. A task's is lowered to what the target can write;
        a client's own figure is not touched."""
        cap = self.max_output_tokens
        if cap and target.max_output_tokens and not call.asked_output_tokens:
            return min(cap, target.max_output_tokens)
        return cap


class Part(NamedTuple):
    """One of the requests that a call is cut into: a call and a plan of its own."""

    call: Call
    plan: Plan


class PartCounts(NamedTuple):
    """What became of a call's parts; each is in one class."""

    answered: int = 0
    """As asked, at the first try."""
    mended: int = 0
    """What was around the answer, or its order, was put right."""
    repeated: int = 0
    """Asked for again, whole or in pieces."""
    kept: int = 0
    """Given from an earlier call; nothing was sent."""
    source: int = 0
    """Not answered in full: the source text stands in for at least one scene."""


class ChatRequest(NamedTuple):
    """What a provider is asked to translate. Everything in it is read-only.

    ``body`` is the client's OpenAI body after task defaults were filled in; its ``model`` is
    still the client's word, ``model`` is the upstream's. ``max_output_tokens`` is the cap to
    send, or None where neither client, task nor model sets one. ``call_id`` and ``created_s``
    stand in for the clock and the random source that a provider does not have.
    """

    model: str
    body: Mapping[str, Any]
    stream: bool = False
    max_output_tokens: int | None = None
    capabilities: frozenset[str] = frozenset({Capability.CHAT})
    call_id: str = ""
    created_s: int = 0


class EmbeddingRequest(NamedTuple):
    """An embeddings call: ``body`` is the client's OpenAI body, ``model`` the upstream's id."""

    model: str
    body: Mapping[str, Any]


class UpstreamRequest(NamedTuple):
    """An HTTP request for the upstream room to send.

    ``headers`` is a tuple so that the serialised head can be cached by value; providers build
    it once. ``dropped`` names the client's fields that the upstream has no place for.
    """

    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    method: str = "POST"
    dropped: tuple[str, ...] = ()


class Timeouts(NamedTuple):
    """Deadlines of one upstream exchange, in seconds; ``total_s`` spans all of it."""

    connect_s: float = 5.0
    first_byte_s: float = 120.0
    idle_s: float = 60.0
    total_s: float = 600.0
    stream_end_s: float = 2.0
    """From a stream's finish reason to its end, as long as no more text comes."""
    content_s: float | None = None
    """How long a stream may consist of comments, which keep ``idle_s`` from passing."""


class Event(NamedTuple):
    """One server-sent event. ``raw`` is as it came, closing blank line included."""

    raw: bytes
    data: bytes
    """The ``data:`` lines joined with a newline; empty for a comment."""
    name: str = ""
    """The ``event:`` field, empty if the upstream names none."""


class ChatChunk(NamedTuple):
    """One event for the client together with what the gateway should know of it.

    A usage that is not the final one yet says ``estimated``; it counts if the stream breaks off.

    ``usage_only`` marks the extra chunk that only reports usage: clients that did not ask for
    it do not get it.
    """

    data: bytes
    usage: Usage | None = None
    finish_reason: str | None = None
    usage_only: bool = False


class Answer(NamedTuple):
    """A complete JSON answer in the OpenAI shape, and what was used to make it."""

    body: bytes
    usage: Usage | None
    finish_reason: str | None = None


class Allowance(NamedTuple):
    """What a limit leaves: ``remaining`` of ``limit`` now, all of it in ``reset_s`` seconds."""

    limit: int
    remaining: int
    reset_s: float


class Allowances(NamedTuple):
    """The tightest limits that concern a call, or that a provider's answer tells of."""

    requests: Allowance | None = None
    tokens: Allowance | None = None


NO_ALLOWANCES = Allowances()


class Attempt(NamedTuple):
    """One try at one target; a call has one for each upstream it was sent to."""

    target: Target
    outcome: Outcome
    duration_s: float
    detail: str = ""
    usage: Usage = NO_USAGE
    bill: Bill | None = None
    """None if the provider has nothing to bill: never reached, or it said itself that it failed."""
    part: int | None = None
    """Which part of the call it was at."""


class CallRecord(NamedTuple):
    """What happened to one call. Exactly one is made for each call, whatever became of it."""

    call_id: str
    endpoint: str
    caller: Caller
    outcome: Outcome
    started_at_s: float
    duration_s: float
    requested_model: str = ""
    task: str | None = None
    route_reason: str = ""
    stream: bool = False
    target: Target | None = None
    attempts: tuple[Attempt, ...] = ()
    usage: Usage = NO_USAGE
    cost: Money | None = None
    """None if the price is not known; rehearsal costs 0."""
    list_cost: Money | None = None
    """What the same usage costs at list price; for a stand-in, at the target it stands for."""
    time_to_first_token_s: float | None = None
    chunks: int = 0
    finish_reason: str | None = None
    replayed: str = ""
    """Why nothing was sent for it: ``cache``, ``twin`` or ``idempotency``; empty if it was sent."""
    missed: bool = False
    """A kept answer was looked for, and there was none."""
    detail: str = ""
    """The error's message if there was one."""
    parts: PartCounts | None = None
    """None for a call that was not cut."""
    flags: tuple[str, ...] = ()
    """Sentences on an answer made of parts: scenes that are the source's, and doubts."""
