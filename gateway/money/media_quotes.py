"""What images, video and speech will cost at each target that could make them.

Nobody here serves them yet; their prices are known all the same, of configured models and of every
model in the price tables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from gateway.errors import CallError, Outcome
from gateway.quote import Candidate, Range
from gateway.schema import Call, Capability, Target

from .media_bodies import media_work
from .media_price import MediaNotPricedError, MediaPrice
from .media_work import MediaWork
from .prices import PriceBook

VIDEO_METERS = frozenset({"video_ms", "video_clips", "video_tokens"})
Priced = tuple[Target, MediaPrice]


class MediaQuoter:
    """Prices what a body orders, by the rules of every target that its model leads to."""

    def __init__(self, prices: PriceBook, targets_of: Callable[[str], Sequence[Target]]) -> None:
        """``targets_of``: the configured targets of a name, awake or not."""
        self._prices = prices
        self._targets_of = targets_of

    def candidates(self, call: Call) -> tuple[Call, tuple[Candidate, ...]]:
        """The call, whose endpoint its model may have settled, and who could be billed for it.

        Raises CallError: a field is wrong, or nobody prices the work.
        """
        found = list(self._priced(call.model))
        if not found:
            raise unpriced(
                f"no price is known for what {call.model[:100]!r} makes; 'daobo prices' lists the "
                "models that have one"
            )
        if call.endpoint == "images" and _makes_only_video(found):
            call = call._replace(endpoint="video")
        work = media_work(call.endpoint, call.body)
        refusals: list[str] = []
        candidates: list[Candidate] = []
        for target, price in found:
            try:
                candidates.append(_candidate(target, price, work, int(call.started_at_s)))
            except MediaNotPricedError as error:
                refusals.append(f"{target.name}: {error}")
        if not candidates:
            raise unpriced("; ".join(dict.fromkeys(refusals)))
        return call, tuple(candidates)

    def _priced(self, name: str) -> Iterator[Priced]:
        """The targets of that name that make something which has a price: the configured ones,
        else those of the price tables."""
        for target in self._targets_of(name) or list(self._listed(name)):
            price = None if target.rehearsal else self._prices.media_price(target)
            if price is not None:
                yield target, price

    def _listed(self, name: str) -> Iterator[Target]:
        wanted = name.casefold()
        found = False
        for family, model in self._prices.listed():
            if wanted in (model.casefold(), f"{family}/{model}".casefold()):
                found = True
                yield Target(family, model, model)
        family, _, model = name.partition("/")
        if model and not found:
            yield Target(family, model, model)


def _candidate(target: Target, price: MediaPrice, work: MediaWork, at_s: int) -> Candidate:
    """Nobody knows what a provider makes of what is left open: likely is the dearest."""
    least, most = price.bound(work, at_s)
    return Candidate(
        target=target.name,
        currency=price.currency,
        cost=Range(least, most, most),
        lines=price.dearest(work, at_s),
        price=price.source,
        likely_by="what is asked for" if least == most else "the dearest of what is left open",
        served=False,
    )


def _makes_only_video(found: Sequence[Priced]) -> bool:
    """A prompt alone may order a picture or a clip: the model decides."""
    meters = {rule.meter for _, price in found for rule in price.rules}
    can = {capability for target, _ in found for capability in target.capabilities}
    makes_images = Capability.IMAGE in can or "images" in meters
    return not makes_images and (Capability.VIDEO in can or bool(meters & VIDEO_METERS))


def unpriced(message: str) -> CallError:
    """What nobody can price is not quoted, least of all at 0."""
    return CallError(Outcome.INVALID_REQUEST, message, code="no_price", param="model")
