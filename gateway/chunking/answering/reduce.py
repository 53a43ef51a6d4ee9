"""One answer about a script that is read in parts: their answers are joined by further requests
until one is left, and that one is the client's."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol

from gateway.contracts import Client
from gateway.errors import CallError, Outcome
from gateway.framing import events_in
from gateway.journey import Journey
from gateway.openai_wire import dump_event, dump_object, load_object
from gateway.schema import NO_USAGE, Attempt

from .part_client import PartClient
from .side_by_side import side_by_side
from .whole import Whole

MAX_ROUNDS = 16
_FINISH = re.compile(rb'"finish_reason"\s*:\s*"')
"""Of a chunk that ends the text: inside of a text, its quotation marks have backslashes."""


class Parts(Protocol):
    async def answer(self) -> None:
        """Until all are decided. Raises WholeCallFails."""


class Reduction:
    """One call whose parts become one answer."""

    def __init__(self, whole: Whole, client: Client, clock: Callable[[], float]) -> None:
        self._whole = whole
        self._client = client
        self._clock = clock
        self._number = len(whole.cut.pieces)

    async def run(self, parts: Parts) -> None:
        """Raises WholeCallFails, CallError."""
        texts: list[str] = []
        await side_by_side([parts.answer(), self._collect(texts)])
        for _ in range(MAX_ROUNDS):
            groups = await self._whole.in_a_thread(self._whole.cut.joins, texts)
            if len(groups) <= 1:
                return await self._relay_last(texts)
            if len(groups) >= len(texts):
                break
            texts = await self._round(texts, groups)
        raise CallError(
            Outcome.CONTEXT_LENGTH_EXCEEDED,
            f"the answers to the parts do not fit into one request: {len(texts)} are left after "
            "they were joined as far as possible. Ask for shorter answers, or use a model with a "
            "larger context.",
            param="messages",
        )

    async def _collect(self, texts: list[str]) -> None:
        while (text := await self._whole.ordering.next()) is not None:
            if text:
                texts.append(text)

    async def _round(self, texts: Sequence[str], groups: Sequence[Sequence[int]]) -> list[str]:
        """Each group made into one text."""
        joined = [""] * len(groups)
        todo = iter([*enumerate(groups)])

        async def work() -> None:
            for at, group in todo:
                of_group = [texts[n] for n in group]
                joined[at] = of_group[0] if len(group) == 1 else await self._join(of_group)

        await side_by_side([work() for _ in range(min(self._whole.cut.config.pool, len(groups)))])
        return joined

    async def _join(self, texts: Sequence[str]) -> str:
        self._number += 1
        asking, cut = self._whole.asking, self._whole.cut
        request = cut.join(texts, self._number, is_last=False, stream=True, now_s=asking.now_s)
        client = PartClient()
        journey = await asking.ask(request, client)
        text = client.text
        if not text.strip():
            raise CallError(
                Outcome.UPSTREAM_GARBLED,
                f"{len(texts)} answers to parts were to be put together, and the answer was empty",
            )
        self._whole.journey.take_answer(journey)
        return text

    async def _relay_last(self, texts: Sequence[str]) -> None:
        """The last request answers the client itself, as it comes."""
        self._number += 1
        whole, asking = self._whole, self._whole.asking
        stream = whole.journey.call.stream
        request = whole.cut.join(
            texts, self._number, is_last=True, stream=stream, now_s=asking.now_s
        )
        # The usage of the whole takes the place of this one's.
        request = request._replace(call=request.call._replace(include_usage=not stream))
        await asking.ask(request, _LastClient(whole, self._client))


class _LastClient:
    """Implements ``Client`` for the last request: to the client it is the whole call."""

    def __init__(self, whole: Whole, client: Client) -> None:
        self._whole = whole
        self._client = client
        self._top: dict[str, Any] = {}
        self.when_drained = client.when_drained

    @property
    def started(self) -> bool:
        return self._client.started

    @property
    def committed(self) -> bool:
        return self._client.committed

    async def send_answer(self, journey: Journey, body: bytes) -> None:
        whole = self._end_of(journey)
        answer = load_object(body) | {
            "usage": (whole.usage or NO_USAGE).to_openai(),
            "daobo": self._whole.tally.metadata(),
        }
        await self._client.send_answer(whole, dump_object(answer))

    async def begin_stream(self, journey: Journey, first: bytes) -> None:
        whole = self._whole.journey
        self._whole.target = journey.target
        self._whole.tell()
        whole.first_token_s = journey.first_token_s
        await self._client.begin_stream(whole, self._with_facts(first))

    def write(self, data: bytes) -> bool:
        return self._client.write(self._with_facts(data))

    async def end_stream(self, journey: Journey) -> None:
        whole = self._end_of(journey)
        if whole.call.include_usage:
            usage = (whole.usage or NO_USAGE).to_openai()
            self._client.write(dump_event({**self._top, "choices": [], "usage": usage}))
        await self._client.end_stream(whole)

    def _with_facts(self, data: bytes) -> bytes:
        """The chunk with the finish reason says what the answer is made of."""
        if self._top and not _FINISH.search(data):
            return data
        events = []
        for event in events_in(data):
            if not event.data or event.data == b"[DONE]":
                events.append(event.raw)
                continue
            chunk = load_object(event.data)
            if not self._top:
                names = ("id", "object", "created", "model")
                self._top = {name: chunk[name] for name in names if name in chunk}
            if _FINISH.search(event.data):
                chunk.pop("usage", None)
                chunk["daobo"] = self._whole.tally.metadata()
                events.append(dump_event(chunk))
            else:
                events.append(event.raw)
        return b"".join(events)

    def _end_of(self, journey: Journey) -> Journey:
        """The whole call's journey at its end, as it will be when this request has been taken into
        it: that comes once it is over."""
        whole = self._whole.journey
        self._whole.target = target = journey.target
        whole.take_answer(journey)
        whole.finish_reason = journey.finish_reason
        whole.first_token_s = journey.first_token_s
        self._whole.tell()
        assert target is not None
        told = replace(whole, attempts=[*whole.attempts], earlier_bills=[*whole.earlier_bills])
        told.take_part(journey)
        told.attempts.append(Attempt(target, Outcome.OK, 0.0))
        return told
