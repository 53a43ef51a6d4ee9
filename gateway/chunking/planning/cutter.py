"""Cuts a call: chooses targets and sizes, parses, splits, and makes a plan with parts.

Everything here may take a second for a very long script, and belongs in a worker thread.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from gateway.chunking.screenplay import parse
from gateway.chunking.script import Script
from gateway.chunking.splitter import split
from gateway.chunking.tokens import Counter, count_chat, counter_for
from gateway.chunking.window import Measure, answer_cap, too_small
from gateway.config_chunking import ChunkingConfig
from gateway.errors import CallError, Outcome
from gateway.schema import Plan, Target

from .context import Context
from .cutting import Cut
from .frame import Frame
from .sizes import MIN_PART_TOKENS, UNBOUNDED, Sizes, largest_part

MAX_PARTS = 10_000
SAMPLE_CHARS = 8_000
"""So much of a script says how one family of models counts it against another."""


class _Seat(NamedTuple):
    """A target that parts may go to."""

    target: Target
    largest: int
    """Part of the script that it takes, in its own tokens."""
    window: int
    around: int
    cap: int | None


class Cutter:
    """Cuts calls. ``draw_fence`` gives random letters and digits."""

    def __init__(self, draw_fence: Callable[[], str]) -> None:
        self._draw_fence = draw_fence

    def cut(
        self, measure: Measure, frame: Frame, rule: ChunkingConfig, at_most: int | None = None
    ) -> Plan:
        """The plan with parts, ``at_most`` so many tokens of script in each. Raises
        CallError(CONTEXT_LENGTH_EXCEEDED) where no target has room for any part."""
        script = parse(frame.script)
        fence = next(f for f in iter(self._draw_fence, "") if f not in frame.script)
        seats = [_seat(t, measure, frame, script, rule) for t in measure.plan.targets]
        usable = [seat for seat in seats if seat.largest >= MIN_PART_TOKENS]
        if not usable:
            raise _no_room(seats)
        counter = counter_for(usable[0].target)
        budget = min(rule.budget_tokens, usable[0].largest, at_most or UNBOUNDED)
        scale = {seat.target: _scale(counter, seat.target, frame.script) for seat in usable}
        kept = [seat for seat in usable if seat.largest >= budget * scale[seat.target]]
        # A stand-in takes what it is given: nobody live gets less because of it.
        live = [seat for seat in kept if not seat.target.rehearsal] or kept
        sizes = Sizes(
            budget=max(1, budget),
            window=min(int(seat.window / scale[seat.target]) for seat in live),
            around=max(seat.around for seat in live),
            cap=min(seat.cap or UNBOUNDED for seat in live),
        )
        plan = measure.plan
        targets = tuple(seat.target for seat in kept)
        left_out = tuple(
            f"{seat.target.name} has room for {max(0, seat.largest)} tokens of a script, and its "
            f"parts have up to {budget}"
            for seat in seats
            if seat not in kept
        )
        plan = plan._replace(targets=targets, skipped=plan.skipped + left_out)
        pieces = tuple(split(script, 0, len(script.text), sizes.budget, counter))
        _check_number(len(pieces), sizes.budget)
        context = Context(script, rule, counter, _told(sizes.budget, sizes.window), fence)
        cut = Cut(rule, script, pieces, counter, fence, sizes, context, frame, measure.call, plan)
        return plan._replace(parts=cut.parts(), cut=cut, at_once=cut.at_once)


def _seat(
    target: Target, measure: Measure, frame: Frame, script: Script, rule: ChunkingConfig
) -> _Seat:
    counter = counter_for(target)
    told = _told(rule.budget_tokens, target.context_tokens or UNBOUNDED)
    context = Context(script, rule, counter, told, "0" * 16)
    around = count_chat(frame.without(), counter) + context.most_tokens
    cap = answer_cap(measure.call, measure.plan, target)
    largest = largest_part(target, around, cap, keeps_scenes=rule.keeps_scenes)
    return _Seat(target, largest, target.context_tokens or UNBOUNDED, around, cap)


def _told(budget: int, window: int) -> int:
    """What the size of a part's context goes by."""
    return min(budget, window // 2)


def _scale(counter: Counter, target: Target, text: str) -> float:
    """Tokens that the target counts for one of ``counter``'s."""
    other = counter_for(target)
    if other.name == counter.name:
        return 1.0
    middle = max(0, len(text) - SAMPLE_CHARS) // 2
    sample = text[middle : middle + SAMPLE_CHARS]
    return other.count(sample) / max(1, counter.count(sample))


def _no_room(seats: list[_Seat]) -> CallError:
    figures = "; ".join(
        f"{too_small(seat.target)}, {seat.around} of them go to what each part is sent with"
        + (f", its answers may have {seat.cap}" if seat.cap else "")
        for seat in seats
    )
    return CallError(
        Outcome.CONTEXT_LENGTH_EXCEEDED,
        "the script cannot be cut into parts: what is around it (other messages, instructions) "
        f"leaves no room for {MIN_PART_TOKENS} tokens of it and their answer: {figures}. Shorten "
        "the other messages, or raise max_tokens if it is low.",
        param="messages",
    )


def _check_number(pieces: int, budget: int) -> None:
    if pieces > MAX_PARTS:
        raise CallError(
            Outcome.CONTEXT_LENGTH_EXCEEDED,
            f"the script would be cut into {pieces} parts of {budget} tokens, and {MAX_PARTS} is "
            "the most; a larger chunking.budget_tokens, a higher max_tokens, or fewer other "
            "messages make larger parts",
            param="messages",
        )
