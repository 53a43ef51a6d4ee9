"""Whether a call fits its targets' context windows, before anything is sent.

No text has more tokens than UTF-8 bytes, so the size of the body settles nearly every call
without counting anything. (Images named by their address may have; those the upstream counts.)
"""

from __future__ import annotations

from functools import cached_property

from gateway.config_chunking import ChunkingConfig
from gateway.errors import CallError, Outcome
from gateway.schema import Call, Plan, Target

from .planning.frame import Frame, find_script
from .planning.sizes import (
    ANSWER_SHARE,
    ANSWER_SLACK_TOKENS,
    SHORT_ANSWER_TOKENS,
    UNBOUNDED,
    answer_tokens,
)
from .tokens import Counter, count_chat, counter_for, estimate_chat_tokens

FAR_CHARS_PER_TOKEN = 16
"""No script has so many."""


def surely_fits(call: Call, plan: Plan, rule: ChunkingConfig | None) -> bool:
    """By its bytes alone: everywhere, with its answer. ``rule``: how it would be cut."""
    smallest = min([target.context_tokens or UNBOUNDED for target in plan.targets])
    cap = plan.max_output_tokens
    if call.body_bytes + (cap or 0) > smallest:
        return False
    if rule is None or not rule.keeps_scenes:
        return True
    least = min([target.max_output_tokens or UNBOUNDED for target in plan.targets])
    return call.body_bytes * ANSWER_SHARE + ANSWER_SLACK_TOKENS <= min(cap or least, least)


def answer_cap(call: Call, plan: Plan, target: Target) -> int | None:
    """The most tokens that the target will write for the call; None if nobody knows."""
    caps = plan.cap_for(call, target), target.max_output_tokens
    return min(filter(None, caps), default=None)


def is_clients_own(call: Call, plan: Plan) -> bool:
    """The client itself has said how long the answer may be, and is taken by its word."""
    asked = call.asked_output_tokens
    return asked is not None and asked == plan.max_output_tokens


class Measure:
    """The tokens of one call: exact ones, counted when they are asked for, once by each family's
    counter. What asks for them belongs in a worker thread."""

    def __init__(self, call: Call, plan: Plan) -> None:
        self.call = call
        self.plan = plan
        self._of_body: dict[str, int] = {}
        self._of_script: dict[str, int] = {}

    @cached_property
    def frame(self) -> Frame | None:
        return find_script(self.plan.body)

    def tokens(self, target: Target) -> int:
        """Of all messages."""
        counter = counter_for(target)
        if counter.name not in self._of_body:
            self._of_body[counter.name] = self._count(counter)
        return self._of_body[counter.name]

    def script_tokens(self, counter: Counter) -> int:
        """Of the longest text of a user."""
        if counter.name not in self._of_script:
            text = self.frame.script if self.frame else ""
            self._of_script[counter.name] = counter.count(text)
        return self._of_script[counter.name]

    def fits(self, target: Target) -> bool:
        """Input and answer are within the window."""
        window = target.context_tokens
        if window is None:
            return True
        reserve = reserved(self.plan, target)
        if self.call.body_bytes + reserve <= window:
            return True
        return not self._is_far_over(window) and self.tokens(target) + reserve <= window

    def may_fit(self, target: Target) -> bool:
        """A count leans to the high side: what is close is left to the upstream, which knows."""
        window = target.context_tokens or UNBOUNDED
        return estimate_chat_tokens(self.plan.body) + reserved(self.plan, target) <= window

    def answer_fits(self, target: Target) -> bool:
        """An answer about as long as the script is within the cap."""
        cap = answer_cap(self.call, self.plan, target)
        if cap is None or self.frame is None or is_clients_own(self.call, self.plan):
            return True
        if answer_tokens(4 * len(self.frame.script)) <= cap:  # no character has more bytes
            return True
        return (
            not self._is_far_over(cap)
            and answer_tokens(self.script_tokens(counter_for(target))) <= cap
        )

    def left(self, target: Target) -> int:
        """Of the window, for the answer."""
        return (target.context_tokens or UNBOUNDED) - self.tokens(target)

    def fits_snugly(self, target: Target, rule: ChunkingConfig | None) -> bool:
        """With the room that an answer needs, where nobody has asked for more: the cap of a task
        may be lowered to what the window leaves."""
        window = target.context_tokens or UNBOUNDED
        if is_clients_own(self.call, self.plan) or self._is_far_over(window):
            return False
        if rule is None or not rule.keeps_scenes:
            return self.left(target) >= reserved(self.plan, target, SHORT_ANSWER_TOKENS)
        needed = answer_tokens(self.script_tokens(counter_for(target)))
        return self.answer_fits(target) and self.left(target) >= needed

    def _is_far_over(self, tokens: int) -> bool:
        """The script is so long that nobody needs to count it."""
        return self.frame is not None and len(self.frame.script) > tokens * FAR_CHARS_PER_TOKEN

    def _count(self, counter: Counter) -> int:
        """The script is counted once only, for this and for the answer."""
        if self.frame is None:
            return count_chat(self.plan.body, counter)
        return count_chat(self.frame.without(), counter) + self.script_tokens(counter)


def reserved(plan: Plan, target: Target, at_most: int = UNBOUNDED) -> int:
    """Kept free for the answer: no more than the target can write."""
    reserve = min(plan.max_output_tokens or 0, at_most)
    return min(reserve, target.max_output_tokens or reserve)


def too_small(target: Target) -> str:
    return f"{target.name} takes {target.context_tokens} tokens"


def too_long(measure: Measure, advice: str) -> CallError:
    """For a call that fits nowhere, with every candidate's count."""
    counts = "; ".join(
        f"{too_small(target)}, the call has {measure.tokens(target)} there and reserves "
        f"{reserved(measure.plan, target)} for the answer"
        for target in measure.plan.targets
    )
    return CallError(
        Outcome.CONTEXT_LENGTH_EXCEEDED,
        f"this call is too long: {counts}. Shorten the messages, lower max_tokens, or name a model "
        f"with a larger context (GET /v1/models lists them). {advice}",
        param="messages",
    )
