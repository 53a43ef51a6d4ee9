"""A key that its provider refuses is left alone for a while; then one call tries it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

FIRST_RETIREMENT_S = 60.0
LONGEST_RETIREMENT_S = 3600.0
FORBIDDEN = 403
"""The key is good, but not for this target: a retirement for that target only."""
_ALL = ""

Probed = tuple[tuple[str, "Retirement"], ...]
"""The retirements that a call is trying, each with its target, or for all of them."""
Tell = Callable[[str, Mapping[str, Any]], None]
"""Says a sentence, with fields, to whoever watches over the gateway."""


class Retirement:
    """For all targets, or for one of them. Times are of the monotonic clock."""

    __slots__ = ("_lasts_s", "probing", "until_s", "why")

    def __init__(self, why: str, now_s: float) -> None:
        self.why = why
        self.probing = False
        """A call is finding out whether the provider takes the key again."""
        self._lasts_s = FIRST_RETIREMENT_S
        self.until_s = now_s + self._lasts_s

    def is_closed(self, now_s: float) -> bool:
        """Nobody may try it now."""
        return self.probing or now_s < self.until_s

    def refused_again(self, why: str, now_s: float) -> bool:
        """The probe was refused. False if there was none: a call that began before."""
        if not self.probing:
            return False
        self.why = why
        self.probing = False
        self._lasts_s = min(self._lasts_s * 2, LONGEST_RETIREMENT_S)
        self.until_s = now_s + self._lasts_s
        return True

    def wait_s(self, now_s: float) -> float:
        return max(0.0, self.until_s - now_s)


class Retirements:
    """What one account's key is retired for. True while there is anything."""

    def __init__(self, account: str, clock: Callable[[], float], alarm: Tell) -> None:
        self._account = account
        self._clock = clock
        self._alarm = alarm
        self._retired: dict[str, Retirement] = {}
        """By target, or for all of them."""

    def __bool__(self) -> bool:
        return bool(self._retired)

    def restore(self) -> None:
        """Somebody may have mended it."""
        self._retired.clear()

    def why_closed(self, target: str) -> str | None:
        """Why the key cannot be used for a target now, and until when; None if it can."""
        now_s = self._clock()
        for _, retirement in self._concerning(target):
            if retirement.is_closed(now_s):
                left_s = retirement.wait_s(now_s)
                then = f"is tried again in {left_s:.0f} s" if left_s else "is being tried again"
                return f"the key of {self._account} was refused ({retirement.why}) and {then}"
        return None

    def refused(self, target: str, status: int | None) -> None:
        """The provider refused it. Of many refusals at once the first counts, and raises the
        alarm."""
        scope = target if status == FORBIDDEN else _ALL
        why = f"status {status}" if status else "an error in its answer"
        whole = self._retired.get(_ALL)
        if scope and whole is not None and whole.probing:
            del self._retired[_ALL]  # refused for this target alone: the key itself is good again
        known, now_s = self._retired.get(scope), self._clock()
        if known is None:
            known = self._retired[scope] = Retirement(why, now_s)
        elif not known.refused_again(why, now_s):
            return
        self._alarm(
            "a provider refuses a key; it is left alone for a while",
            {
                "account": self._account,
                "target": scope or "all targets",
                "status": status,
                "for_s": round(known.wait_s(now_s)),
            },
        )

    def begin_probe(self, target: str) -> Probed:
        """A call tries the key: what ``end_probe`` has to be told."""
        probed = tuple(self._concerning(target))
        for _, retirement in probed:
            retirement.probing = True
        return probed

    def proven(self, target: str) -> None:
        """The call that tries the key is being answered."""
        for scope, retirement in tuple(self._concerning(target)):
            if retirement.probing:
                del self._retired[scope]

    def end_probe(self, probed: Probed, went_well: bool) -> None:
        """Success restores; anything else but a refusal, told before, leaves it to the next."""
        for scope, retirement in probed:
            if self._retired.get(scope) is not retirement:
                continue  # restored before, and perhaps refused anew since
            if went_well:
                del self._retired[scope]
            else:
                retirement.probing = False

    def _concerning(self, target: str) -> Iterator[tuple[str, Retirement]]:
        for scope in (_ALL, target):
            if (retirement := self._retired.get(scope)) is not None:
                yield scope, retirement
