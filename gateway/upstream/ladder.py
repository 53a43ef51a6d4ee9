"""One call's way down its targets: which is next, which were left out and why, what each said."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf
from typing import NamedTuple

from gateway.errors import CallError, Outcome
from gateway.schema import Plan, Target

from .accounts import Account, AccountPool, Closed
from .breaker import ORDINARY, Breaker, State, Status
from .health import Health, TargetHealth
from .retries import Failure, why_not


class Step(NamedTuple):
    """An attempt that may be made now. Whoever has it makes it, or gives it back."""

    target: Target
    pool: AccountPool
    account: Account
    health: TargetHealth
    ticket: int
    """The breaker's."""

    @property
    def is_probe(self) -> bool:
        return self.ticket != ORDINARY

    def proven(self, began_s: float, clock: Callable[[], float]) -> None:
        """It is being answered: target and key are good, whatever becomes of the answer."""
        if self.is_probe:
            self.health.breaker.leave(self.ticket, began_s, clock(), True)
        self.account.proven(self.target)

    def give_back(self, now_s: float) -> None:
        self.health.breaker.leave(self.ticket, now_s, now_s, None)


class Ladder:
    """Gives out a call's targets in the plan's order, those that may be called at the moment."""

    __slots__ = (
        "_at", "_closed", "_forced", "_health", "_live", "_open", "_probed", "_targets",
        "failures", "left_out", "sent", "stopped",
    )  # fmt: skip

    def __init__(self, plan: Plan, live: Mapping[str, AccountPool], health: Health) -> None:
        self._targets = plan.targets
        self._live = live
        self._health = health
        self._at = 0
        self._probed = self._forced = False
        self._open: list[tuple[float, Target]] = []
        self._closed: list[tuple[Closed, Target]] = []
        self.failures: list[Failure] = []
        self.left_out: dict[str, str] = {}
        """By target, a sentence each."""
        self.sent = 0
        """Attempts that went out to a provider."""
        self.stopped = ""
        """Why nothing more was tried."""

    def next(self, now_s: float) -> Step | None:
        """The next target that nobody has tried; before it, the last one with another key."""
        if self.failures and (step := self._other_account(now_s)) is not None:
            return step
        targets = self._targets
        while self._at < len(targets):
            target = targets[self._at]
            self._at += 1
            if self.failures and self._was_tried(target):
                continue
            if self.failures and (why := why_not(target, self.failures)):
                self.left_out[target.name] = why
            elif (step := self.enter(target, now_s)) is not None:
                return step
        return None

    def _other_account(self, now_s: float) -> Step | None:
        """The target that was tried last, where the trouble was the key that it was tried with."""
        target, error = self.failures[-1]
        of_the_key = error.outcome in (Outcome.UPSTREAM_CREDENTIALS, Outcome.UPSTREAM_RATE_LIMITED)
        if not of_the_key or not error.from_upstream or target.rehearsal:
            return None
        several = len(self._live[target.provider].accounts) > 1
        return self.enter(target, now_s) if several else None

    def untried(self, step: Step) -> None:
        """It was not tried after all, and is the next one again."""
        self._at = self._targets.index(step.target)
        self._probed = self._probed and not step.is_probe

    def failed(self, step: Step, error: CallError, was_sent: bool) -> None:
        """``was_sent``: it went out to the provider, as far as that could be reached."""
        self.failures.append((step.target, error))
        self.sent += was_sent

    def enter(self, target: Target, now_s: float, waits: bool = False) -> Step | None:
        """None where its accounts or its breaker are closed; why is noted. ``waits``: for the end
        of a pause that the provider has asked for.

        A call whose probe failed probes no other target: one of its attempts is enough to give.
        """
        pool = self._live[target.provider]
        account = pool.soonest(target) if waits else pool.pick(target)
        if isinstance(account, Closed):
            self._closed.append((account, target))
            self.left_out[target.name] = _sentence(target, account.reason)
            return None
        health = self._health.of(target)
        breaker = health.breaker
        ticket = ORDINARY
        if not breaker.is_closed:
            admitted = None if self._probed else breaker.enter(now_s)
            if admitted is None:
                self._leave_out(target, breaker, now_s)
                return None
            self._probed = True
            ticket = admitted
        if self.left_out:
            self.left_out.pop(target.name, None)
        return Step(target, pool, account, health, ticket)

    def last_resort(self, longest_wait_s: float = inf) -> Step | None:
        """Where nothing else is left: of the targets that were left out, the one that is due
        soonest is tried all the same. Once for each call.

        A breaker may be wrong, and an error is certain. What a provider has asked to be left
        alone, for ``longest_wait_s`` at most, is waited for by its account.
        """
        if self._forced:
            return None
        for _, target in sorted(self._open, key=lambda due: due[0]):
            account = self._live[target.provider].pick(target)
            if not isinstance(account, Closed) and self._is_new(target):
                return self._force(target, account)
        for closed, target in sorted(self._closed, key=lambda entry: entry[0].wait_s or 0.0):
            if closed.wait_s is not None and closed.wait_s <= longest_wait_s:
                account = self._live[target.provider].soonest(target)
                if not isinstance(account, Closed) and self._is_new(target):
                    return self._force(target, account)
        return None

    def nothing(self, plan: Plan) -> CallError:
        """The error of a call that could not be tried anywhere."""
        waits_s = [closed.wait_s for closed, _ in self._closed if closed.wait_s is not None]
        refused = bool(self._closed) and not waits_s
        outcome = Outcome.UPSTREAM_CREDENTIALS if refused else Outcome.UPSTREAM_RATE_LIMITED
        left_out = "; ".join((*plan.skipped, *self.left_out.values()))
        return CallError(
            outcome,
            f"nothing was sent: no target can take this call now. Left out: {left_out}.",
            retry_after_s=min(waits_s, default=None),
            from_upstream=False,
        )

    def summary(self, plan: Plan) -> CallError:
        """The last failure, with what every other candidate said and which were left out."""
        last = self.failures[-1][1]
        tried = "; ".join(
            f"{target.name}: {error.message.rstrip('.')} ({error.outcome.label})"
            for target, error in self.failures
        )
        left_out = "; ".join((*plan.skipped, *self.left_out.values()))
        told = [error.retry_after_s for _, error in self.failures]
        waits_s = [wait_s for wait_s in told if wait_s is not None]
        said = [f"{tried}."]
        if left_out:
            said.append(f"Left out: {left_out}.")
        if self.stopped:
            said.append(f"Nothing more was tried: {self.stopped}.")
        error = CallError(
            last.outcome,
            " ".join(said),
            code=last.code,
            param=last.param,
            retry_after_s=min(waits_s, default=None),
            from_upstream=last.from_upstream,
        )
        error.allowances = last.allowances
        return error

    def _is_new(self, target: Target) -> bool:
        """It was not tried yet, and may do better than those that were."""
        return not self._was_tried(target) and not why_not(target, self.failures)

    def _was_tried(self, target: Target) -> bool:
        return any(target.name == tried.name for tried, _ in self.failures)

    def _force(self, target: Target, account: Account) -> Step:
        self._forced = True
        self.left_out.pop(target.name, None)
        pool, health = self._live[target.provider], self._health.of(target)
        return Step(target, pool, account, health, ORDINARY)

    def _leave_out(self, target: Target, breaker: Breaker, now_s: float) -> None:
        status = breaker.status(now_s)
        self._open.append((status.retry_in_s, target))
        self.left_out[target.name] = f"{target.name}: {_why_open(status)}"


def _why_open(status: Status) -> str:
    if status.state is State.OPEN:
        return f"its breaker is open for {status.retry_in_s:.1f} s after {status.why}"
    return f"its breaker is half open, one call is trying it, after {status.why}"


def _sentence(target: Target, reason: str) -> str:
    return reason if target.name in reason else f"{target.name}: {reason}"
