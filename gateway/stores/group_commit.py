"""One thread that commits: calls wait for a shared commit, never for one of their own.

What comes while a commit is under way goes into the next one; when little comes, each is committed
at once. The loop's thread never touches the database. While that is away, holds are refused within
a second and what ended is kept until it can be written down; nothing that was held is forgotten.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, Protocol

from gateway.errors import CallError, Outcome
from gateway.ledger import Closing, Granted, HoldRequest, Note, Verdict

from .tally import OpenHolds, Tally

MAX_BATCH = 512
HOLD_WAIT_S = 0.7
"""How long a call waits for its hold: it is told to come back within a second, all in all, and
under load other calls come before its turn to be told. A loop that comes back late has to read
first what the database said meanwhile, so it is counted in rounds of the loop."""
ROUNDS = 10
CLOSING_WAIT_S = 0.005
"""How long what ended may wait for holds to be committed with."""
RETRY_S = 0.25
CHORES_S = 3.0
RETRY_AFTER_S = 2.0


class Books(Protocol):
    """The ledger's database, as the one thread uses it."""

    def commit(
        self, holds: Sequence[HoldRequest], closings: Sequence[Closing], notes: Sequence[Note]
    ) -> list[Verdict]:
        """On the holds, then on the notes."""

    def do_chores(self) -> list[HoldRequest]:
        """Renew the lease; the holds that have to be closed for processes that died."""

    def sign_off(self) -> None:
        """This process has nothing more to do with the ledger."""


MakeClosing = Callable[[], Closing]


@dataclass(slots=True)
class _Ticket:
    """A hold that somebody waits for."""

    request: HoldRequest
    verdict: asyncio.Future[Verdict]
    asked: int
    """In which of the rounds of ``_give_up_late``."""


