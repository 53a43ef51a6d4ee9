"""What calls will cost, before anything is spent.

Text goes through the same planning as a call, and its maximum is the very hold that the call would
get at this moment. Images, video and speech are priced by what they order; what has a price and
nobody here who makes it yet is quoted and marked so. What cannot be priced is an error, never 0.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from functools import partial
from itertools import chain
from typing import NamedTuple

from gateway.errors import CallError, Outcome
from gateway.ledger import CURRENCIES, ExchangeRate, HoldRequest, Line, Place
from gateway.quote import Asked, Candidate, Quote, QuotedCall, Range, total
from gateway.schema import Call, Part, Plan, Target

from .bounds import billed_targets, call_bound_nano, most_of
from .hold_requests import place_of
from .likely import expect, text_range, together
from .media_quotes import MediaQuoter, unpriced
from .prices import PriceBook
from .token_price import ROUNDING_METER

LARGEST_NANO = (1 << 62) - 1
"""What the ledger can count; some four and a half thousand million units."""


class Planning(NamedTuple):
    """What a quoter needs of the other rooms, the same that calls go through."""

    plan: Callable[[Call], Plan]
    """Raises CallError for what would not be sent."""
    hold_for: Callable[[Call, Plan], HoldRequest]
    input_tokens: Callable[[Call], int]
    """An estimate."""
    targets_of: Callable[[str], Sequence[Target]]
    """The configured targets that a name leads to, awake or not; none for an unknown name."""
    endpoints: Collection[str]
    """Those that ``plan`` plans."""
    max_attempts: int


class Quoter:
    """Prices lists of calls over one configuration."""

    def __init__(
        self, planning: Planning, prices: PriceBook, rate: ExchangeRate, currency: str
    ) -> None:
        """``currency`` is that of holds for calls that are billed in several."""
        self._planning = planning
        self._prices = prices
        self._rate = rate
        self._currency = currency
        self._media_quoter = MediaQuoter(prices, planning.targets_of)

    def quote(self, asked: Sequence[Asked]) -> Quote:
        """Raises CallError for the first entry that cannot be priced, naming it."""
        known: dict[tuple[object, ...], QuotedCall] = {}
        calls = []
        for entry in asked:
            call = entry.call
            alike = (call.endpoint, call.caller, call.task_hint, call.chunking, _key(call))
            if alike not in known:
                known[alike] = self._located(entry)
            calls.append(known[alike]._replace(asked=entry))
        return self._summed(tuple(calls))

    def _located(self, entry: Asked) -> QuotedCall:
        """The quote of one entry; its errors say where they belong."""
        try:
            planned = entry.call.endpoint in self._planning.endpoints
            return self._text(entry) if planned else self._media(entry)
        except CallError as error:
            raise located(error, entry.where) from None

    def _text(self, entry: Asked) -> QuotedCall:
        call, planning = entry.call, self._planning
        plan = planning.plan(call)
        try:
            held = planning.hold_for(call, plan)
        except CallError as error:
            if error.outcome is not Outcome.UNPRICED:
                raise
            raise unpriced(error.message) from None
        parts = plan.parts or (Part(call, plan),)
        targets = billed_targets(parts[0].plan, planning.max_attempts)
        estimated = [planning.input_tokens(part.call) for part in parts]
        candidates = tuple(self._text_candidate(parts, target, estimated) for target in targets)
        return self._quoted(entry, candidates, plan.task, plan.reason, held)

    def _text_candidate(
        self, parts: Sequence[Part], target: Target, estimated_input: Sequence[int]
    ) -> Candidate:
        """Of a call that is cut, all parts; of another, the one that it is."""
        price = self._prices.price(target.stands_for or target)
        if price is None:  # a stand-in for nobody
            nothing = Range(0, 0, 0)
            return Candidate(target.name, "USD", nothing, (), "", "it bills nothing", True)
        at_s = parts[0].call.started_at_s
        expected = [
            expect(*part, target, tokens)
            for part, tokens in zip(parts, estimated_input, strict=True)
        ]
        bounds = [call_bound_nano(price, *part, target) for part in parts]
        lines = [price.bound_lines(most_of(*part, target), at_s) for part in parts]
        ranges = map(partial(text_range, price, at_s=at_s), expected, bounds)
        return Candidate(
            target.name,
            price.currency,
            total(ranges),
            lines[0] if len(lines) == 1 else _added_up(lines, sum(bounds)),
            price.source,
            together(expected),
            target.rehearsal,
            target.stands_for.name if target.stands_for else None,
        )

    def _media(self, entry: Asked) -> QuotedCall:
        call, candidates = self._media_quoter.candidates(entry.call)
        return self._quoted(entry._replace(call=call), candidates, None, "price list", None)

    def _quoted(
        self,
        entry: Asked,
        candidates: tuple[Candidate, ...],
        task: str | None,
        route: str,
        held: HoldRequest | None,
    ) -> QuotedCall:
        """Sums up the candidates in one currency: the hold's, or the first one's."""
        currency = held.currency if held else candidates[0].currency
        try:
            costs = [c.cost.converted(self._rate, c.currency, currency) for c in candidates]
            for other in CURRENCIES:
                costs[0].converted(self._rate, currency, other)
        except ValueError as error:
            raise unpriced(f"{candidates[0].target} is billed so that {error}") from None
        cost = Range(
            min(cost.min_nano for cost in costs),
            costs[0].likely_nano,
            held.amount_nano if held else max(cost.max_nano for cost in costs),
        )
        place = place_of(entry.call.caller, task)
        return QuotedCall(entry, task, route, currency, cost, candidates, place)

    def _summed(self, calls: tuple[QuotedCall, ...]) -> Quote:
        rate = self._rate
        sums = {
            currency: total(
                call.cost.converted(rate, call.currency, currency).times(call.asked.copies)
                for call in calls
            )
            for currency in CURRENCIES
        }
        rehearsal = all(call.rehearsal for call in calls)
        drawn = [c for c in calls if c.served and (rehearsal or not c.rehearsal)]
        currencies = {call.currency for call in drawn}
        currency = currencies.pop() if len(currencies) == 1 else self._currency
        hold_nano = sum(
            rate.convert(call.cost.max_nano, call.currency, currency) * call.asked.copies
            for call in drawn
        )
        if max(hold_nano, *(cost.max_nano for cost in sums.values())) > LARGEST_NANO:
            raise unpriced("all of it together is more money than the ledger can count")
        return Quote(
            calls,
            sums,
            hold_nano,
            currency,
            rehearsal,
            _in_common([call.place for call in drawn or calls]),
            rate,
            _warnings(calls, rehearsal),
        )


def located(error: CallError, where: str) -> CallError:
    """The same error, said of one entry of a list."""
    if not where:
        return error
    param = f"{where}.{error.param}" if error.param else where
    return CallError(error.outcome, f"{where}: {error.message}", code=error.code, param=param)


def _key(call: Call) -> object:
    """What makes two bodies alike. Their text is compared, which costs less than to plan them."""
    return call.body_bytes, repr(call.body)


def _in_common(places: Sequence[Place]) -> Place:
    """The levels that all places have and agree on."""
    levels = zip(*places, strict=True)
    return Place(*(level[0] if len(set(level)) == 1 else None for level in levels))


def _added_up(of_parts: Sequence[Sequence[Line]], bound_nano: int) -> tuple[Line, ...]:
    """The lines of several bounds by meter and rate; they add up to the sum of the bounds."""
    quantities: Counter[tuple[str, int, int]] = Counter()
    for line in chain.from_iterable(of_parts):
        if line.meter != ROUNDING_METER:
            quantities[line.meter, line.rate_nano, line.per] += line.quantity
    lines = [Line(meter, count, *rate) for (meter, *rate), count in quantities.items()]
    rounding_nano = bound_nano - sum(line.cost_nano for line in lines)
    rounding = [Line(ROUNDING_METER, rounding_nano, 1, 1)] if rounding_nano else []
    return (*lines, *rounding)


def _warnings(calls: Sequence[QuotedCall], rehearsal: bool) -> tuple[str, ...]:
    counts: Counter[str] = Counter()
    for call in calls:
        if not call.served:
            counts["unserved"] += call.asked.copies
        elif call.rehearsal and not rehearsal:
            counts["rehearsed"] += call.asked.copies
    said = []
    if counts["unserved"]:
        said.append(
            f"nobody here serves {counts['unserved']} of these calls: they have a price and cannot "
            "be admitted"
        )
    if counts["rehearsed"]:
        said.append(
            f"only stand-ins answer {counts['rehearsed']} of these calls, and they bill nothing: "
            "the total has them at what they stand for, a hold would not have them"
        )
    return tuple(said)
