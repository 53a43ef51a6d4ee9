"""How a call with this script would be cut, and what it would cost: planned as a call is, sent to
nobody."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from decimal import Decimal
from itertools import count
from typing import NamedTuple

from .app import Gateway
from .assembly import View
from .chunking.planning.cutter import Cutter
from .chunking.planning.cutting import Cut
from .chunking.planning.frame import find_script
from .chunking.tokens import count_chat, how_counted
from .chunking.window import Measure
from .config_chunking import ChunkingConfig
from .errors import CallError, ConfigError, Outcome
from .money.bounds import call_bound_nano, output_cap
from .money.likely import LIKELY_OUTPUT_TOKENS
from .money.token_price import TokenPrice
from .routing.catalog import Catalog, build_catalog
from .routing.latency import Latency
from .routing.router import Router
from .schema import Call, Caller, Part, Plan, Target, Usage

FRAME_BYTES = 256
"""Of a request around its script, about."""
HEADER = "X-Daobo-Chunking: force"


class PartCost(NamedTuple):
    """Of one request; amounts in nano-units of the price's currency, None where nobody knows."""

    input_tokens: int
    output_tokens: int
    """Likely."""
    likely_nano: int | None
    most_nano: int | None


class SplitPlan(NamedTuple):
    """A script in parts."""

    cut: Cut
    target: Target
    """What parts are sent to first, which decides how tokens are counted."""
    task: str | None
    counted_as: str
    """The family that the target's model belongs to, and by what its tokens are counted."""
    price: TokenPrice | None
    costs: tuple[PartCost, ...]
    """Of each part."""
    joins: tuple[PartCost, ...]
    """Of the requests that make one answer of the parts' answers, as large as they can be."""
    notes: tuple[str, ...]

    @property
    def is_free(self) -> bool:
        """Nobody bills it."""
        return self.target.rehearsal or (self.price is not None and self.price.free)


def plan_split(
    gateway: Gateway, text: str, model: str | None, task: str | None, budget_tokens: int | None
) -> SplitPlan:
    """Raises CallError for models that nobody has and for windows that are too small, ConfigError
    for tasks that nobody has, and where neither is named and no task cuts."""
    config = gateway.rooms.loaded.config
    if task is not None and task not in config.tasks:
        raise ConfigError(f"--task {task} is not configured; there are {', '.join(config.tasks)}")
    if model is None and task is None:
        task = next((name for name, t in config.tasks.items() if t.chunking.mode != "off"), None)
        if task is None:
            raise ConfigError("no task cuts scripts here; name a model with --model")
    call = _call(text, model or task or "", task if model else None)
    plan, notes = _planned(gateway, call)
    rule = config.tasks[plan.task].chunking if plan.task else ChunkingConfig()
    measure, frame = Measure(call, plan), find_script(plan.body)
    assert frame is not None
    notes += _notes(measure, rule)
    if call.body_bytes > (most := config.server.max_body_bytes):
        notes.append(f"no request may be so large: server.max_body_bytes is {most:,}")
    changes: dict[str, object] = {"mode": "map"} if rule.mode == "off" else {}
    if budget_tokens:
        changes["budget_tokens"] = budget_tokens
    plan = Cutter(_fences().__next__).cut(measure, frame, rule.model_copy(update=changes))
    cut: Cut = plan.cut
    if not cut.script.is_script:
        notes.append(
            "this text is no script: there is no heading of an episode or a scene in it, so it is "
            "cut at blank lines, lines and sentences"
        )
    target = plan.parts[0].plan.targets[0]
    price = gateway.rooms.prices.price(target)
    costs = tuple(_costs(plan.parts, cut, target, price))
    pieces, family = len(cut.pieces), how_counted(target)
    return SplitPlan(
        cut, target, plan.task, family, price, costs[:pieces], costs[pieces:], tuple(notes)
    )


def _call(text: str, model: str, task_hint: str | None) -> Call:
    return Call(
        id="split",
        endpoint="chat",
        caller=Caller("command"),
        model=model,
        body={"model": model, "messages": [{"role": "user", "content": text}]},
        body_bytes=len(text.encode()) + text.count("\n") + FRAME_BYTES,
        started_at_s=time.time(),
        received_s=time.monotonic(),
        task_hint=task_hint,
        chunking="force",
    )


