"""What the configuration may say of limits, retries, breakers and kept answers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Positive = Annotated[int, Field(gt=0)]
Seconds = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(gt=0, le=1)]

SUBJECTS = ("tenant", "key", "project", "user", "task", "model", "target")
RATES = ("requests_per_minute", "tokens_per_minute", "concurrency")


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LimitRule(_Model):
    """How fast one subject may go: one or more of ``SUBJECTS``, ``*`` for each by itself."""

    tenant: str | None = None
    key: str | None = None
    project: str | None = None
    user: str | None = None
    task: str | None = None
    model: str | None = None
    """A public model, whichever target serves it."""
    target: str | None = None
    """``provider/model``."""
    requests_per_minute: Positive | None = None
    burst_requests: Positive | None = None
    """How many may come at once; as many as in a minute unless said."""
    tokens_per_minute: Positive | None = None
    """Input and output together."""
    burst_tokens: Positive | None = None
    concurrency: Positive | None = None
    """Calls that are being answered at the same time."""

    @property
    def subjects(self) -> tuple[tuple[str, str], ...]:
        """Which calls it concerns: names and values, in the order of ``SUBJECTS``."""
        named = ((name, getattr(self, name)) for name in SUBJECTS)
        return tuple((name, value) for name, value in named if value is not None)

    @model_validator(mode="after")
    def _limits_something(self) -> LimitRule:
        if not any(getattr(self, rate) for rate in RATES):
            raise ValueError(f"a limit needs one of {', '.join(RATES)}")
        for burst, rate in (
            ("burst_requests", "requests_per_minute"),
            ("burst_tokens", "tokens_per_minute"),
        ):
            if getattr(self, burst) and not getattr(self, rate):
                raise ValueError(f"{burst} says nothing without {rate}")
        return self


class QueueConfig(_Model):
    """Calls that wait for their turn at a provider whose limits are used up."""

    max_waiting: Positive = 1000
    """For each provider account; one more is sent to the next target, or refused."""
    max_wait_s: Seconds = 30.0
    batch_max_wait_s: Seconds = 300.0


class LimitsConfig(_Model):
    """Who may go how fast, and where that is counted."""

    rules: tuple[LimitRule, ...] = ()
    when_redis_is_gone: Literal["refuse", "count_here"] = "refuse"
    """``refuse``: 503. ``count_here``: each process counts for itself until it is back."""
    queue: QueueConfig = QueueConfig()


class RetryConfig(_Model):
    """Attempts after the first, at the same target or at another."""

    budget: float = Field(0.2, ge=0, le=10)
    """Further attempts as a share of calls, all calls of the process together."""
    backoff_s: Seconds = 0.25
    """Before the same target is tried again: a random time up to this, doubled each time."""
    max_backoff_s: Seconds = 8.0
    content_policy: bool = True
    """Whether what one provider refuses to write may be asked of the next."""


class BreakerConfig(_Model):
    """When a target is left alone for a while."""

    consecutive_failures: Positive = 5
    error_share: Share = 0.5
    slow_call_s: Seconds = 60.0
    """A first byte that takes longer counts as slow."""
    slow_share: Share = 0.8
    min_calls: Positive = 20
    """Shares are looked at from so many calls in the window on."""
    window_s: Seconds = 30.0
    open_s: Seconds = 2.0
    """How long it is left alone at first; doubled each time, with jitter."""
    max_open_s: Seconds = 25.0


class CacheConfig(_Model):
    """Kept answers to requests that are the same to the last byte."""

    mode: Literal["off", "on_request", "deterministic"] = "on_request"
    """``on_request``: where ``X-Daobo-Cache: on`` asks for it. ``deterministic``: also where
    temperature is 0 or a seed is given."""
    ttl_s: Seconds = 3600.0
    max_bytes: Positive = 256 * 1024 * 1024
    max_answer_bytes: Positive = 1024 * 1024


class OverloadConfig(_Model):
    """When the process itself has too much to do."""

    max_loop_lag_s: Seconds = 0.1
    """A longer lag of the event loop than this, for a while: new calls are shed."""
