"""Sees to it that a call fits where it goes: as it is, elsewhere, or cut into parts.

Nearly every call fits by its bytes alone and passes within a microsecond. All others are counted,
and cut, in the room's own threads: a script of ten megabytes takes seconds, and no other call
waits for it on the loop.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from gateway.config_chunking import ChunkingConfig
from gateway.contracts import Client
from gateway.errors import CallError, Outcome
from gateway.journey import Journey
from gateway.schema import Call, Plan, Target

from .planning.beside import goes_on_beside
from .planning.cutter import Cutter
from .planning.frame import why_whole
from .planning.sizes import ANSWER_SLACK_TOKENS
from .threads import Threads
from .tokens import counter_for
from .window import Measure, surely_fits, too_long, too_small

THREADS = 2
HEADER = "X-Daobo-Chunking"
_DEFAULT = ChunkingConfig(mode="map")
Send = Callable[[Journey, Client], Awaitable[None]]


class PartSender(Protocol):
    """Sends the parts of a plan, and answers with their answers."""

    async def send_parts(self, journey: Journey, client: Client, send: Send) -> None: ...


class Room:
    """Implements the pipeline's ``Chunking`` for one configuration."""

    def __init__(
        self,
        rules: Mapping[str, ChunkingConfig],
        sender: PartSender,
        draw_fence: Callable[[], str],
    ) -> None:
        """``rules`` by task; ``draw_fence`` gives random letters and digits."""
        self._rules = {task: rule for task, rule in rules.items() if rule.mode != "off"}
        self._forced = {task: _forced(rule) for task, rule in rules.items()}
        self._cutter = Cutter(draw_fence)
        self._threads = Threads(THREADS, "chunking")
        self.send_parts = sender.send_parts

    async def fit(self, call: Call, plan: Plan) -> Plan:
        """Raises CallError: CONTEXT_LENGTH_EXCEEDED; INVALID_REQUEST for what is to be cut by
        force and cannot be."""
        if self._passes(call, plan):
            return plan
        return await self._threads.run(self._fitted, call, plan)

    def fit_now(self, call: Call, plan: Plan) -> Plan:
        """The same for callers that are in a thread of their own."""
        return plan if self._passes(call, plan) else self._fitted(call, plan)

    async def cut_after(self, error: CallError, call: Call, plan: Plan) -> Plan:
        """In parts of half the size at most of what was too long. Raises ``error``."""
        if call.endpoint != "chat":
            raise error
        return await self._threads.run(self._halved, error, call, plan)

    def _passes(self, call: Call, plan: Plan) -> bool:
        if call.endpoint != "chat":
            return True
        return call.chunking != "force" and surely_fits(
            call, plan, self._rules.get(plan.task or "")
        )

    def _rule(self, call: Call, plan: Plan) -> ChunkingConfig | None:
        """How the call may be cut; None if it may not."""
        if call.chunking == "off":
            return None
        if call.chunking == "force":
            return self._forced.get(plan.task or "", _DEFAULT)
        return self._rules.get(plan.task or "")

    def _fitted(self, call: Call, plan: Plan) -> Plan:
        measure, rule = Measure(call, plan), self._rule(call, plan)
        if call.chunking == "force":
            return self._cut_by_force(measure, rule or _DEFAULT)
        fitting = [target for target in plan.targets if measure.fits(target)]
        complete = fitting if rule is None else [t for t in fitting if measure.answer_fits(t)]
        if _is_served(complete, plan):
            return _only(complete, plan)
        snug = [target for target in plan.targets if measure.fits_snugly(target, rule)]
        if _is_served(snug, plan):
            return _with_less(_only(snug, plan), measure)
        if rule is not None and (frame := measure.frame) and not _why_whole(measure, rule):
            try:
                return _cut_if_several(self._cutter.cut(measure, frame, rule), measure)
            except CallError:
                if not fitting:
                    raise
        fitting = fitting or [target for target in plan.targets if measure.may_fit(target)]
        if fitting:
            return _only(fitting, plan)
        raise too_long(measure, self._advice(measure, rule))

    def _cut_by_force(self, measure: Measure, rule: ChunkingConfig) -> Plan:
        why = _why_whole(measure, rule)
        if why or measure.frame is None:
            raise CallError(
                Outcome.INVALID_REQUEST,
                f"{HEADER} is force, and this call cannot be cut into parts: {why}",
            )
        return _cut_if_several(self._cutter.cut(measure, measure.frame, rule), measure)

    def _halved(self, error: CallError, call: Call, plan: Plan) -> Plan:
        measure, rule = Measure(call, plan), self._rule(call, plan)
        frame = measure.frame
        if rule is None or frame is None or _why_whole(measure, rule):
            error.message = f"{error.message} {self._advice(measure, rule)}"
            raise error
        tokens = measure.script_tokens(counter_for(plan.targets[0]))
        try:
            return self._cutter.cut(measure, frame, rule, at_most=max(1, tokens // 2))
        except CallError:
            raise error from None

    def _advice(self, measure: Measure, rule: ChunkingConfig | None) -> str:
        """What the client can do so that it is cut, or why it cannot be."""
        why = _why_whole(measure, rule or _DEFAULT)
        if why:
            return f"It cannot be cut into parts: {why}."
        task, is_off = measure.plan.task, measure.call.chunking == "off"
        if is_off and task in self._rules:
            return f"{HEADER} is off; without it, the task {task} has it cut into parts."
        if task is not None:
            return (
                f"The task {task} does not cut scripts into parts; {HEADER}: force does, and "
                f"{self._who_cuts()}."
            )
        said = f"{HEADER} is off. " if is_off else ""
        return f"{said}To have it cut into parts and put together, {self._how_to_ask(is_off)}."

    def _how_to_ask(self, is_off: bool) -> str:
        tasks = list(self._rules)
        if not tasks:
            return f"send {HEADER}: force"
        others = f" (or another task that cuts: {', '.join(tasks[1:])})" if tasks[1:] else ""
        instead = " in its place" if is_off else ""
        return f"send X-Daobo-Task: {tasks[0]}{others}{instead}, or {HEADER}: force"

    def _who_cuts(self) -> str:
        tasks = ", ".join(self._rules)
        return f"these tasks do: {tasks}" if tasks else "no task does here"


def _forced(rule: ChunkingConfig) -> ChunkingConfig:
    return rule.model_copy(update={"mode": "map"}) if rule.mode == "off" else rule


def _why_whole(measure: Measure, rule: ChunkingConfig) -> str:
    """Why the call cannot be cut; empty if it can."""
    if measure.frame is None:
        return "no message of a user has any text"
    why = why_whole(measure.plan.body, one_answer=rule.mode == "reduce")
    if not why and goes_on_beside(measure.frame):
        return "its script is in several messages or texts, and has to be in one"
    return why


def _is_served(targets: list[Target], plan: Plan) -> bool:
    """Whether any of these would do; a stand-in only where there is nobody else."""
    return any(not t.rehearsal for t in targets) or (
        bool(targets) and all(t.rehearsal for t in plan.targets)
    )


def _only(targets: list[Target], plan: Plan) -> Plan:
    """The plan without the targets that are too small."""
    if len(targets) == len(plan.targets):
        return plan
    left_out = tuple(too_small(t) for t in plan.targets if t not in targets)
    return plan._replace(targets=tuple(targets), skipped=plan.skipped + left_out)


def _cut_if_several(plan: Plan, measure: Measure) -> Plan:
    """A script that makes one part is sent as it is."""
    return plan if len(plan.parts) > 1 else _with_less(plan._replace(parts=(), cut=None), measure)


def _with_less(plan: Plan, measure: Measure) -> Plan:
    """Its cap lowered to what the windows have left."""
    left, cap = min(map(measure.left, plan.targets)), plan.max_output_tokens
    if cap is None or cap <= left:
        return plan
    left = max(1, left - ANSWER_SLACK_TOKENS)  # an upstream's template may have tokens, too
    warning = f"max_tokens lowered from {cap} to {left}, what is left of the context"
    return plan._replace(max_output_tokens=left, warnings=(*plan.warnings, warning))