def _planned(gateway: Gateway, call: Call) -> tuple[Plan, list[str]]:
    """Where the call would go now; where all that has a price sleeps, where it would go with the
    keys that are missing."""
    rooms = gateway.rooms
    try:
        plan = _router(gateway, rooms.catalog).plan(call)
    except CallError as error:
        if error.outcome is not Outcome.NO_TARGET:
            raise
        plan = None
    if plan is not None and (plan.reason == "target" or not _all_stand_in(plan)):
        return _without_stand_ins(plan), []
    awake = _without_stand_ins(_router(gateway, _awake(gateway)).plan(call))
    if _all_stand_in(awake):
        return (plan or awake), []
    waiting = rooms.loaded.dormant
    asleep = {t.provider: waiting[t.provider] for t in awake.targets if t.provider in waiting}
    missing = ", ".join(f"{name} ({found.waits_for})" for name, found in asleep.items())
    return awake, [f"shown as it will be with the keys that are missing now: {missing}"]


def _all_stand_in(plan: Plan) -> bool:
    return all(target.rehearsal for target in plan.targets)


def _without_stand_ins(plan: Plan) -> Plan:
    """Where there is anybody else: it is not the stand-ins' window and price that are asked for."""
    if _all_stand_in(plan):
        return plan
    return plan._replace(targets=tuple(t for t in plan.targets if not t.rehearsal))


def _awake(gateway: Gateway) -> Catalog:
    """The catalog as if every provider had its key."""
    loaded = gateway.rooms.loaded
    embedded = {t.provider for t in gateway.rooms.catalog.all_targets() if t.rehearsal}
    return build_catalog(
        loaded.config, loaded.config.providers, embedded, gateway.registry.strategies
    )


def _router(gateway: Gateway, catalog: Catalog) -> Router:
    rate = Decimal(gateway.rooms.loaded.config.money.cny_per_usd)
    view = View(gateway.rooms.prices, Latency(), rate)
    return Router(catalog, view, gateway.permanent.classifier)


def _notes(measure: Measure, rule: ChunkingConfig) -> list[str]:
    """What a call without the header would do."""
    first = measure.plan.targets[0]
    task = measure.plan.task
    if measure.fits(first) and (rule.mode == "off" or measure.answer_fits(first)):
        return [f"it fits {first.name} as it is: a call is cut like this only with {HEADER}"]
    if task is None:
        return [f"a call that names no task is cut like this only with {HEADER}"]
    if rule.mode == "off":
        return [f"the task {task} cuts nothing: a call is cut like this only with {HEADER}"]
    return []


def _costs(
    parts: tuple[Part, ...], cut: Cut, target: Target, price: TokenPrice | None
) -> Iterator[PartCost]:
    for number, (call, plan) in enumerate(parts):
        tokens_in = count_chat(plan.body, cut.counter)
        cap = output_cap(call, plan, target)
        if number >= len(cut.pieces):  # its input will be answers, which nobody has seen yet
            tokens_in += min(cut.sizes.join, len(cut.pieces) * min(cap, LIKELY_OUTPUT_TOKENS))
        keeps = cut.config.keeps_scenes and number < len(cut.pieces)
        tokens_out = min(cap, cut.pieces[number].tokens if keeps else LIKELY_OUTPUT_TOKENS)
        if price is None:
            yield PartCost(tokens_in, tokens_out, None, None)
            continue
        usage = Usage(input_tokens=tokens_in, output_tokens=tokens_out)
        likely_nano = price.cost(usage, call.started_at_s).nano
        most_nano = call_bound_nano(price, call, plan, target)
        yield PartCost(tokens_in, tokens_out, min(likely_nano, most_nano), most_nano)


def _fences() -> Iterator[str]:
    """Like those of a call, but the same each time: so are the figures of one script."""
    return (hashlib.sha256(b"%d" % n).hexdigest()[:16] for n in count())
