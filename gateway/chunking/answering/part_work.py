"""One part from its first request to its last word.

Ask, check, take what is good, and ask again for the rest: in smaller pieces where the model lost
or cut something, elsewhere where its answer was of no use. What nobody answers stays the source's
text, and is flagged. No stretch is left out, and none is there twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gateway.chunking.script import Piece, Section
from gateway.chunking.verify import Checked, Fault, FaultKind, check, sections_of
from gateway.errors import CallError, Outcome
from gateway.schema import Part

from .kept_parts import KeptPart, Text
from .part_client import PartClient
from .stretches import Doubt, Reply, Stretch, doubts_of, runs, with_bare_headings
from .tally import PartFacts
from .whole import Whole

MAX_ASKS = 3
"""How often the same stretch is asked for, as long as there is a target that was not asked yet."""
MAX_ASKS_ALIKE = 2
"""… and where there is none."""
MAX_DEPTH = 6
"""How often a stretch is made smaller."""
MAX_REQUESTS = 16
"""For one part in all; what is still open then stays the source's."""
LOOP_CHARS = 1024
"""Longer answers are checked, and longer texts counted, in a worker thread."""

_BISECT = frozenset(
    {
        FaultKind.LENGTH,
        FaultKind.FILTERED,
        FaultKind.MISSING,
        FaultKind.DOUBLED,
        FaultKind.MERGED,
        FaultKind.SHORT,
        FaultKind.TRUNCATED,
        FaultKind.OMITTED,
    }
)
"""What a model may do better with less; all else is asked of the next one first."""
_ALIKE_WITH_LESS = frozenset({FaultKind.LEAKED, FaultKind.LANGUAGE})
"""What a model does with any text: to cut it smaller would only be paid for."""


