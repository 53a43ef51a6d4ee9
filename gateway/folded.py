"""Where a stream ends that nobody asked for: at its end it is one answer."""

from __future__ import annotations

from collections.abc import Callable

from .errors import CallError, Outcome
from .folding import Folding
from .framing import EventSplitter
from .journey import Journey
from .openai_wire import dump_object, load_object


class FoldingClient:
    """Keeps what a relay gives it. Nothing leaves it, so another target may be tried until the
    answer is complete.

    Takes at most ``max_bytes`` of events; more raises CallError(UPSTREAM_GARBLED).
    """

    def __init__(self, max_bytes: int) -> None:
        self._left_bytes = self._max_bytes = max_bytes
        self._splitter = EventSplitter()
        self._folding = Folding()
        self._error: CallError | None = None

    def answer(self) -> bytes:
        """The body of the whole answer. Raises CallError if any of it could not be taken."""
        if self._error is not None:
            raise self._error
        return dump_object(self._folding.completion())

    async def begin_stream(self, journey: Journey, first: bytes) -> None:
        self.write(first)

    def write(self, data: bytes) -> bool:
        try:
            self._fold(data)
        except CallError as error:
            self._error = error
            raise
        return True

    def _fold(self, data: bytes) -> None:
        self._left_bytes -= len(data)
        if self._left_bytes < 0:
            raise CallError(
                Outcome.UPSTREAM_GARBLED, f"an answer of over {self._max_bytes} bytes of events"
            )
        for event in self._splitter.feed(data):
            if event.data:
                self._folding.add(load_object(event.data))

    def when_drained(self, resume: Callable[[], None]) -> None:
        resume()
