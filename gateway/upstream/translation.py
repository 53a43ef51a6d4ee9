"""Runs a provider's stream translation from the socket's callback, without a task.

``parse_stream`` reads like any async generator, yet nothing it awaits ever needs an event loop:
it can only wait for the next event. So the loop is left out. ``feed`` hands it the events that a
read completed and runs it until it asks for more; a thousand streams cost no task switches, and a
provider that tries to sleep or to talk is caught at its first ``await``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Generator
from types import coroutine
from typing import Any

from gateway.schema import ChatChunk, Event

ParseStream = Callable[[AsyncIterator[Event]], AsyncIterator[bytes | ChatChunk]]


class _MoreEvents:
    """What a translation yields to its driver while it waits for events."""


_MORE = _MoreEvents()


@coroutine
def _wait_for_more() -> Generator[_MoreEvents, None, None]:
    yield _MORE


class _Inbox:
    """The ``events`` of ``parse_stream``."""

    def __init__(self) -> None:
        self.events: deque[Event] = deque()
        self.ended = False

    def __aiter__(self) -> _Inbox:
        return self

    async def __anext__(self) -> Event:
        while not self.events:
            if self.ended:
                raise StopAsyncIteration
            await _wait_for_more()
        return self.events.popleft()


class Translation:
    """One stream's translation. ``done`` once the provider has seen the terminal event."""

    def __init__(self, parse_stream: ParseStream) -> None:
        self._inbox = _Inbox()
        self._chunks = parse_stream(self._inbox)
        self._step: Any = None
        self._error: BaseException | None = None
        self.done = False

    def feed(self, events: list[Event]) -> list[bytes | ChatChunk]:
        """Translate ``events``.

        Raises what the provider raises, unless chunks came before it: those are returned, and
        ``raise_error`` has the rest of the story.
        """
        self._inbox.events.extend(events)
        return self._run()

    def finish(self) -> list[bytes | ChatChunk]:
        """Tell the provider that no more events come."""
        self._inbox.ended = True
        return self._run()

    def raise_error(self) -> None:
        """Raise the error that ended the translation, if one did."""
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Drop a translation that is not done. Idempotent."""
        step, self._step = self._step, None
        if step is not None and not self.done:
            self.done = True
            try:
                step.throw(GeneratorExit())
            except (GeneratorExit, StopIteration, StopAsyncIteration):
                return

    def _run(self) -> list[bytes | ChatChunk]:
        chunks: list[bytes | ChatChunk] = []
        while not self.done:
            step: Any = self._step or anext(self._chunks)
            self._step = None
            try:
                waits_for = step.send(None)
            except StopIteration as item:
                chunks.append(item.value)
            except StopAsyncIteration:
                self.done = True
            except Exception as error:
                self.done = True
                self._error = error
                if not chunks:
                    raise
            else:
                self._step = step
                if waits_for is not _MORE:
                    self.close()
                    raise TypeError("parse_stream may await nothing but its events")
                return chunks
        return chunks