class PartWork:
    """One part of a call."""

    def __init__(self, whole: Whole, piece: Piece, part: Part, facts: PartFacts) -> None:
        self._whole = whole
        self._cut = whole.cut
        self._piece = piece
        self._part = part
        self._facts = facts
        self._texts: list[Text] = []
        self._used: list[Reply] = []
        self._key = ""
        self.error: CallError | None = None
        """The last one."""

    async def run(self) -> None:
        """All of it is decided. Raises WholeCallFails."""
        start, end, tokens, _ = self._piece
        request, _ = self._request(Stretch(start, end, tokens))
        self._key = self._cut.key(request)
        todo = await self._open_stretches()
        while todo:
            stretch = todo.pop(0)
            todo[:0] = await self._answer(stretch)

    async def _open_stretches(self) -> list[Stretch]:
        """The part without what is kept of it."""
        start, end, tokens, _ = self._piece
        kept = await self._whole.kept_parts.find(self._key, end - start)
        if kept is None:
            return [Stretch(start, end, tokens)]
        self._facts.has_kept = True
        self._texts += kept.texts
        gaps, at = [], start
        for first, last, text in kept.texts:
            gaps.append((at, start + first))
            at = start + last
            self._facts.answered(kept.target)
            self._whole.take(start + first, at, text, kept.target, kept.model)
        gaps.append((at, end))
        return [Stretch(a, b, await self._count(a, b), depth=1) for a, b in gaps if a < b]

    async def _answer(self, stretch: Stretch) -> list[Stretch]:
        """Ask for it and take what is good; returns what has to be asked for again."""
        if self._facts.requests >= MAX_REQUESTS:
            return self._give_up(stretch, f"{MAX_REQUESTS} requests for its part were not enough")
        if self._facts.requests and not self._whole.may_ask_again:
            wasted = f"{self._whole.wasted} answers to this call were of no use"
            return self._give_up(stretch, f"{wasted}, so nothing more is asked for again")
        try:
            reply = await self._ask(stretch)
        except CallError as error:
            self.error = error
            smaller = await self._smaller_after(error, stretch)
            return smaller or self._give_up(stretch, f"{error.outcome.label}: {error.message}")
        sections = self._units(stretch)
        checked = await self._check(stretch, sections, reply)
        self._facts.is_mended |= any(fault.is_mended for fault in checked.faults)
        doubts = doubts_of(checked, sections, reply)
        bad = self._take_good(stretch, sections, checked, doubts, reply)
        await self._keep()
        if len(bad) == len(sections) and not doubts:
            self._whole.wasted += 1
            return await self._again(stretch, reply, checked.faults)
        return [await self._open(stretch, run, doubts, reply) for run in runs(bad, doubts)]

    async def _ask(self, stretch: Stretch) -> Reply:
        request, before = self._request(stretch)
        client = PartClient()
        journey = await self._whole.asking.ask(request, client, self._facts.sent)
        assert journey.target is not None
        return Reply(journey, journey.target, client.text, client.model, before)

    def _request(self, stretch: Stretch) -> tuple[Part, str | None]:
        """And what it is told of the answer before it, where that is not the source."""
        start, end, tokens = stretch[:3]
        before = self._whole.answer_before(start)
        if (start, end) == self._piece[:2] and not stretch.without and before is None:
            return self._part, None
        number = self._facts.number
        request = self._cut.request(
            start, end, tokens, number, before=before, without=stretch.without
        )
        if not request.plan.targets:
            request = self._cut.request(start, end, tokens, number, before=before)
        return request, before

    def _units(self, stretch: Stretch) -> list[Section]:
        """What is decided one by one: sections, or all of it where scenes are not kept."""
        sections = sections_of(self._cut.script, stretch.start, stretch.end)
        if self._whole.keeps_scenes:
            return sections
        return [sections[0]._replace(end=stretch.end)]

    async def _check(self, stretch: Stretch, sections: Sequence[Section], reply: Reply) -> Checked:
        cut, finish_reason = self._cut, reply.journey.finish_reason
        context = cut.context_of(stretch.start, stretch.end, reply.before)
        whole = self._whole.keeps_scenes, cut.asks_for_translation
        rest = reply.text, finish_reason, cut.fence, context, *whole
        is_echo = reply.text == cut.script.text[stretch.start : stretch.end]
        if is_echo or len(reply.text) <= LOOP_CHARS:
            checked = check(cut.script, sections, *rest)
        else:
            checked = await self._whole.in_a_thread(check, cut.script, sections, *rest)
        return with_bare_headings(checked, cut.script, sections)

    def _take_good(
        self,
        stretch: Stretch,
        sections: Sequence[Section],
        checked: Checked,
        doubts: Mapping[int, Doubt],
        reply: Reply,
    ) -> list[Section]:
        """Returns the sections that are not decided. One that was in doubt before is decided now,
        one way or the other."""
        bad = []
        for section, text in zip(sections, checked.texts, strict=True):
            doubt, earlier = doubts.get(section.start), stretch.doubts.get(section.start)
            if text is not None and doubt is None:
                self._take(section, text, reply)
                first = self._piece.start
                self._texts.append((section.start - first, section.end - first, text))
            elif earlier is not None:
                self._take_doubtful(section, doubt or earlier)
            else:
                bad.append(section)
        return bad

    async def _again(
        self, stretch: Stretch, reply: Reply, faults: Sequence[Fault]
    ) -> list[Stretch]:
        """Nothing of the answer was of use: scenes apart from each other where that may help,
        then the next target, then whatever is left to be tried."""
        found = [fault for fault in faults if not fault.is_mended]
        kinds = {fault.kind for fault in found}
        if kinds & _BISECT and (smaller := await self._smaller(stretch)):
            return smaller
        without = stretch.without | {reply.target.name}
        others = {target.name for target in self._part.plan.targets} - without
        asks = stretch.asks + 1
        elsewhere = stretch._replace(asks=asks, without=without)
        if others and asks < MAX_ASKS:
            return [elsewhere]
        may_help = not kinds <= _ALIKE_WITH_LESS
        is_length = FaultKind.LENGTH in kinds
        if may_help and (smaller := await self._smaller(stretch, within_a_scene=is_length)):
            return smaller
        if not others and asks < MAX_ASKS_ALIKE:
            return [elsewhere]
        return self._give_up(stretch, "; ".join(dict.fromkeys(f.detail for f in found)))

    async def _smaller_after(self, error: CallError, stretch: Stretch) -> list[Stretch]:
        """Where the ladder is at its end: less of it may be short enough, or harmless."""
        if error.outcome is Outcome.CONTEXT_LENGTH_EXCEEDED:
            return await self._smaller(stretch, within_a_scene=True)
        return await self._smaller(stretch) if error.outcome is Outcome.CONTENT_POLICY else []

    async def _smaller(self, stretch: Stretch, within_a_scene: bool = False) -> list[Stretch]:
        """In pieces, if it has several scenes or may be cut ``within_a_scene``."""
        if stretch.depth >= MAX_DEPTH or stretch.doubts:
            return []
        if not within_a_scene and len(self._units(stretch)) < 2:
            return []
        pieces = await self._whole.in_a_thread(self._cut.smaller, stretch.start, stretch.end)
        depth, without = stretch.depth + 1, stretch.without
        return [Stretch(p.start, p.end, p.tokens, depth, 0, without) for p in pieces]

    async def _open(
        self, stretch: Stretch, run: Sequence[Section], doubts: Mapping[int, Doubt], reply: Reply
    ) -> Stretch:
        """A run of sections that the answer to a stretch did not decide."""
        start, end = run[0].start, run[-1].end
        rest = Stretch(
            start, end, await self._count(start, end), stretch.depth + 1, 0, stretch.without
        )
        if start not in doubts:
            return rest
        return rest._replace(
            without=stretch.without | {reply.target.name},
            doubts={section.start: doubts[section.start] for section in run},
        )

    def _give_up(self, stretch: Stretch, why: str) -> list[Stretch]:
        """What is in doubt is used all the same. All else nobody answers."""
        for section in self._units(stretch):
            if section.start in stretch.doubts:
                self._take_doubtful(section, stretch.doubts[section.start])
            else:
                self._facts.has_source = True
                self._whole.leave(self._facts.number, section, why)
        return []

    def _take(self, section: Section, text: str, reply: Reply) -> None:
        if not any(reply is used for used in self._used):
            self._used.append(reply)
            self._whole.journey.take_answer(reply.journey)
        self._facts.answered(reply.target)
        self._whole.take(section.start, section.end, text, reply.target, reply.model)

    def _take_doubtful(self, section: Section, doubt: Doubt) -> None:
        self._take(section, doubt.text, doubt.reply)
        self._whole.flag(self._facts.number, section, doubt.why)

    async def _keep(self) -> None:
        if self._used:
            last = self._used[-1]
            kept = KeptPart(last.target, last.model, tuple(sorted(self._texts)))
            await self._whole.kept_parts.keep(self._key, kept)

    async def _count(self, start: int, end: int) -> int:
        text = self._cut.script.text[start:end]
        if len(text) > LOOP_CHARS:
            return await self._whole.in_a_thread(self._cut.counter.count, text)
        return self._cut.counter.count(text)
