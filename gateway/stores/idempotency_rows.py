"""Who was first with an ``Idempotency-Key``, asked of the database from the event loop.

Each question is a short transaction in a thread of its own, on one connection, beside the
ledger's. What cannot be written down is written down later, before anything else is asked.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from gateway.errors import CallError, ConfigError, Outcome
from gateway.kept import Claim, Earlier, Fate
from gateway.ledger import MICRO

from .connections import Busy, Connection, StoreUnavailable
from .idempotency_table import Ending, claim_key, packed, sweep, write_ending
from .opening import connector
from .patience import patience

MAX_BYTES = 1 << 30
"""Of all kept answers, packed; beyond it the oldest are given up, and their keys stay taken."""
SWEEP_S = 60.0
CLAIM_WAIT_S = 0.9
RETRY_AFTER_S = 2.0

T = TypeVar("T")


class IdempotencyRows:
    """Implements the room of answers' ``Claims``. ``owner`` is the ledger's name for this process.

    The thread starts with the first question.
    """

    def __init__(
        self,
        url: str,
        owner: str,
        wall_clock: Callable[[], float],
        report: Callable[[str, BaseException], None],
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._open_connection = connector(url)
        self._owner = owner
        self._wall_clock = wall_clock
        self._report = report
        self._max_bytes = max_bytes
        self._thread = ThreadPoolExecutor(1, "idempotency")
        self._connection: Connection | None = None
        self._unwritten: deque[Ending] = deque()
        self._disowned: set[str] = set()
        """Calls that have a key, or are about to, and will never use it."""
        self._is_late = False
        """Something could not be written down, and that was reported."""
        self._is_used = False
        self._swept_s = 0.0

    # On the loop's thread.

    async def claim(self, claim: Claim) -> Earlier | None:
        """None: the key is this call's now. Raises CallError(LEDGER_UNAVAILABLE) in a second."""
        self._is_used = True
        asked = self._thread.submit(self._try, lambda: self._claim(claim))
        try:
            async with patience(CLAIM_WAIT_S):
                return await asyncio.shield(_heard(asked))
        except TimeoutError:
            self._disown(asked, claim)
            raise _unavailable() from None
        except asyncio.CancelledError:
            self._disown(asked, claim)
            raise
        except (StoreUnavailable, ConfigError) as error:
            raise _unavailable() from error

    def end(self, claim: Claim, fate: Fate, answer: bytes | None) -> asyncio.Future[None]:
        """Write down what became of it, now or as soon as that is possible."""
        return _heard(self._thread.submit(self._end, claim, fate, answer))

    def free(self, claim: Claim) -> None:
        """It came to nothing: the key may be used again."""
        self._thread.submit(self._end, claim, None, None)

    def look(self) -> None:
        """What has to be done every second or so."""
        if self._is_used:
            self._thread.submit(self._do_chores)

    async def stop(self, timeout_s: float) -> None:
        """Write down what is left; what the database does not take in time is given up, and the
        calls concerned are in doubt. A second time changes nothing."""
        late: set[asyncio.Future[None]] = set()
        if self._is_used:
            self._is_used = False
            last = _heard(self._thread.submit(self._last))
            _, late = await asyncio.wait({last}, timeout=timeout_s)
        # The interpreter does not end before its threads do.
        self._thread.shutdown(wait=False, cancel_futures=bool(late))

    def _disown(self, asked: Future[Earlier | None], claim: Claim) -> None:
        """Nobody waits for the claim any more: if it is made all the same, the key is free."""

        def free(done: Future[Earlier | None]) -> None:
            if done.exception() is None and done.result() is None:
                self._disowned.add(claim.call_id)  # an earlier try's ending has taken it out
                self.free(claim)
            else:
                self._disowned.discard(claim.call_id)

        if not asked.cancel():
            self._disowned.add(claim.call_id)
            asked.add_done_callback(free)

    # On the thread of this table.

    def _claim(self, claim: Claim) -> Earlier | None:
        connection = self._connected()
        self._write_down(connection)
        now_us = int(self._wall_clock() * MICRO)
        try:
            return claim_key(connection, claim, self._owner, self._disowned, now_us)
        except Busy:
            raise
        except StoreUnavailable:  # it may be written all the same, and nobody would ever end it
            self._unwritten.append(Ending(claim, None))
            raise

    def _end(self, claim: Claim, fate: Fate | None, answer: bytes | None) -> None:
        self._unwritten.append(Ending(claim, fate, packed(answer) if answer is not None else None))
        self._flush()

    def _flush(self) -> None:
        try:
            self._try(lambda: self._write_down(self._connected()))
        except (StoreUnavailable, ConfigError) as error:
            if not self._is_late:
                self._report("answers of calls with an Idempotency-Key cannot be kept yet", error)
            self._is_late = True
        else:
            self._is_late = False

    def _write_down(self, connection: Connection) -> None:
        while self._unwritten:
            try:
                write_ending(connection, self._unwritten[0])
            except StoreUnavailable:
                raise
            except Exception as error:  # one that nobody foresaw must not stand in the others' way
                self._report("what became of an Idempotency-Key cannot be written down", error)
            self._disowned.discard(self._unwritten.popleft().claim.call_id)

    def _do_chores(self) -> None:
        if self._unwritten:
            self._flush()
        now_s = self._wall_clock()
        if now_s - self._swept_s > SWEEP_S:
            self._swept_s = now_s
            try:
                self._try(lambda: sweep(self._connected(), int(now_s * MICRO), self._max_bytes))
            except Exception as error:  # as above; the next sweep may do better
                self._report("kept answers could not be swept", error)

    def _last(self) -> None:
        if self._unwritten:
            self._flush()
        self._disconnect()

    def _try(self, work: Callable[[], T]) -> T:
        """A connection that was lost while nobody used it is opened again, once."""
        try:
            return work()
        except StoreUnavailable:
            self._disconnect()
        try:
            return work()
        except StoreUnavailable:
            self._disconnect()
            raise

    def _connected(self) -> Connection:
        if self._connection is None:
            self._connection = self._open_connection()
        return self._connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _heard(done: Future[T]) -> asyncio.Future[T]:
    """For the loop; an exception that comes when nobody waits any more is no news."""
    future = asyncio.wrap_future(done)
    future.add_done_callback(lambda f: f.cancelled() or f.exception())
    return future


def _unavailable() -> CallError:
    return CallError(
        Outcome.LEDGER_UNAVAILABLE,
        "nothing was sent: the ledger's database, which keeps the Idempotency-Keys, cannot be "
        "used; the gateway's log says why. Try again in a moment, with the same key.",
        retry_after_s=RETRY_AFTER_S,
    )
