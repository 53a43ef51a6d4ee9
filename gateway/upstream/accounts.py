"""The accounts at a provider, each with its own key and limits, and which of them is next.

An account is an entry of ``providers:`` with one of its keys. A key that the provider refuses is
retired for a while, with an alarm; a target that answers 429 is parked at that account alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, NamedTuple, Protocol

from gateway.contracts import AllowanceReader, Upstream
from gateway.errors import CallError, Outcome
from gateway.journey import Journey
from gateway.schema import Allowances, Target, Timeouts

from .retirement import Probed, Retirements, Tell


class Closed(NamedTuple):
    """Why no account can take a target now."""

    reason: str
    wait_s: float | None
    """Until one can, if that is only a matter of waiting."""
    outcome: Outcome = Outcome.UPSTREAM_RATE_LIMITED


class Pace(Protocol):
    """An account's own limits: those configured, and those that the provider tells of."""

    @property
    def waiting(self) -> int: ...

    def turn(
        self, journey: Journey, target: Target, max_wait_s: float
    ) -> AbstractAsyncContextManager[None]: ...

    def told(self, target: Target, allowances: Allowances) -> None: ...

    def park(self, target: Target, retry_after_s: float | None) -> float: ...

    def parked_s(self, target: Target) -> float: ...

    def parked_targets(self) -> int: ...

    def has_room(self, target: Target) -> bool: ...

    def opens_in_s(self, target: Target) -> float: ...

    async def close(self) -> None: ...


class Account:
    """One key at one provider. ``provider`` translates for it, with its key."""

    def __init__(
        self, name: str, provider: Any, pace: Pace, clock: Callable[[], float], alarm: Tell
    ) -> None:
        self.name = name
        """``openai``, or ``openai#2`` where an entry has several keys."""
        self.provider = provider
        self.pace = pace
        self._read_allowances = (
            provider.read_allowances if isinstance(provider, AllowanceReader) else None
        )
        self._retired = Retirements(name, clock, alarm)

    def turn(
        self, journey: Journey, target: Target, max_wait_s: float
    ) -> AbstractAsyncContextManager[None]:
        """Wait for a turn and keep it while calling; what was reserved is settled at its end.

        Raises CallError: UPSTREAM_RATE_LIMITED for a turn that does not come in time, at once if
        that is known; UPSTREAM_CREDENTIALS if the key was retired meanwhile.
        """
        turn = self.pace.turn(journey, target, max_wait_s)
        return _Probe(self, target, turn) if self._retired else turn

    def learn(self, target: Target, headers: Mapping[str, str]) -> None:
        """The head of any answer has come."""
        if self._read_allowances is not None:
            allowances = self._read_allowances(headers)
            if allowances is not None:
                self.pace.told(target, allowances)

    def failed(self, target: Target, error: CallError) -> None:
        """An attempt ended so. A 429 parks the target here, a refused key is retired.

        What a stand-in plays is meant for one call."""
        if target.rehearsal or not error.from_upstream:
            return
        if error.outcome is Outcome.UPSTREAM_RATE_LIMITED:
            self.pace.park(target, error.retry_after_s)
        elif error.outcome is Outcome.UPSTREAM_CREDENTIALS:
            self._retired.refused(target.name, error.upstream_status)

    def closed(self, target: Target) -> Closed | None:
        """Why the target cannot be sent anything here now."""
        if self._retired and (why := self._retired.why_closed(target.name)) is not None:
            return Closed(why, None, Outcome.UPSTREAM_CREDENTIALS)
        if parked_s := self.pace.parked_s(target):
            return Closed(
                f"{target.name} is left alone for {parked_s:.1f} s at {self.name}, "
                "which had too many requests",
                parked_s,
            )
        return None

    @property
    def is_retired(self) -> bool:
        """The provider refuses the key, be it for one target."""
        return bool(self._retired)

    def restore(self) -> None:
        """The key counts as good."""
        self._retired.restore()

    def proven(self, target: Target) -> None:
        """The provider answers a call that tries a retired key."""
        self._retired.proven(target.name)

    def begin_probe(self, target: Target) -> Probed:
        """Raises CallError(UPSTREAM_CREDENTIALS) if another call probes already."""
        if (why := self._retired.why_closed(target.name)) is not None:
            raise CallError(Outcome.UPSTREAM_CREDENTIALS, why, from_upstream=False)
        return self._retired.begin_probe(target.name)

    def end_probe(self, target: Target, probed: Probed, error: BaseException | None) -> None:
        if isinstance(error, CallError) and error.outcome is Outcome.UPSTREAM_CREDENTIALS:
            self.failed(target, error)
        self._retired.end_probe(probed, error is None)


