"""What images, video and speech cost: integers only, as lines of a bill.

A price is a list of rules; of the rules for one kind of work, the first that fits applies. Work
that no rule fits is an error: it never costs nothing by accident.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

from gateway.ledger import Line
from gateway.schema import Money

from .media_work import SELECTORS, MediaWork, Selection
from .token_price import Window

UNHEARD_OF = ""
"""Stands for every word that no rule mentions."""
PIXELS_PER_TOKEN = 1024

Pick = Callable[[tuple[int, ...]], int]
"""Which of several frames to price: ``max`` or ``min``."""


class MediaNotPricedError(LookupError):
    """No rule fits the work, or something that the fitting rule needs is not known.

    The sentence is made only where it is read: a bound tries many choices in vain.
    """

    def __init__(self, sentence: Callable[[], str]) -> None:
        super().__init__()
        self._sentence = sentence

    def __str__(self) -> str:
        return self._sentence()


class Bound(NamedTuple):
    """The least and the most that a work can cost, where not everything is known of it."""

    min_nano: int
    max_nano: int


@dataclass(frozen=True, slots=True)
class MediaRule:
    """``rate_nano`` for every ``per`` units of a meter, for work that meets the conditions."""

    meter: str
    rate_nano: int
    per: int
    unit: str
    """What the price is for one of, in words."""
    wanted: tuple[tuple[str, tuple[str | bool, ...]], ...] = ()
    """Selector and the values that the rule is for."""
    up_to_ms: int | None = None
    included: int = 0
    window: Window | None = None

    def fits(self, chosen: Selection, duration_ms: int, at_s: int) -> bool:
        return (
            all(chosen[name] in values for name, values in self.wanted)
            and (self.up_to_ms is None or duration_ms <= self.up_to_ms)
            and (self.window is None or self.window.contains(at_s))
        )

    @property
    def conditions(self) -> str:
        """``480p or 720p, with video input, up to 6 s``; empty for a rule that always fits."""
        words = [_condition(name, values) for name, values in self.wanted]
        if self.up_to_ms is not None:
            words.append(f"up to {self.up_to_ms // 1000} s")
        if self.included:
            words.append(f"the first {self.included} included")
        if self.window is not None:
            words.append("at certain hours")
        return ", ".join(words)

    def __str__(self) -> str:
        return f"per {self.unit} ({self.conditions})" if self.conditions else f"per {self.unit}"


class _Kind(NamedTuple):
    """Work of one kind, and the meters that it can be billed by, one of them at a time."""

    name: str
    meters: frozenset[str]
    quantities: tuple[str, ...]
    made: bool = True
    """False for what is handed in: without a rule, it is included in the price."""


KINDS = (
    _Kind("images", frozenset({"images"}), ("images",)),
    _Kind(
        "video",
        frozenset({"video_ms", "video_clips", "video_tokens"}),
        ("duration_ms", "video_tokens"),
    ),
    _Kind("speech", frozenset({"characters", "audio_ms"}), ("characters", "audio_ms")),
    _Kind("input images", frozenset({"input_images"}), ("input_images",), made=False),
    _Kind("input video", frozenset({"input_video_ms"}), ("input_video_ms",), made=False),
)


@dataclass(frozen=True, slots=True)
class MediaPrice:
    """The price of one model at one provider. It never changes once it is made."""

    currency: str
    rules: tuple[MediaRule, ...]
    source: str
    frames: Mapping[str, tuple[int, ...]]
    """Resolution → pixels of the frames that are rendered at it."""
    fps: int = 24
    han_character: int = 1
    free: bool = False

    def lines(self, work: MediaWork, at_s: int) -> tuple[Line, ...]:
        """The bill of the work at that Unix second. Raises MediaNotPricedError."""
        return self._lines(work, at_s, max)

    def cost(self, work: MediaWork, at_s: int) -> Money:
        """The sum of the lines."""
        return Money(_total(self.lines(work, at_s)), self.currency)

    def bound(self, work: MediaWork, at_s: int) -> Bound:
        """The least and the most that the work can cost, whatever the selectors that are None
        turn out to be. Raises MediaNotPricedError if no choice of them is priced."""
        costs: list[int] = []
        refusals: list[MediaNotPricedError] = []
        picks = (min, max) if self.frames else (max,)
        for choice in self._choices(work):
            try:
                costs += [_total(self._lines(choice, at_s, pick)) for pick in picks]
            except MediaNotPricedError as error:
                refusals.append(error)
        if not costs:
            raise refusals[0]
        return Bound(min(costs), max(costs))

    def dearest(self, work: MediaWork, at_s: int) -> tuple[Line, ...]:
        """The bill at the upper end of ``bound``. Raises MediaNotPricedError as that does."""
        bills: list[tuple[Line, ...]] = []
        refusals: list[MediaNotPricedError] = []
        for choice in self._choices(work):
            try:
                bills.append(self._lines(choice, at_s, max))
            except MediaNotPricedError as error:
                refusals.append(error)
        if not bills:
            raise refusals[0]
        return max(bills, key=_total)

    def _choices(self, work: MediaWork) -> Iterator[MediaWork]:
        chosen = work.selection()
        open_ = {name: self._values(name) for name in SELECTORS if chosen[name] is None}
        for values in product(*open_.values()):
            choice: dict[str, Any] = dict(zip(open_, values, strict=True))
            yield work._replace(**choice)

    def _values(self, selector: str) -> tuple[str | bool | None, ...]:
        """The values of a selector that make a difference."""
        named = [
            v for rule in self.rules for name, vs in rule.wanted if name == selector for v in vs
        ]
        if selector == "resolution":
            named += self.frames
        if not named:
            return (None,)
        if isinstance(named[0], bool):
            return (False, True)
        return (*dict.fromkeys(named), UNHEARD_OF)

    def _lines(self, work: MediaWork, at_s: int, pick: Pick) -> tuple[Line, ...]:
        kinds = [k for k in KINDS if any(getattr(work, name) > 0 for name in k.quantities)]
        if not any(kind.made for kind in kinds):
            raise MediaNotPricedError(lambda: "there is nothing to price: nothing is made")
        if self.free:
            return ()
        chosen = work.selection()
        billed = [
            self._billed(kind, rule, work, pick)
            for kind in kinds
            if (rule := self._rule(kind, chosen, work.duration_ms, at_s)) is not None
        ]
        return tuple([line for line in billed if line.quantity > 0])

    def _rule(
        self, kind: _Kind, chosen: Selection, duration_ms: int, at_s: int
    ) -> MediaRule | None:
        """The rule that applies; None for inputs that are included in the price."""
        rules = [rule for rule in self.rules if rule.meter in kind.meters]
        for rule in rules:
            if rule.fits(chosen, duration_ms, at_s):
                return rule
        if rules or kind.made:
            raise MediaNotPricedError(lambda: _no_rule(kind.name, chosen, duration_ms, rules))
        return None

    def _billed(self, kind: _Kind, rule: MediaRule, work: MediaWork, pick: Pick) -> Line:
        quantity = self._quantity(rule.meter, work, pick)
        if kind.made and quantity <= 0:
            raise MediaNotPricedError(lambda: _unknown_quantity(kind.name, rule.unit))
        return Line(rule.meter, quantity - rule.included, rule.rate_nano, rule.per)

    def _quantity(self, meter: str, work: MediaWork, pick: Pick) -> int:
        match meter:
            case "video_ms":
                return work.duration_ms
            case "video_clips":
                return 1
            case "video_tokens":
                return work.video_tokens or self._tokens(work, pick)
            case "characters":
                return work.characters + (self.han_character - 1) * work.han_characters
        quantity: int = getattr(work, meter)
        return quantity

    def _tokens(self, work: MediaWork, pick: Pick) -> int:
        """Pixels of all frames, those of an input video included, in tokens, rounded up."""
        if work.width and work.height:
            pixels = work.width * work.height
        else:
            resolution = work.selection()["resolution"]
            frames = self.frames.get(str(resolution))
            if not frames:
                raise MediaNotPricedError(lambda: _unknown_frame(self.frames))
            pixels = pick(frames)
        frames_k = (work.fps or self.fps) * (work.duration_ms + work.input_video_ms)
        return -(-pixels * frames_k // (PIXELS_PER_TOKEN * 1000))


def _total(lines: tuple[Line, ...]) -> int:
    return sum(line.cost_nano for line in lines)


def _either(words: Mapping[str, object] | tuple[str | bool, ...]) -> str:
    return " or ".join(map(str, words))


def _condition(selector: str, values: tuple[str | bool, ...]) -> str:
    if isinstance(values[0], bool):
        thing = selector.removeprefix("has_").replace("_", " ")
        return f"with {thing}" if values[0] else f"without {thing}"
    if selector in ("resolution", "size"):
        return _either(values)
    return f"{selector} {_either(values)}"


def _no_rule(kind: str, chosen: Selection, duration_ms: int, rules: list[MediaRule]) -> str:
    known = [_condition(name, (value,)) for name, value in chosen.items() if value is not None]
    if duration_ms:
        known.append(f"{duration_ms / 1000:g} s")
    what = f"{kind} ({', '.join(known)})" if known else kind
    priced = "; ".join(map(str, rules)) or "other work only"
    return f"no rule prices {what}; priced is {priced}"


def _unknown_quantity(kind: str, unit: str) -> str:
    return f"{kind} is priced per {unit}, and how many is not known"


def _unknown_frame(frames: Mapping[str, object]) -> str:
    words = f", or a resolution of {_either(frames)}" if frames else ""
    return f"video is priced by its pixels: width and height are needed{words}"
