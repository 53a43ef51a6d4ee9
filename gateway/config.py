"""What the configuration may say: frozen models, one for each part of the file.

``config_file.py`` reads the file into them; ``config/gateway.yaml`` explains every line.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from .budget import scope_of
from .budget_words import parse_cap
from .config_chunking import ChunkingConfig
from .config_limits import (
    BreakerConfig,
    CacheConfig,
    LimitsConfig,
    OverloadConfig,
    RetryConfig,
)
from .config_media_prices import AnyPrice
from .config_prices import known_zone
from .contracts import ProviderSettings
from .ledger import LEVELS
from .schema import Capability

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]*$", max_length=100)]
Decimal_ = Annotated[str, Field(pattern=r"^\d+(\.\d+)?$")]
"""A decimal number in quotes, because a YAML float is not the number that was written."""
HOST_PATTERN = re.compile(r"\[[0-9a-f:.]+\]|[^\s:/]+")
WINDOW_PATTERN = r"^(total|day|month|[1-9]\d{0,3}[hd])$"


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _host_name(text: str) -> str:
    name = text.lower()
    if not HOST_PATTERN.fullmatch(name):
        raise ValueError(f"{text!r} is no name of a host, such as gateway.example, without a port")
    return name


class ServerConfig(_Model):
    """The public listener."""

    max_body_bytes: int = Field(32 * 1024 * 1024, gt=0)
    max_in_flight: int = Field(5000, gt=0)
    """Calls being answered at once; one more gets 503 with Retry-After."""
    max_in_flight_per_key: int = Field(2000, gt=0)
    shutdown_timeout_s: float = Field(30.0, gt=0)
    """How long calls in flight may take to finish after SIGTERM."""
    ready_delay_s: float = Field(0.0, ge=0)
    """How long ``/readyz`` says 503 after SIGTERM before the listener closes."""
    head_timeout_s: float = Field(15.0, gt=0)
    """From the first byte of a request, or the opening of a connection, to the end of its head."""
    body_timeout_s: float = Field(30.0, gt=0)
    """For a body that brings less than ``min_body_bytes_per_s``."""
    min_body_bytes_per_s: int = Field(1024, gt=0)
    idle_timeout_s: float = Field(75.0, gt=0)
    """Between two requests on one connection."""
    write_timeout_s: float = Field(60.0, gt=0)
    """For a client that takes nothing of its answer."""
    heartbeat_s: float = Field(15.0, ge=0)
    """A stream that is silent for so long gets a comment; 0 sends none."""
    max_connections: int = Field(20_000, gt=0)
    """Open connections of clients; one more is closed at once."""
    allowed_hosts: tuple[Annotated[str, AfterValidator(_host_name)], ...] = ()
    """What the Host header may name, without port; empty: anything."""
    overload: OverloadConfig = OverloadConfig()


class PluginsConfig(_Model):
    disabled: tuple[str, ...] = ()


class KeysConfig(_Model):
    """Defaults for keys that say nothing themselves."""

    project: str | None = None


class ModelConfig(_Model):
    """A public model name and the targets that serve it."""

    targets: tuple[str, ...] = Field(min_length=1)
    """``provider/upstream-model``, in the order in which they are tried."""
    strategy: str = "priority"
    context_tokens: int | None = Field(None, gt=0)
    max_output_tokens: int | None = Field(None, gt=0)
    capabilities: frozenset[Capability] = frozenset({Capability.CHAT})
    weights: dict[str, Annotated[int, Field(ge=0)]] = Field(default_factory=dict)
    """For the strategy ``weighted``: target → weight, 1 where nothing is said."""
    price: AnyPrice | None = None
    """A price, by token or by what is made, or ``family/model``: that of another model."""
    target_prices: dict[str, AnyPrice] = Field(default_factory=dict)
    """The same for single targets, such as those of a relay that no price list knows."""
    description: str = ""


class TaskConfig(_Model):
    """A step of a production: which models do it, in which order, within which bounds."""

    models: tuple[str, ...] = Field(min_length=1)
    strategy: str = "priority"
    parameters: dict[str, Any] = Field(default_factory=dict)
    """Fields of the request that are filled in where the client says nothing."""
    max_output_tokens: int | None = Field(None, gt=0)
    """Cap on the output, sent upstream; a client may ask for less."""
    deadline_s: float | None = Field(None, gt=0)
    """From the arrival of the call to the last byte of its answer."""
    priority: Literal["interactive", "batch"] = "interactive"
    """In a queue, batch calls wait for interactive ones. A header may say otherwise."""
    hedge_after_s: float | None = Field(None, gt=0)
    """Try a second target as well if the first is silent for so long. Both may be billed."""
    chunking: ChunkingConfig = ChunkingConfig()
    """What becomes of a script that is longer than the models."""
    degrade: tuple[dict[str, Any], ...] = ()
    """Steps for repeated timeouts: parameters that each step overrides."""
    budget_share: float | None = Field(None, gt=0, le=1)
    """Part of each project's budget that this task may use."""
    baseline_model: str | None = None
    """The model that this task's savings are worked out against."""
    description: str = ""


