"""Answers a call in parts: side by side or one after the other, and together again in order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from gateway.contracts import Client
from gateway.errors import CallError, Outcome
from gateway.journey import Journey
from gateway.schema import Part

from .answering.asking import Asking, Send, WholeCallFails
from .answering.kept_parts import KeptParts, PartStore
from .answering.part_work import PartWork
from .answering.places import Places
from .answering.reduce import Reduction
from .answering.side_by_side import side_by_side
from .answering.tally import PartFacts, Tally, label
from .answering.whole import Whole
from .merge import Merged, Ordering, StreamedAnswer, WholeAnswer
from .script import Piece
from .threads import SHORT_TURNS, Threads
from .verify import sections_of

if TYPE_CHECKING:
    from .planning.cutting import Cut


class Mapper:
    """Implements what the pipeline asks of the room once a call is cut.

    ``places`` and ``store`` outlive a configuration. ``clock`` is monotonic.
    """

    def __init__(
        self,
        places: Places,
        store: PartStore | None,
        clock: Callable[[], float],
        report_failure: Callable[[str, BaseException], None],
    ) -> None:
        self._places = places
        self._store = store
        self._clock = clock
        self._report_failure = report_failure
        # One is enough: what it does keeps the interpreter to itself.
        self._thread = Threads(1, "parts")

    async def send_parts(self, journey: Journey, client: Client, send: Send) -> None:
        """Answer the client with the answers to the plan's parts, each of them got by ``send``.

        Raises CallError if no part could be answered, or if a limit refused the very first one.
        If the client leaves, what is under way is cancelled.
        """
        with SHORT_TURNS:
            await self._send_parts(await self._whole(journey, send), client)

    async def _send_parts(self, whole: Whole, client: Client) -> None:
        whole.tell()
        try:
            if whole.cut.mode == "reduce":
                await Reduction(whole, client, self._clock).run(_Parts(whole))
            else:
                await _Merging(whole, client, self._clock).run(_Parts(whole))
        except WholeCallFails as failure:
            raise failure.error from None
        finally:
            whole.tell()

    async def _whole(self, journey: Journey, send: Send) -> Whole:
        assert journey.plan is not None
        cut: Cut = journey.plan.cut
        tally = await self._thread.run(_tally, cut)
        store = None if journey.call.cache is False else self._store
        return Whole(
            journey,
            cut,
            Asking(journey, send, self._places, cut.config.deadline_s, self._clock),
            KeptParts(store, cut.config.keep_s, self._report_failure),
            tally,
            Ordering(len(cut.script.text)),
            self._thread,
        )


class _Parts:
    """The parts of a call, each answered by one of as many workers as the pool is wide."""

    def __init__(self, whole: Whole) -> None:
        plan = whole.journey.plan
        assert plan is not None
        self._whole = whole
        self._todo: Iterator[tuple[Piece, Part, PartFacts]] = zip(
            whole.cut.pieces, plan.parts, whole.tally.parts, strict=False
        )
        self._workers = min(whole.cut.at_once, len(whole.cut.pieces))
        self._failed = 0
        self._error: CallError | None = None

    async def answer(self) -> None:
        """Until all are decided. Raises WholeCallFails."""
        await side_by_side([self._work() for _ in range(self._workers)])
        if self._whole.target is None:
            raise self._failure()

    async def _work(self) -> None:
        for piece, part, facts in self._todo:
            work = PartWork(self._whole, piece, part, facts)
            await work.run()
            self._error = work.error or self._error
            if not facts.is_answered:
                self._failed += 1
                if self._failed >= self._workers and self._whole.target is None:
                    raise self._failure()
            await asyncio.sleep(0)  # a kept part waits for nobody, and others have to go on

    def _failure(self) -> WholeCallFails:
        """No model has answered anything: the script itself is no answer."""
        if self._error is not None:
            return WholeCallFails(self._error)
        whys = dict.fromkeys(flag["why"].split("; ", 1)[-1] for flag in self._whole.tally.flagged)
        return WholeCallFails(
            CallError(
                Outcome.UPSTREAM_GARBLED,
                f"none of the answers to the first {self._failed} of {len(self._whole.cut.pieces)} "
                f"parts could be used: {'; '.join(list(whys)[:3])}. Nothing was put together; try "
                "another model.",
            )
        )


class _Merging:
    """The answers to the parts as one answer, in the order of the script."""

    def __init__(self, whole: Whole, client: Client, clock: Callable[[], float]) -> None:
        self._whole = whole
        self._clock = clock
        form = StreamedAnswer if whole.journey.call.stream else WholeAnswer
        self._merged: Merged = form(whole, client)

    async def run(self, parts: _Parts) -> None:
        """Raises WholeCallFails."""
        await side_by_side([parts.answer(), self._send_on()])
        journey = self._whole.journey
        journey.finish_reason = "stop"
        self._whole.tell()
        metadata = await self._whole.in_a_thread(self._whole.tally.metadata)
        await self._merged.finish(metadata)

    async def _send_on(self) -> None:
        """What is decided, as soon as all before it is; nothing before a model has answered."""
        await self._whole.first_answer.wait()
        self._whole.tell()
        self._whole.journey.first_token_s = self._clock()
        while (text := await self._whole.ordering.next()) is not None:
            if text:
                await self._merged.add(text)


def _tally(cut: Cut) -> Tally:
    parts = []
    for number, piece in enumerate(cut.pieces, 1):
        sections = sections_of(cut.script, piece.start, piece.end)
        parts.append(PartFacts(number, tuple(label(cut.script, s) for s in sections)))
    return Tally(cut.mode, parts)
