"""The client of a call whose answer may be kept: what is sent to it is written down as well."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from gateway.contracts import Client
from gateway.journey import Journey
from gateway.kept import Kept
from gateway.schema import Target

MAX_RECORDING_BYTES = 256 * 1024 * 1024
"""Of all answers that are being written down at the same time."""


class Space:
    """Memory for recordings, shared by all that are under way."""

    def __init__(self, max_bytes: int = MAX_RECORDING_BYTES) -> None:
        self._left_bytes = max_bytes

    def take(self, count: int) -> bool:
        if count > self._left_bytes:
            return False
        self._left_bytes -= count
        return True

    def give_back(self, count: int) -> None:
        self._left_bytes += count


def _never() -> bool:
    return False


class Recorder:
    """Implements ``Client`` in front of another one, which may leave before the answer ends.

    It writes nothing down until ``record`` is called, and stops as soon as it is too much.
    """

    def __init__(self, client: Client, space: Space, wall_clock: Callable[[], float]) -> None:
        self._client = client
        self._space = space
        self._wall_clock = wall_clock
        self._max_bytes = 0
        self._pieces: list[bytes] = []
        self._size_bytes = 0
        self._has_left = self._has_begun = False
        self.is_complete = False
        """The whole answer is known; its client has not had the end yet."""
        self.kept: Kept | None = None
        """The complete answer, unless it was too large."""
        self.before_end: Callable[[], Awaitable[None]] | None = None
        """Awaited between the answer's completion and its end."""
        self.when_too_large: Callable[[], None] | None = None
        self.goes_on: Callable[[], bool] = _never
        """Whether the call is wanted although its client has left."""
        self.give_up: Callable[[], object] = _never
        """Ends the call."""

    def record(self, max_bytes: int) -> None:
        """Write down what comes, as long as it is no larger than that."""
        self._max_bytes = max(self._max_bytes, max_bytes)

    def leave(self) -> None:
        """The client has left: the call ends, unless somebody else wants it."""
        self._has_left = True
        self.reconsider()

    def reconsider(self) -> None:
        if self._has_left and not self.goes_on():
            self.give_up()

    def forget(self) -> None:
        """What was written down is of no more use here."""
        self._space.give_back(self._size_bytes)
        self._pieces, self._size_bytes = [], 0

    @property
    def started(self) -> bool:
        return self._client.started

    @property
    def committed(self) -> bool:
        """An answer that goes on without its client is not tried elsewhere either."""
        return self._has_begun or self._client.committed

    async def send_answer(self, journey: Journey, body: bytes) -> None:
        self._write_down(body)
        await self._complete(journey)
        if not self._has_left:
            await self._client.send_answer(journey, body)

    async def begin_stream(self, journey: Journey, first: bytes) -> None:
        self._has_begun = True
        self._write_down(first)
        if not self._has_left:
            await self._client.begin_stream(journey, first)

    def write(self, data: bytes) -> bool:
        self._write_down(data)
        return self._has_left or self._client.write(data)

    def when_drained(self, resume: Callable[[], None]) -> None:
        if self._has_left:
            resume()
        else:
            self._client.when_drained(resume)

    async def end_stream(self, journey: Journey) -> None:
        await self._complete(journey)
        if not self._has_left:
            await self._client.end_stream(journey)

    def _write_down(self, data: bytes) -> None:
        if not self._max_bytes:
            return
        if self._size_bytes + len(data) > self._max_bytes or not self._space.take(len(data)):
            self.forget()
            self._max_bytes = 0
            if self.when_too_large is not None:
                self.when_too_large()
            return
        self._pieces.append(data)
        self._size_bytes += len(data)

    async def _complete(self, journey: Journey) -> None:
        self.is_complete = True
        if self._max_bytes:
            self.kept = _kept(journey, b"".join(self._pieces), self._wall_clock())
        if self.before_end is not None:
            await self.before_end()


def _kept(journey: Journey, body: bytes, now_s: float) -> Kept:
    target, list_cost = journey.target, journey.list_cost
    assert target is not None
    return Kept(
        made_s=now_s,
        stream=journey.call.stream,
        body=body,
        target=Target(
            target.provider, target.model, target.public_model, rehearsal=target.rehearsal
        ),
        finish_reason=journey.finish_reason,
        chunks=journey.chunks,
        currency=list_cost.currency if list_cost else None,
        list_cost_nano=list_cost.nano if list_cost else 0,
        dropped=journey.dropped,
    )