def _rate(text: str) -> str:
    if not text.strip("0."):
        raise ValueError("a dollar costs something; an exchange rate of 0 converts nothing")
    return text


def _known_cap(text: str) -> str:
    parse_cap(text)
    return text


class BudgetConfig(_Model):
    """A cap on what one node of the production, or a key, user or task, may cost."""

    tenant: str | None = None
    project: str | None = None
    season: str | None = None
    episode: str | None = None
    scene: str | None = None
    shot: str | None = None
    key: str | None = None
    user: str | None = None
    task: str | None = None
    cap: Annotated[Decimal_, AfterValidator(_known_cap)]
    currency: Literal["CNY", "USD"] = "CNY"
    window: Annotated[str, Field(pattern=WINDOW_PATTERN)] = "total"
    """``total``, ``day``, ``month``, or the last so many hours or days: ``24h``, ``7d``."""
    mode: Literal["hard", "soft"] = "hard"
    """A hard budget refuses calls, a soft one warns at its marks."""
    warn_at_percent: tuple[Annotated[int, Field(gt=0, le=1000)], ...] = (80, 100)

    @property
    def scope(self) -> tuple[tuple[str, str], ...]:
        """Levels and values; nothing for the budget of all calls."""
        named = {level: getattr(self, level) for level in LEVELS}
        return scope_of({level: value for level, value in named.items() if value is not None})


class MoneyConfig(_Model):
    """Exchange rate, budgets, and what prices are compared with."""

    cny_per_usd: Annotated[Decimal_, AfterValidator(_rate)] = "7.10"
    cny_per_usd_checked: str = ""
    """The day that the rate is of, kept with every amount, as is its source."""
    cny_per_usd_source: str = "the configuration"
    currency: Literal["CNY", "USD"] = "CNY"
    """What sums over several currencies are shown in besides."""
    time_zone: Annotated[str, AfterValidator(known_zone)] = "Asia/Shanghai"
    """Whose days and months budgets and reports go by."""
    default_max_output_tokens: int = Field(8192, gt=0)
    """Cap of a call that names none, for a model whose own limit is not configured."""
    baseline_model: str | None = None
    """The model that savings are worked out against, where a task names none."""
    budgets: tuple[BudgetConfig, ...] = ()


class AutoConfig(_Model):
    """How ``model: auto`` decides."""

    default_task: str | None = None
    """For calls that name no task and that the classifier cannot tell."""


class GatewayConfig(_Model):
    """The whole file."""

    server: ServerConfig = ServerConfig()
    plugins: PluginsConfig = PluginsConfig()
    rehearsal: Literal["never", "fallback", "always"] = "fallback"
    """May embedded stand-ins answer for other models: never, after every live target has failed,
    or always. Asked for by its own name, one answers in any case."""
    rehearsal_model: str | None = None
    """The stand-in at the end of the ladder of models and tasks that name none."""
    max_attempts: int = Field(3, gt=0, le=10)
    limits: LimitsConfig = LimitsConfig()
    retries: RetryConfig = RetryConfig()
    breaker: BreakerConfig = BreakerConfig()
    cache: CacheConfig = CacheConfig()
    auto: AutoConfig = AutoConfig()
    providers: dict[Name, dict[str, Any]] = Field(default_factory=dict)
    """Validated a second time by the settings of each entry's ``type``."""
    models: dict[Name, ModelConfig] = Field(default_factory=dict)
    tasks: dict[Name, TaskConfig] = Field(default_factory=dict)
    keys: KeysConfig = KeysConfig()
    money: MoneyConfig = MoneyConfig()


@dataclass(frozen=True)
class Dormant:
    """A provider that waits for something, usually its key."""

    type: str
    waits_for: str


@dataclass(frozen=True)
class LoadedConfig:
    """A checked configuration, immutable, with the version that names its exact text."""

    config: GatewayConfig
    providers: Mapping[str, ProviderSettings]
    dormant: Mapping[str, Dormant]
    version: str
    source: str
    notes: tuple[str, ...] = ()
    """Sentences for whoever checks the file: what is left out, and why."""