class _Probe(AbstractAsyncContextManager[None]):
    """A turn at an account with a retired key: finds out whether it is taken again."""

    def __init__(
        self, account: Account, target: Target, turn: AbstractAsyncContextManager[None]
    ) -> None:
        self._account = account
        self._target = target
        self._turn = turn
        self._probed: Probed = ()

    async def __aenter__(self) -> None:
        self._probed = self._account.begin_probe(self._target)
        try:
            await self._turn.__aenter__()
        except BaseException as error:
            self._account.end_probe(self._target, self._probed, error)
            raise

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._account.end_probe(self._target, self._probed, error)
        await self._turn.__aexit__(kind, error, trace)


class AccountPool:
    """The accounts of one live provider, over one upstream."""

    def __init__(self, accounts: Sequence[Account], upstream: Upstream, timeouts: Timeouts) -> None:
        self.accounts = tuple(accounts)
        self.upstream = upstream
        self.timeouts = timeouts
        self._next = 0

    def pick(self, target: Target) -> Account | Closed:
        """The next account in turn that has room; if none has, the one where a call can go first,
        or the fewest wait; Closed if at each of them the key is retired or the target parked."""
        accounts = self.accounts
        if len(accounts) == 1:
            return accounts[0].closed(target) or accounts[0]
        open_: list[Account] = []
        closed: list[Closed] = []
        for step in range(len(accounts)):
            index = (self._next + step) % len(accounts)
            account = accounts[index]
            if (why := account.closed(target)) is not None:
                closed.append(why)
            elif account.pace.has_room(target):
                self._next = index + 1
                return account
            else:
                open_.append(account)
        if open_:
            return min(open_, key=lambda it: (it.pace.opens_in_s(target), it.pace.waiting))
        return _merged(closed)

    def soonest(self, target: Target) -> Account | Closed:
        """For a call that has nowhere else to go: the account where the target's park ends first;
        its turn waits for that, within the queue's bounds. Closed if all keys are retired."""
        best: tuple[float, Account] | None = None
        closed: list[Closed] = []
        for account in self.accounts:
            why = account.closed(target)
            if why is not None and why.wait_s is None:
                closed.append(why)
                continue
            wait_s = why.wait_s or 0.0 if why is not None else 0.0
            if best is None or wait_s < best[0]:
                best = wait_s, account
        return best[1] if best is not None else _merged(closed)

    @property
    def waiting(self) -> int:
        """Calls that wait for a turn."""
        return sum(account.pace.waiting for account in self.accounts)

    @property
    def parked_targets(self) -> int:
        return sum(account.pace.parked_targets() for account in self.accounts)

    @property
    def retired_keys(self) -> int:
        return sum(account.is_retired for account in self.accounts)

    def restore(self) -> None:
        """Every key counts as good."""
        for account in self.accounts:
            account.restore()

    async def close(self) -> None:
        for account in self.accounts:
            await account.pace.close()
        await self.upstream.close()


def _merged(closed: Sequence[Closed]) -> Closed:
    """Why none of several accounts can take it, with the shortest wait."""
    waits_s = [why.wait_s for why in closed if why.wait_s is not None]
    outcome = Outcome.UPSTREAM_RATE_LIMITED if waits_s else Outcome.UPSTREAM_CREDENTIALS
    reason = "; ".join(why.reason for why in closed)
    return Closed(reason, min(waits_s) if waits_s else None, outcome)
