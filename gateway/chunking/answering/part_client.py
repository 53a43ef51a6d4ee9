"""Where the answer to a part goes: nothing of it leaves before it is whole and has been checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gateway.errors import CallError, Outcome
from gateway.folding import Folding
from gateway.framing import EventSplitter
from gateway.journey import Journey
from gateway.openai_wire import load_object

MAX_ANSWER_BYTES = 64 * 1024 * 1024
"""Events of one part's stream."""


class PartClient:
    """Implements ``Client``. It is never committed: a part may be tried elsewhere until its answer
    is complete, and begins anew each time."""

    started = committed = False

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._left_bytes = MAX_ANSWER_BYTES
        self._splitter = EventSplitter()
        self._folding = Folding()
        self._whole: Mapping[str, Any] | None = None

    @property
    def text(self) -> str:
        """What the model said; where it said nothing but a refusal, that. Its reasoning is left
        out."""
        for choice in self._completion().get("choices") or ():
            message = choice.get("message")
            if isinstance(message, dict):
                said = message.get("content") or message.get("refusal")
                return said if isinstance(said, str) else ""
        return ""

    @property
    def model(self) -> str:
        """What the answer says that it is from."""
        model = self._completion().get("model")
        return model if isinstance(model, str) else ""

    def _completion(self) -> Mapping[str, Any]:
        if self._whole is None:
            self._whole = self._folding.completion()
        return self._whole

    async def begin_stream(self, journey: Journey, first: bytes) -> None:
        self._begin()
        self.write(first)

    def write(self, data: bytes) -> bool:
        """Raises CallError(UPSTREAM_GARBLED)."""
        self._left_bytes -= len(data)
        if self._left_bytes < 0:
            raise CallError(
                Outcome.UPSTREAM_GARBLED,
                f"the answer to a part has over {MAX_ANSWER_BYTES} bytes of events",
            )
        for event in self._splitter.feed(data):
            if event.data:
                self._folding.add(load_object(event.data))
        return True

    def when_drained(self, resume: Callable[[], None]) -> None:
        resume()

    async def end_stream(self, journey: Journey) -> None:
        """Nothing is left to send."""

    async def send_answer(self, journey: Journey, body: bytes) -> None:
        self._begin()
        self._whole = load_object(body)
