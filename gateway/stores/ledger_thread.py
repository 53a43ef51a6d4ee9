"""The one thread that uses the ledger's database: it writes down what calls have left for it.

What comes while a commit is under way goes into the next one; when little comes, each is committed
at once. What the database cannot take is kept until it can.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, Protocol

from gateway.ledger import Closing, Granted, HoldRequest, Note, Verdict

from .batches import Batch, MakeClosing, Noting, Ticket
from .tally import OpenHolds, Tally

MAX_BATCH = 512
RETRY_S = 0.25
CHORES_S = 3.0


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


class Calls(Protocol):
    """Who is told what became of it, on the loop."""

    def decided(self, tickets: list[Ticket], verdicts: list[Verdict]) -> None: ...

    def failed(self, tickets: list[Ticket]) -> None:
        """Nobody knows whether the holds stand."""

    def noted(self, notings: list[Noting], verdicts: list[Verdict]) -> None: ...


class LedgerThread:
    """What is public is called on the loop's thread, the rest on its own."""

    def __init__(
        self,
        books: Books,
        unavailable: type[Exception],
        recover: Callable[[HoldRequest], Closing],
        report: Callable[[str, BaseException], None],
        calls: Calls,
    ) -> None:
        """``unavailable`` is what ``books`` raises while the database cannot be used; ``recover``
        says how a hold ends whose process died."""
        self._books = books
        self._unavailable = unavailable
        self._recover = recover
        self._report = report
        self._calls = calls
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._queue: SimpleQueue[Ticket | MakeClosing | Noting | None] = SimpleQueue()
        self._unwritten: deque[Closing] = deque()
        self._unnoted: list[Noting] = []
        self._ended_at_s: deque[float] = deque()
        """When each of the calls that were passed on ended, until it is written down."""
        self.open_holds = OpenHolds()
        self.tally = Tally()

    def start(self) -> asyncio.AbstractEventLoop:
        """Begin to work, if that was not done before; the loop on which calls are told."""
        if self._thread is None:
            self._loop = asyncio.get_running_loop()
            self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)
            self._thread.start()
        assert self._loop is not None
        return self._loop

    def put(self, item: Ticket | Noting) -> None:
        self._queue.put(item)

    def put_ended(self, makes: Sequence[MakeClosing]) -> None:
        """Calls that have ended; how each did is put into rows in this thread."""
        now_s = time.monotonic()
        for make_closing in makes:
            self._ended_at_s.append(now_s)
            self._queue.put(make_closing)

    async def finish(self, timeout_s: float) -> bool:
        """Write down everything, sign off and end; whether that was done in time."""
        if self._thread is not None:
            self._queue.put(None)
            await asyncio.to_thread(self._thread.join, timeout_s)
            if self._thread.is_alive():
                return False
            self._thread = None
        return True

    @property
    def is_dead(self) -> bool:
        """It was begun, and ended by itself."""
        return self._thread is not None and not self._thread.is_alive()

    @property
    def backlog(self) -> int:
        """Calls that have ended and are not written down."""
        return len(self._ended_at_s)

    @property
    def lag_s(self) -> float:
        """How long ago the oldest of them ended."""
        try:
            return max(0.0, time.monotonic() - self._ended_at_s[0])
        except IndexError:  # the last one may have been written down just now
            return 0.0

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

    def _take(self, timeout_s: float) -> tuple[list[Ticket], bool]:
        """The holds that are waited for, and whether nothing more will come. Closings go to
        ``_unwritten``, notes to ``_unnoted``."""
        tickets: list[Ticket] = []
        try:
            item = self._queue.get(timeout=timeout_s) if timeout_s else self._queue.get_nowait()
            while item is not None:
                if isinstance(item, Ticket):
                    if not item.verdict.done():
                        tickets.append(item)
                elif isinstance(item, Noting):
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

    def _commit(self, tickets: list[Ticket]) -> None:
        """Write down what is waiting. What the database cannot take now waits on."""
        count = min(len(self._unwritten), MAX_BATCH)
        closings = [self._unwritten.popleft() for _ in range(count)]
        notings, self._unnoted = self._unnoted[:MAX_BATCH], self._unnoted[MAX_BATCH:]
        batch = Batch(tickets, closings, notings)
        if batch.size:
            self._write(batch)

    def _write(self, batch: Batch) -> None:
        began_s = time.perf_counter()
        tickets, closings, notings = batch
        holds, notes = [ticket.request for ticket in tickets], [each.note for each in notings]
        try:
            verdicts = self._books.commit(holds, closings, notes)
        except self._unavailable as error:
            self._has_problem(error)
            self._unwritten.extend(closings)
            self._unnoted = notings + self._unnoted
            self._tell(self._calls.failed, tickets)
        except Exception as error:
            if batch.size == 1:
                self._give_up(batch, error)
            else:  # one that nobody foresaw must not take the others with it
                for part in batch.apart():
                    self._write(part)
        else:
            of_holds, of_notes = verdicts[: len(holds)], verdicts[len(holds) :]
            self._count(holds, of_holds, closings, time.perf_counter() - began_s)
            self._tell(self._calls.decided, tickets, of_holds)
            self._tell(self._calls.noted, notings, of_notes)

    def _give_up(self, batch: Batch, error: BaseException) -> None:
        """A hold that cannot be closed stands until this process ends, and is recovered then."""
        tickets, closings, notings = batch
        self._report(f"the ledger failed on {tickets or closings or notings}", error)
        self._tell(self._calls.failed, tickets)
        for _ in closings:
            self._ended_at_s.popleft()

    def _do_chores(self) -> None:
        try:
            lost = self._books.do_chores()
        except self._unavailable as error:
            self._has_problem(error)
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
        self,
        holds: list[HoldRequest],
        verdicts: list[Verdict],
        closings: list[Closing],
        took_s: float,
    ) -> None:
        tally = self.tally
        for hold, verdict in zip(holds, verdicts, strict=True):
            is_granted = isinstance(verdict, Granted)
            if is_granted:
                self.open_holds.add(hold)
            if not hold.is_only_at_risk:  # that asks for no money
                tally.granted += is_granted
                tally.refused += not is_granted
        for closing in closings:
            self.open_holds.remove(closing.hold.id)
            self._ended_at_s.popleft()
        tally.closed += len(closings)
        tally.commits += 1
        tally.commit_s += took_s
        tally.problem = ""

    def _has_problem(self, error: Exception) -> None:
        """Write down what is wrong with the database, once; clients are not told its words."""
        if not self.tally.problem:
            self._report("the ledger's database cannot be used", error)
        self.tally.problem = str(error) or type(error).__name__

    def _tell(self, how: Callable[..., None], whom: Sequence[Any], *what: Any) -> None:
        """On the loop's thread, unless that has ended already."""
        assert self._loop is not None
        if whom and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(how, whom, *what)
