"""The calls' way to the ledger: they wait for a shared commit, never for one of their own.

The loop's thread never touches the database. While that is away, holds are refused within a second
and what ended is kept until it can be written down; nothing that was held is forgotten.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

from gateway.errors import CallError, Outcome
from gateway.ledger import Closing, Granted, HoldRequest, Note, Verdict

from .batches import MakeClosing, Noting, Ticket
from .ledger_thread import Books, LedgerThread

HOLD_WAIT_S = 0.7
"""How long a call waits for its hold: it is told to come back within a second, all in all, and
under load other calls come before its turn to be told. A loop that comes back late has to read
first what the database said meanwhile, so it is counted in rounds of the loop."""
ROUNDS = 10
CLOSING_WAIT_S = 0.005
"""How long what ended may wait for holds to be committed with."""
RETRY_AFTER_S = 2.0


class GroupCommit:
    """The only way to the ledger for calls. Starts its thread with the first one."""

    def __init__(
        self,
        books: Books,
        unavailable: type[Exception],
        recover: Callable[[HoldRequest], Closing],
        report: Callable[[str, BaseException], None],
    ) -> None:
        """``unavailable`` is what ``books`` raises while the database cannot be used; ``recover``
        says how a hold ends whose process died."""
        self._thread = LedgerThread(books, unavailable, recover, report, self)
        self._ended: list[MakeClosing] = []
        self._notings: list[Noting] = []
        self._ended_timer: asyncio.TimerHandle | None = None
        self._waiting: deque[Ticket] = deque()
        self._check: asyncio.TimerHandle | None = None
        self._round = 0
        self._silent_since: int | None = None
        """After so many commits, calls were refused because the database did not answer in time."""
        self.open_holds = self._thread.open_holds
        self.tally = self._thread.tally

    def start(self) -> asyncio.AbstractEventLoop:
        """Begin to work, if that was not done before; the first call would do it too."""
        return self._thread.start()

    async def hold(self, request: HoldRequest) -> Verdict:
        """Raises CallError(LEDGER_UNAVAILABLE) if the database does not answer in time."""
        loop = self.start()
        ticket = Ticket(request, loop.create_future(), self._round)
        self._waiting.append(ticket)
        if self._check is None:
            self._check = loop.call_later(HOLD_WAIT_S / ROUNDS, self._give_up_late)
        self._pass_on_ended()
        self._thread.put(ticket)
        try:
            return await ticket.verdict
        except asyncio.CancelledError:
            if not ticket.verdict.cancelled():  # granted in the very moment that the call left
                self._release(request)
            raise

    def close(self, make_closing: MakeClosing) -> None:
        """Write down how a call ended. It cannot fail and nobody waits; ``make_closing`` runs in
        the other thread."""
        self._ended.append(make_closing)
        self._pass_on_soon()

    def note(self, note: Note, written: Callable[[], None]) -> None:
        """Write down what a part of a call used, with what is written next. ``written`` is called
        on the loop once that is done, and never if the call's hold is gone."""
        self._notings.append(Noting(note, written))
        self._pass_on_soon()

    async def stop(self, timeout_s: float) -> None:
        """Write down everything that has ended, and end the thread."""
        deadline_s = time.monotonic() + timeout_s
        is_over = False
        while not is_over:
            self._pass_on_ended()
            if not await self._thread.finish(max(0.0, deadline_s - time.monotonic())):
                self.tally.problem = "the database did not take what was left in time"
                break
            is_over = not self.backlog
            if not is_over:  # holds that were granted meanwhile, to calls that had left
                self.start()
        if self._check is not None:
            self._check.cancel()
            self._check = None

    @property
    def backlog(self) -> int:
        """Calls that have ended and are not written down."""
        return len(self._ended) + self._thread.backlog

    @property
    def lag_s(self) -> float:
        """How long ago the oldest of them ended."""
        return self._thread.lag_s

    @property
    def usable(self) -> bool:
        """Whether calls can be paid for: the database works, and so does the thread."""
        is_silent = self._silent_since == self.tally.commits
        return not (self._thread.is_dead or self.tally.problem or is_silent)

    def _pass_on_soon(self) -> None:
        if self._ended_timer is None:
            self._ended_timer = self.start().call_later(CLOSING_WAIT_S, self._pass_on_ended)

    def _pass_on_ended(self) -> None:
        if self._ended_timer is not None:
            self._ended_timer.cancel()
            self._ended_timer = None
        if self._ended:
            self._thread.put_ended(self._ended)
            self._ended.clear()
        if self._notings:
            for noting in self._notings:
                self._thread.put(noting)
            self._notings.clear()

    def _give_up_late(self) -> None:
        """Calls must not wait for a database that does not answer."""
        self._check = None
        self._round += 1
        while self._waiting and (
            self._waiting[0].verdict.done() or self._round >= self._waiting[0].asked + ROUNDS
        ):
            ticket = self._waiting.popleft()
            if not ticket.verdict.done():
                self.tally.unavailable += 1
                self._silent_since = self.tally.commits
                ticket.verdict.set_exception(_unavailable())
        if self._waiting:
            loop = asyncio.get_running_loop()
            self._check = loop.call_later(HOLD_WAIT_S / ROUNDS, self._give_up_late)

    def decided(self, tickets: list[Ticket], verdicts: list[Verdict]) -> None:
        """Tell the calls; a hold whose call has left in the meantime is released."""
        for ticket, verdict in zip(tickets, verdicts, strict=True):
            if ticket.verdict.done():
                self._release(ticket.request)
            else:
                ticket.verdict.set_result(verdict)

    def failed(self, tickets: list[Ticket]) -> None:
        """Nobody knows whether the holds stand: tell the calls, and release them in any case."""
        for ticket in tickets:
            if not ticket.verdict.done():
                self.tally.unavailable += 1
                ticket.verdict.set_exception(_unavailable())
            self._release(ticket.request)

    def noted(self, notings: list[Noting], verdicts: list[Verdict]) -> None:
        """A note whose call has ended is of no use any more."""
        for noting, verdict in zip(notings, verdicts, strict=True):
            if isinstance(verdict, Granted):
                noting.written()

    def _release(self, request: HoldRequest) -> None:
        """More for a hold that stands ends together with that hold."""
        if not request.extends:
            self.close(lambda: Closing(request))


def _unavailable() -> CallError:
    return CallError(
        Outcome.LEDGER_UNAVAILABLE,
        "nothing was sent: the money for this call could not be set aside, because the ledger's "
        "database cannot be used; the gateway's log says why. Try again in a moment.",
        retry_after_s=RETRY_AFTER_S,
    )
