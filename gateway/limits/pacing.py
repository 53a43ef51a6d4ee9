"""Paces calls towards a provider: those above an account's limits wait for their turn."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from types import TracebackType

from gateway.contracts import ProviderSettings
from gateway.errors import CallError, Outcome
from gateway.journey import Journey
from gateway.schema import BATCH, Allowances, Target

from .buckets import Denied
from .lanes import NOTHING, Lane, Taken, Wish
from .turns import Pace, Turns
from .waiting import Waiting

LEAST_RETRY_S = 1.0
"""What a call is told that was refused a turn, where nobody knows more."""


class Tally:
    """The waits of one provider; it outlives configurations."""

    __slots__ = ("refused", "waited", "waited_s")

    def __init__(self) -> None:
        self.waited = 0
        """Calls that waited, whether or not they got their turn."""
        self.waited_s = 0.0
        self.refused = 0


class Pacer:
    """One account: its ``max_concurrency``, ``requests_per_minute`` and ``tokens_per_minute``, the
    limits of its targets, and what its provider says of them.

    A call that finds room takes its turn on the spot. The others wait, interactive ones before
    batch, projects in turn.
    """

    def __init__(
        self,
        name: str,
        settings: ProviderSettings,
        pace: Pace,
        tally: Tally,
        clock: Callable[[], float],
        random: Callable[[], float],
    ) -> None:
        self.name = name
        self._turns = Turns(name, settings, pace, clock)
        self._waiting = Waiting(self._turns, clock)
        self._tally = tally
        self._clock = clock
        self._random = random
        self._lanes: dict[str, Lane] = {}

    @property
    def waiting(self) -> int:
        return self._waiting.count

    @property
    def under_way(self) -> int:
        return self._turns.under_way

    def turn(self, journey: Journey, target: Target, max_wait_s: float) -> Turn:
        """Wait for a turn and keep it. Raises CallError: RATE_LIMITED or, where it is the provider
        who said so, UPSTREAM_RATE_LIMITED, with the time to come back."""
        return Turn(self, journey, target, max_wait_s)

    def follow(self, pace: Pace) -> None:
        """Another configuration, with the same settings of this account."""
        self._turns.follow(pace)
        now_s = self._clock()
        self._lanes = {name: lane for name, lane in self._lanes.items() if not lane.is_idle(now_s)}
        for lane in self._lanes.values():
            lane.blockage.clear()
        self._waiting.look()

    def told(self, target: Target, allowances: Allowances) -> None:
        """What the head of an answer says is left."""
        self.lane(target).learned.told(allowances, self._clock())
        self._waiting.look()

    def park(self, target: Target, retry_after_s: float | None) -> float:
        """The provider has had too many requests. Returns for how long nothing is sent."""
        return self.lane(target).learned.park(retry_after_s, self._clock(), self._random())

    def parked_s(self, target: Target) -> float:
        lane = self._lanes.get(target.name)
        if lane is None or not lane.learned.slows:
            return 0.0
        return max(0.0, lane.learned.parked_until_s - self._clock())

    def parked_targets(self) -> int:
        now_s = self._clock()
        return sum(lane.learned.parked_until_s > now_s for lane in self._lanes.values())

    def has_room(self, target: Target) -> bool:
        """A call would not have to wait."""
        return self._has_room(self.lane(target), self._clock())

    def opens_in_s(self, target: Target) -> float:
        """For how long nothing more goes there, as far as that is known; 0.0 where only the calls
        under way, or those that wait, are before another one."""
        now_s = self._clock()
        opens_at_s = max(self.lane(target).opens_at_s(now_s), self._turns.blockage.until_s)
        return max(0.0, opens_at_s - now_s)

    async def close(self) -> None:
        await self._waiting.close()

    def lane(self, target: Target) -> Lane:
        lane = self._lanes.get(target.name)
        if lane is None:
            lane = self._lanes[target.name] = Lane(target.name)
        return lane

    async def begin(self, journey: Journey, lane: Lane, target: Target, max_wait_s: float) -> Taken:
        """What a turn has taken. Raises CallError."""
        tokens = 0
        if self._turns.limits_of(target).counts_tokens or lane.learned.counts_tokens:
            tokens = self._turns.pace.estimate_tokens(journey)
        if self._has_room(lane, self._clock()):
            verdict = await self._turns.take(lane, target, tokens)
            if not isinstance(verdict, Denied):
                return verdict
        assert journey.plan is not None
        caller = journey.call.caller
        whose = caller.project or caller.key_id
        wish = Wish(target, tokens, journey.plan.priority, whose)
        return await self._wait(lane, wish, max_wait_s)

    def end(self, lane: Lane, taken: Taken, used_tokens: int) -> None:
        self._turns.give_back(lane, taken, used_tokens)
        self._waiting.look()

    def _has_room(self, lane: Lane, now_s: float) -> bool:
        if lane.opens_at_s(now_s) or not self._turns.has_room(now_s):
            return False
        return not (self._waiting.count and self._waiting.is_before(lane, now_s))

    async def _wait(self, lane: Lane, wish: Wish, max_wait_s: float) -> Taken:
        queue = self._turns.pace.queue
        bound_s = queue.batch_max_wait_s if wish.priority == BATCH else queue.max_wait_s
        bound_s = min(bound_s, max_wait_s)
        wait_s, why = self._known_wait(lane, wish)
        if self._waiting.count >= queue.max_waiting:
            raise self._refusal(lane, f"{self._waiting.count} calls wait there already", wait_s)
        if wait_s > bound_s:
            why += f"; it would come in {wait_s:.1f} s, and this call may wait {bound_s:.1f} s"
            raise self._refusal(lane, why, wait_s)
        began_s = self._clock()
        try:
            taken = await self._waiting.turn(lane, wish, bound_s)
        finally:
            self._tally.waited += 1
            self._tally.waited_s += self._clock() - began_s
        if taken is None:
            wait_s, _ = self._known_wait(lane, wish)
            raise self._refusal(lane, f"it has not come within {bound_s:.1f} s", wait_s)
        return taken

    def _known_wait(self, lane: Lane, wish: Wish) -> tuple[float, str]:
        """How many seconds another call would wait at least, and why."""
        now_s = self._clock()
        ahead = lane.queue.ahead(wish.priority, wish.project) if lane.queue else 0
        tokens = lane.tokens_of(ahead)
        wait_s = max(
            lane.blockage.wait_s(ahead, tokens, now_s),
            self._turns.known_wait_s(ahead, tokens, now_s),
        )
        if (closed_s := lane.learned.closed_s(now_s)) > wait_s:
            return closed_s, "the provider takes no more calls"
        before = f", waiting calls that go first: {ahead}" if ahead else ""
        return wait_s, f"its configured limits are used up{before}"

    def _refusal(self, lane: Lane, why: str, wait_s: float) -> CallError:
        self._tally.refused += 1
        told = lane.learned.closed_s(self._clock()) > 0
        return CallError(
            Outcome.UPSTREAM_RATE_LIMITED if told else Outcome.RATE_LIMITED,
            f"no turn for {lane.name} at {self.name}: {why}",
            retry_after_s=max(wait_s, LEAST_RETRY_S),
            from_upstream=False,
        )


class Turn(AbstractAsyncContextManager[None]):
    """A turn at an account, for as long as the context lasts."""

    __slots__ = ("_journey", "_lane", "_max_wait_s", "_pacer", "_taken", "_target")

    def __init__(self, pacer: Pacer, journey: Journey, target: Target, max_wait_s: float) -> None:
        self._pacer = pacer
        self._journey = journey
        self._target = target
        self._max_wait_s = max_wait_s
        self._taken = NOTHING

    async def __aenter__(self) -> None:
        # Looked up only now: a reload may have swept it while the money was seen to.
        lane = self._lane = self._pacer.lane(self._target)
        self._taken = await self._pacer.begin(self._journey, lane, self._target, self._max_wait_s)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self._lane.learned.went_well()
        used = self._used_tokens(error) if self._taken.tokens else 0
        self._pacer.end(self._lane, self._taken, used)

    def _used_tokens(self, error: BaseException | None) -> int:
        """What the provider says, none where it has done nothing, else the estimate stands."""
        usage = self._journey.usage
        if usage is not None:
            return usage.total_input_tokens + usage.total_output_tokens
        if isinstance(error, CallError) and not error.outcome.may_be_billed:
            return 0
        return self._taken.tokens if self._journey.billable else 0
