"""What ``providers:`` may say of a rehearsal: nothing, or how it should misbehave."""

from __future__ import annotations

from pydantic import Field

from gateway import ProviderSettings


class Settings(ProviderSettings):
    """Everything is decided by ``seed`` and the number of the request, so a run can be repeated."""

    seed: int = 0
    """Another seed, other sentences and other failures."""
    first_token_delay_s: float = Field(0.0, ge=0)
    """Before the head of an answer; over ``first_byte_timeout_s`` it is a timeout."""
    token_delay_s: float = Field(0.01, ge=0)
    """Between the chunks of a stream; over ``idle_timeout_s`` it is a timeout."""
    fail_rate: float = Field(0.0, ge=0, le=1)
    """Share of requests that are answered with ``fail_status``."""
    fail_status: int = Field(500, ge=400, le=599)
    cut_after_chunks: int | None = Field(None, ge=0)
    """Streams break off after so many chunks."""
    rate_limit_every: int | None = Field(None, ge=1)
    """Every Nth request is answered with a 429."""
    refuse_words: tuple[str, ...] = ()
    """A prompt with one of these words is refused as a breach of content policy."""