@dataclass(slots=True)
class _Noting:
    """A note, and who is told once it is written."""

    note: Note
    written: Callable[[], None]


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
        self._books = books
        self._unavailable = unavailable
        self._recover = recover
        self._report = report
        self._queue: SimpleQueue[_Ticket | MakeClosing | _Noting | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended: list[MakeClosing] = []
        self._ended_timer: asyncio.TimerHandle | None = None
        self._waiting: deque[_Ticket] = deque()
        self._unwritten: deque[Closing] = deque()
        self._notings: list[_Noting] = []
        self._unnoted: list[_Noting] = []
        self._ended_at_s: deque[float] = deque()
        """When each of those passed on ended, until it is written down."""
        self._silent = False
        """Calls were refused because the database did not answer in time, and has not since."""
        self.open_holds = OpenHolds()
        self._check: asyncio.TimerHandle | None = None
        self._round = 0
        self.tally = Tally()

    # On the loop's thread.

    def start(self) -> asyncio.AbstractEventLoop:
        """Begin to work, if that was not done before; the first call would do it too."""
        if self._thread is None:
            self._loop = asyncio.get_running_loop()
            self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)
            self._thread.start()
        assert self._loop is not None
        return self._loop

    async def hold(self, request: HoldRequest) -> Verdict:
        """Raises CallError(LEDGER_UNAVAILABLE) if the database does not answer in time."""
        loop = self.start()
        ticket = _Ticket(request, loop.create_future(), self._round)
        self._waiting.append(ticket)
        if self._check is None:
            self._check = loop.call_later(HOLD_WAIT_S / ROUNDS, self._give_up_late)
        self._pass_on_ended()
        self._queue.put(ticket)
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
        if self._ended_timer is None:
            self._ended_timer = self.start().call_later(CLOSING_WAIT_S, self._pass_on_ended)

    def note(self, note: Note, written: Callable[[], None]) -> None:
        """Write down what a part of a call used, with what is written next. ``written`` is called
        on the loop once that is done, and never if the call's hold is gone."""
        self._notings.append(_Noting(note, written))
        if self._ended_timer is None:
            self._ended_timer = self.start().call_later(CLOSING_WAIT_S, self._pass_on_ended)

    async def stop(self, timeout_s: float) -> None:
        """Write down everything that has ended, and end the thread."""
        deadline_s = time.monotonic() + timeout_s
        while self._thread is not None:
            self._pass_on_ended()
            self._queue.put(None)
            await asyncio.to_thread(self._thread.join, max(0.0, deadline_s - time.monotonic()))
            if self._thread.is_alive():
                self.tally.problem = "the database did not take what was left in time"
                break
            self._thread = None
            if self.backlog:  # holds that were granted meanwhile, to calls that had left
                self.start()
        if self._check is not None:
            self._check.cancel()
            self._check = None

    @property
    def backlog(self) -> int:
        """Calls that have ended and are not written down."""
        return len(self._ended) + len(self._ended_at_s)

    @property
    def lag_s(self) -> float:
        """How long ago the oldest of them ended."""
        try:
            return max(0.0, time.monotonic() - self._ended_at_s[0])
        except IndexError:  # the other thread may have written down the last one just now
            return 0.0

    @property
    def usable(self) -> bool:
        """Whether calls can be paid for: the database works, and so does the thread."""
        working = self._thread is None or self._thread.is_alive()
        return working and not self.tally.problem and not self._silent

    def _pass_on_ended(self) -> None:
        if self._ended_timer is not None:
            self._ended_timer.cancel()
            self._ended_timer = None
        now_s = time.monotonic()
        for make_closing in self._ended:
            self._ended_at_s.append(now_s)
            self._queue.put(make_closing)
        self._ended.clear()
        if self._notings:
            for noting in self._notings:
                self._queue.put(noting)
            self._notings.clear()

    def _give_up_late(self) -> None:
        """Calls must not wait for a database that does not answer."""
        assert self._loop is not None
        self._check = None
        self._round += 1
        while self._waiting and (
            self._waiting[0].verdict.done() or self._round >= self._waiting[0].asked + ROUNDS
        ):
            ticket = self._waiting.popleft()
            if not ticket.verdict.done():
                self.tally.unavailable += 1
                self._silent = True
                ticket.verdict.set_exception(_unavailable())
        if self._waiting:
            self._check = self._loop.call_later(HOLD_WAIT_S / ROUNDS, self._give_up_late)

    def _deliver(self, tickets: list[_Ticket], verdicts: list[Verdict]) -> None:
        """Tell the calls; a hold whose call has left in the meantime is released."""
        for ticket, verdict in zip(tickets, verdicts, strict=True):
            if ticket.verdict.done():
                self._release(ticket.request)
            else:
                ticket.verdict.set_result(verdict)

    def _deliver_notes(self, notings: list[_Noting], verdicts: list[Verdict]) -> None:
        for noting, verdict in zip(notings, verdicts, strict=True):
            if isinstance(verdict, Granted):
                noting.written()

    def _fail(self, tickets: list[_Ticket]) -> None:
        """Nobody knows whether the holds stand: tell the calls, and release them in any case."""
        for ticket in tickets:
            if not ticket.verdict.done():
                self.tally.unavailable += 1
                ticket.verdict.set_exception(_unavailable())
            self._release(ticket.request)

    def _release(self, request: HoldRequest) -> None:
        """More for a hold that stands ends together with that hold."""
        if not request.extends:
            self.close(lambda: Closing(request))

    # On the ledger's thread.

    def _run(self) -> None:
        chores_s = 0.0
        stopping = False
        while not (stopping and not self._unwritten):
            tickets, last = self._take(self._patience_s(chores_s))
            stopping = stopping or last
            self._commit(tickets)
            if time.monotonic() >= chores_s:
                chores_s = time.monotonic() + CHORES_S
                self._do_chores()
        try:
            self._books.sign_off()
        except self._unavailable as error:
            self._report("the ledger could not be signed off", error)

    def _patience_s(self, chores_s: float) -> float:
        """How long to wait for work."""
        if self._unwritten or self._unnoted:
            return RETRY_S if self.tally.problem else 0.0
        return max(0.0, chores_s - time.monotonic())

    def _take(self, timeout_s: float) -> tuple[list[_Ticket], bool]:
        """The holds that are waited for, and whether nothing more will come. Closings go to
        ``_unwritten``, notes to ``_unnoted``."""
        tickets: list[_Ticket] = []
        try:
            item = self._queue.get(timeout=timeout_s) if timeout_s else self._queue.get_nowait()
            while item is not None:
                if isinstance(item, _Ticket):
                    if not item.verdict.done():
                        tickets.append(item)
                elif isinstance(item, _Noting):
                    self._unnoted.append(item)
                else:
                    self._unwritten.extend(self._made(item))
                if len(tickets) >= MAX_BATCH:
                    return tickets, False
                item = self._queue.get_nowait()
        except Empty:
            return tickets, False
        return tickets, True

    def _made(self, make_closing: MakeClosing) -> list[Closing]:
        """One that cannot be made must not end the thread. Its hold stands until this process
        ends, and is recovered then."""
        try:
            return [make_closing()]
        except Exception as error:
            self._report("the end of a call could not be put into rows", error)
            self._ended_at_s.popleft()
            return []

    def _commit(self, tickets: list[_Ticket]) -> None:
        """Write down what is waiting. What the database cannot take now is ``_unwritten`` again."""
        count = min(len(self._unwritten), MAX_BATCH)
        closings = [self._unwritten.popleft() for _ in range(count)]
        notings, self._unnoted = self._unnoted[:MAX_BATCH], self._unnoted[MAX_BATCH:]
        if tickets or closings or notings:
            self._write(tickets, closings, notings)

    def _write(
        self, tickets: list[_Ticket], closings: list[Closing], notings: list[_Noting]
    ) -> None:
        began_s = time.perf_counter()
        holds, notes = [ticket.request for ticket in tickets], [each.note for each in notings]
        try:
            verdicts = self._books.commit(holds, closings, notes)
        except self._unavailable as error:
            self._note(error)
            self._unwritten.extend(closings)
            self._unnoted += notings
            self._later(self._fail, tickets)
        except Exception as error:
            if len(tickets) + len(closings) + len(notings) > 1:
                self._write_apart(tickets, closings, notings)
            else:
                self._give_up(tickets, closings, notings, error)
        else:
            of_holds, of_notes = verdicts[: len(holds)], verdicts[len(holds) :]
            self._count(holds, of_holds, len(closings), time.perf_counter() - began_s)
            self._keep_count(tickets, of_holds, closings)
            self._later(self._deliver, tickets, of_holds)
            self._later(self._deliver_notes, notings, of_notes)

    def _write_apart(
        self, tickets: list[_Ticket], closings: list[Closing], notings: list[_Noting]
    ) -> None:
        """One that nobody foresaw must not take the others with it: look for it by halves."""
        if bool(tickets) + bool(closings) + bool(notings) > 1:
            self._write([], closings, [])
            self._write(tickets, [], [])
            self._write([], [], notings)
            return
        middle = (len(tickets) + len(closings) + len(notings)) // 2
        self._write(tickets[:middle], closings[:middle], notings[:middle])
        self._write(tickets[middle:], closings[middle:], notings[middle:])

    def _give_up(
        self,
        tickets: list[_Ticket],
        closings: list[Closing],
        notings: list[_Noting],
        error: BaseException,
    ) -> None:
        """A hold that cannot be closed stands until this process ends, and is recovered then."""
        self._report(f"the ledger failed on {tickets or closings or notings}", error)
        self._later(self._fail, tickets)
        for _ in closings:
            self._ended_at_s.popleft()

    def _keep_count(
        self, tickets: list[_Ticket], verdicts: list[Verdict], closings: list[Closing]
    ) -> None:
        for ticket, verdict in zip(tickets, verdicts, strict=True):
            if isinstance(verdict, Granted):
                self.open_holds.add(ticket.request)
        for closing in closings:
            self.open_holds.remove(closing.hold.id)
            self._ended_at_s.popleft()

    def _do_chores(self) -> None:
        try:
            lost = self._books.do_chores()
        except self._unavailable as error:
            self._note(error)
            return
        except Exception as error:
            self._report("the ledger's chores failed", error)
            return
        self.tally.problem = ""
        now_s = time.monotonic()
        known = {closing.hold.id for closing in self._unwritten}
        for hold in lost:
            if hold.id not in known:  # while they cannot be written, the chores find them again
                self._ended_at_s.append(now_s)
                self._unwritten.extend(self._made(partial(self._recover, hold)))

    def _count(
        self, holds: list[HoldRequest], verdicts: list[Verdict], closings: int, took_s: float
    ) -> None:
        """What only puts more of a hold at risk asks for no money."""
        tally = self.tally
        asked = [
            verdict
            for verdict, hold in zip(verdicts, holds, strict=True)
            if hold.at_risk_nano is None or not hold.is_only_at_risk
        ]
        granted = sum(isinstance(verdict, Granted) for verdict in asked)
        tally.granted += granted
        tally.refused += len(asked) - granted
        tally.closed += closings
        tally.commits += 1
        self._silent = False
        tally.commit_s += took_s
        tally.problem = ""

    def _note(self, error: Exception) -> None:
        """Write down what is wrong with the database, once; clients are not told its words."""
        if not self.tally.problem:
            self._report("the ledger's database cannot be used", error)
        self.tally.problem = str(error) or type(error).__name__

    def _later(self, deliver: Callable[..., None], whom: Sequence[Any], *what: Any) -> None:
        """Back on the loop's thread, unless that has ended already."""
        assert self._loop is not None
        if whom and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(deliver, whom, *what)


def _unavailable() -> CallError:
    return CallError(
        Outcome.LEDGER_UNAVAILABLE,
        "nothing was sent: the money for this call could not be set aside, because the ledger's "
        "database cannot be used; the gateway's log says why. Try again in a moment.",
        retry_after_s=RETRY_AFTER_S,
    )
