"""What is known of a call while it is under way: the one word that changes.

Each room writes down what it decided; the pipeline makes the ``CallRecord`` of it at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from .errors import Outcome
from .ledger import Bill, HoldRequest
from .schema import (
    NO_ALLOWANCES,
    NO_USAGE,
    Allowances,
    Attempt,
    Call,
    CallRecord,
    Money,
    PartCounts,
    Plan,
    Target,
    Usage,
)


@dataclass(slots=True)
class Journey:
    """What is known of one call so far."""

    call: Call
    plan: Plan | None = None
    target: Target | None = None
    """The target that is answering, or was tried last."""
    attempts: list[Attempt] = field(default_factory=list)
    hold: Any = None
    """What the money room set aside for this call."""
    billable: bool = False
    """The attempt under way may have reached the provider."""
    usage: Usage | None = None
    """Of the attempt under way, and its bill."""
    bill: Bill | None = None
    earlier_bills: list[Bill] = field(default_factory=list)
    first_token_s: float | None = None
    """Monotonic clock at the first chunk that says something, or at the answer where it came
    whole."""
    chunks: int = 0
    chunk_bytes: int = 0
    """Size of the chunks for the client: what a count of our own goes by if no usage comes."""
    finish_reason: str | None = None
    dropped: tuple[str, ...] = ()
    allowances: Allowances = NO_ALLOWANCES
    """What is left of the limits that concern the call, for its client."""
    replayed: str = ""
    left_out: tuple[str, ...] = ()
    """Sentences on targets of the plan that could not be tried at the moment."""
    hedged: bool = False
    """Two attempts were made side by side."""
    given_up: bool = False
    """The attempt under way is cancelled because another one answered first."""
    missed: bool = False
    """A kept answer was looked for in vain."""
    age_s: int = 0
    """Of the kept answer that is given."""
    parts: PartCounts | None = None
    """What became of the parts of a call that is cut."""
    answer_bills: list[Bill] = field(default_factory=list)
    """Of such a call: of the attempts that its answer is made of."""
    answers: list[list[Attempt]] = field(default_factory=list)
    """What was tried for each of those; the last one is the one that answered."""
    flags: tuple[str, ...] = ()
    """Sentences on what the answer of such a call is not."""
    outcome: Outcome = Outcome.OK
    detail: str = ""

    def begin(self, target: Target) -> None:
        """Another attempt."""
        if self.bill is not None:
            self.earlier_bills.append(self.bill)
        self.target = target
        self.usage = self.bill = None
        self.billable = False
        self.chunks = self.chunk_bytes = 0
        self.first_token_s = self.finish_reason = None

    def end(self, outcome: Outcome, duration_s: float, detail: str) -> None:
        """The attempt under way is over."""
        assert self.target is not None
        number = self.plan.part if self.plan else None
        attempt = Attempt(
            self.target, outcome, duration_s, detail, self.usage or NO_USAGE, self.bill, number
        )
        self.attempts.append(attempt)

    def fork(self) -> Journey:
        """The journey of another attempt at the call, beside the one under way."""
        return Journey(
            self.call,
            self.plan,
            hold=self.hold,
            allowances=self.allowances,
            left_out=self.left_out,
            hedged=self.hedged,
            missed=self.missed,
        )

    def absorb(self, other: Journey) -> None:
        """Attempts that were made beside this journey's own belong to the call, too."""
        self.attempts[:0] = other.attempts
        self.earlier_bills += other.earlier_bills
        if other.bill is not None:
            self.earlier_bills.append(other.bill)

    def take_part(self, part: Journey) -> None:
        """A part of the call was asked for: its attempts and bills are the call's."""
        self.attempts += part.attempts
        self.earlier_bills += part.earlier_bills
        if part.bill is not None:
            self.earlier_bills.append(part.bill)
        self.target = part.target or self.target
        self.dropped = part.dropped or self.dropped
        if part.allowances is not NO_ALLOWANCES:
            self.allowances = part.allowances

    def take_answer(self, part: Journey) -> None:
        """The answer to a part is in the call's own: so are its usage and list cost."""
        if part.bill is not None:
            self.answer_bills.append(part.bill)
        self.answers.append(part.attempts)
        if part.usage is not None:
            self.usage = (self.usage or NO_USAGE).plus(part.usage)
        self.chunks += part.chunks

    def become(self, other: Journey) -> None:
        """The other one has the answer."""
        for name in _FACTS:
            setattr(self, name, getattr(other, name))

    @property
    def cost(self) -> Money | None:
        """What is charged so far; in the hold's currency where that was in several."""
        bill = self.bill
        if not self.earlier_bills:
            return Money(bill.cost_nano, bill.currency) if bill else None
        bills = [*self.earlier_bills, bill] if bill else self.earlier_bills
        return self._total([Money(b.cost_nano, b.currency) for b in bills])

    @property
    def list_cost(self) -> Money | None:
        """What the answer costs at list price; of a call in parts, all that its answer is made
        of."""
        bill = self.bill
        if not self.answer_bills:
            return Money(bill.list_cost_nano, bill.currency) if bill else None
        return self._total([Money(b.list_cost_nano, b.currency) for b in self.answer_bills])

    def _total(self, costs: Sequence[Money]) -> Money:
        """Parts of a call are side by side at providers that bill in one currency or another."""
        currencies = {cost.currency for cost in costs}
        if len(currencies) == 1:
            return Money(sum([cost.nano for cost in costs]), *currencies)
        held: HoldRequest = self.hold.request
        convert, currency = held.rate.convert, held.currency
        return Money(sum([convert(cost.nano, cost.currency, currency) for cost in costs]), currency)

    def _judged(self) -> list[Attempt]:
        """Of a call in parts: a complete answer that is not in the call's own was of no use."""
        used = {id(attempts[-1]) for attempts in self.answers if attempts}
        return [
            attempt._replace(outcome=Outcome.DISCARDED)
            if attempt.outcome is Outcome.OK and id(attempt) not in used
            else attempt
            for attempt in self.attempts
        ]

    def record(self, now_s: float) -> CallRecord:
        """The record of the finished call; ``now_s`` on the monotonic clock."""
        call, plan = self.call, self.plan
        first_s = self.first_token_s
        return CallRecord(
            call_id=call.id,
            endpoint=call.endpoint,
            caller=call.caller,
            outcome=self.outcome,
            started_at_s=call.started_at_s,
            duration_s=now_s - call.received_s,
            requested_model=call.model,
            task=plan.task if plan else None,
            route_reason=plan.reason if plan else "",
            stream=call.stream,
            target=self.target,
            attempts=tuple(self.attempts if self.parts is None else self._judged()),
            usage=self.usage or NO_USAGE,
            cost=self.cost,
            list_cost=self.list_cost,
            time_to_first_token_s=None if first_s is None else first_s - call.received_s,
            chunks=self.chunks,
            finish_reason=self.finish_reason,
            replayed=self.replayed,
            missed=self.missed,
            detail=self.detail,
            parts=self.parts,
            flags=self.flags,
        )


_FACTS = tuple(field.name for field in fields(Journey))
