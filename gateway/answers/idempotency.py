"""Calls with an ``Idempotency-Key``: sent once, paid once, answered as often as they are sent.

The first call with a key writes a claim into the ledger's database before it is sent, and its
answer before its client has the end of it; it goes on when its client leaves. Whoever comes later
with the same request gets that answer, in whichever process, or is told why there is none. What
was charged, or may have been, is never sent a second time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import NamedTuple, Protocol

from gateway.errors import CallError, Outcome
from gateway.journey import Journey
from gateway.kept import Claim, Earlier, Fate, Kept

from .cache import LOOP_BYTES, wait_limit_s
from .keys import claim_of
from .packing import pack, unpack
from .recording import Recorder
from .replay import replay
from .twins import Twin, Twins

MAX_ANSWER_BYTES = 8 * 1024 * 1024
"""A larger answer is sent and not kept."""
KEEPING_WAIT_S = 1.0
"""How long the end of an answer may wait until it is kept."""
FIRST_POLL_S, MAX_POLL_S = 0.05, 1.0


class Claims(Protocol):
    """Where claims are written down, for all processes."""

    async def claim(self, claim: Claim) -> Earlier | None:
        """None: the key is this call's now. Raises CallError(LEDGER_UNAVAILABLE)."""

    def end(self, claim: Claim, fate: Fate, answer: bytes | None) -> asyncio.Future[None]:
        """Write down what became of it, now or as soon as that is possible. Never fails."""

    def free(self, claim: Claim) -> None:
        """It came to nothing: the key may be used again. Never fails."""


class First(NamedTuple):
    """What became of the call that was first with a key."""

    call_id: str
    fate: Fate
    kept: Kept | None


IdempotencyTwins = Twins[First | None]
"""How a leader ends; None: the key is free again."""


class Idempotency:
    """Implements what ``Answers`` needs for calls with a key."""

    def __init__(
        self,
        claims: Claims,
        twins: IdempotencyTwins,
        wall_clock: Callable[[], float],
        clock: Callable[[], float],
    ) -> None:
        self._claims = claims
        self._twins = twins
        self._wall_clock = wall_clock
        self._clock = clock

    async def answer(
        self,
        journey: Journey,
        recorder: Recorder,
        send: Callable[[Journey, Recorder], Awaitable[None]],
    ) -> None:
        """Answer with what the first call with this key was answered. Raises CallError:
        IDEMPOTENCY_CONFLICT, LEDGER_UNAVAILABLE."""
        claim = await _claim_of(journey)
        first: First | None = None
        while first is None:
            twin = self._twins.find(_twins_of(claim))
            if twin is not None:
                first = await self._wait(twin, journey)
                continue
            first = await self._lead(claim, journey, recorder, send)
            if first is None:
                return
        if first.kept is None:
            raise _no_answer(first)
        await replay(first.kept, "idempotency", journey, recorder, self._wall_clock())

    async def _lead(
        self,
        claim: Claim,
        journey: Journey,
        recorder: Recorder,
        send: Callable[[Journey, Recorder], Awaitable[None]],
    ) -> First | None:
        """None: this call was the first, and is answered."""
        twin = self._twins.lead(_twins_of(claim))
        end: First | None = None
        try:
            earlier = await self._claimed(claim, journey)
            if earlier is not None:
                end = _first(earlier)
                return end
            recorder.record(MAX_ANSWER_BYTES)
            recorder.goes_on = lambda: True
            recorder.before_end = partial(self._keep, claim, recorder)
            try:
                await send(journey, recorder)
            except BaseException:
                end = self._failed(claim, journey, recorder)
                raise
            end = First(claim.call_id, Fate.ANSWERED, recorder.kept)
            return None
        finally:
            self._twins.end(_twins_of(claim), twin, end)

    async def _claimed(self, claim: Claim, journey: Journey) -> Earlier | None:
        """Claim the key. While a call in another process has it, ask again and again."""
        give_up_s = self._clock() + wait_limit_s(journey, self._clock())
        poll_s = FIRST_POLL_S
        while True:
            earlier = await self._claims.claim(claim)
            if earlier is None:
                return None
            if earlier.request != claim.request:
                raise _other_request()
            if earlier.fate is not Fate.RUNNING:
                return earlier
            if self._clock() + poll_s > give_up_s:
                raise _still_running(earlier.call_id)
            await asyncio.sleep(poll_s)
            poll_s = min(poll_s * 1.5, MAX_POLL_S)

    async def _keep(self, claim: Claim, recorder: Recorder) -> None:
        answer = pack(recorder.kept) if recorder.kept is not None else None
        written = self._claims.end(claim, Fate.ANSWERED, answer)
        await asyncio.wait({written}, timeout=KEEPING_WAIT_S)

    def _failed(self, claim: Claim, journey: Journey, recorder: Recorder) -> First | None:
        """What was not charged may be sent again, what was may not."""
        if recorder.is_complete:  # and kept; only its client has not heard all of it
            return First(claim.call_id, Fate.ANSWERED, recorder.kept)
        cost = journey.cost
        if cost is None or not cost.nano:
            self._claims.free(claim)
            return None
        self._claims.end(claim, Fate.CHARGED, None)
        return First(claim.call_id, Fate.CHARGED, None)

    async def _wait(self, twin: Twin[First | None], journey: Journey) -> First | None:
        try:
            return await twin.wait(wait_limit_s(journey, self._clock()))
        except TimeoutError:
            raise _still_running(None) from None


def _twins_of(claim: Claim) -> str:
    """Another request with the same key is no twin: the database tells it so."""
    return claim.id + claim.request


async def _claim_of(journey: Journey) -> Claim:
    if journey.call.body_bytes > LOOP_BYTES:
        return await asyncio.to_thread(claim_of, journey.call)
    return claim_of(journey.call)


def _first(earlier: Earlier) -> First:
    kept = unpack(earlier.answer) if earlier.answer is not None else None
    return First(earlier.call_id, earlier.fate, kept)


def _other_request() -> CallError:
    return _conflict(
        "this Idempotency-Key was sent with another request before, so nothing was sent. A key "
        "belongs to one request, to the last field of its body; take a new key for a new one",
        Outcome.IDEMPOTENCY_CONFLICT.code,
    )


def _still_running(call_id: str | None) -> CallError:
    return _conflict(
        f"the call that was first with this Idempotency-Key{f' ({call_id})' if call_id else ''} is "
        "still being answered, and this one has no more time to wait for it; nothing was sent. "
        "Send it again with the same key",
        "idempotency_in_progress",
    )


def _no_answer(first: First) -> CallError:
    start = f"nothing was sent: the call that was first with this Idempotency-Key ({first.call_id})"
    again = "Take a new key to pay for another answer"
    match first.fate:
        case Fate.ANSWERED:
            return _conflict(
                f"{start} was answered and charged, but its answer is not kept: it was too large, "
                f"or room was needed for others. {again}",
                "idempotency_answer_not_kept",
            )
        case Fate.CHARGED:
            return _conflict(
                f"{start} failed after it was charged. {again}", "idempotency_call_failed"
            )
        case _:
            return _conflict(
                f"{start} is in doubt: the gateway that answered it has stopped in the middle, and "
                f"nobody knows how far it came. It is charged what was held for it. {again}",
                "idempotency_in_doubt",
            )


def _conflict(message: str, code: str | None) -> CallError:
    return CallError(Outcome.IDEMPOTENCY_CONFLICT, message, code=code)
