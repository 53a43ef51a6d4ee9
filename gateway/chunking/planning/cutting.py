"""A call that is cut: the request for any stretch of its script, and for what joins answers."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import orjson

from gateway.chunking.checking.front import asks_elsewhere_for_translation
from gateway.chunking.script import Piece, Script
from gateway.chunking.splitter import split
from gateway.chunking.tokens import Counter
from gateway.config_chunking import ChunkingConfig, Mode
from gateway.schema import Call, Part, Plan

from .context import Context
from .frame import Frame
from .sizes import Sizes

JOIN_BYTES_PER_TOKEN = 6
"""More than text has, JSON's escapes included: what is held for answers nobody has seen yet."""
HALF = 0.6
"""A piece that is made smaller comes in two, if there is a seam near its middle."""
MIN_PIECE_TOKENS = 40
"""What is smaller is not cut further."""
NOT_OF_THE_ANSWER = ("model", "user", "safety_identifier", "prompt_cache_key", "metadata")
"""Fields that say who asks and what for. ``model`` is the client's word for the targets."""
NOT_OF_THE_MANNER = {"pool", "deadline_s", "keep_s"}
"""Settings that make an answer faster or cheaper, and no other one."""


@dataclass(frozen=True)
class Cut:
    """How one call is cut. Offsets are of ``script.text``; token counts are ``counter``'s.

    What counts tokens of whole pieces (``smaller``, ``joins``) belongs in a worker thread.
    """

    config: ChunkingConfig
    script: Script
    pieces: tuple[Piece, ...]
    counter: Counter
    fence: str
    """Random, and nowhere in the script."""
    sizes: Sizes
    context: Context
    frame: Frame
    call: Call
    plan: Plan
    """The whole call's, with the targets that parts may go to."""

    @property
    def mode(self) -> Mode:
        return self.config.mode

    @property
    def at_once(self) -> int:
        """How many parts are under way at the same time."""
        return 1 if self.mode == "refine" else self.config.pool

    @property
    def manner(self) -> dict[str, Any]:
        """What else the whole answer goes by, as JSON: the same script, cut in another manner, has
        another one."""
        return self.config.model_dump(exclude=NOT_OF_THE_MANNER)

    @property
    def budget_tokens(self) -> int:
        return self.sizes.budget

    def parts(self) -> tuple[Part, ...]:
        """The requests for all pieces, in order. For ``reduce``, those that will join the answers
        come last: they have no answers in them yet, and are as large as they can be, so that
        money and limits see them."""
        parts = [
            self.request(piece.start, piece.end, piece.tokens, number)
            for number, piece in enumerate(self.pieces, 1)
        ]
        if self.mode == "reduce":
            joins = self.sizes.joins(len(parts))
            later = range(len(parts) + 1, len(parts) + joins + 1)
            parts += [self._join_to_come(number, is_last=number == later[-1]) for number in later]
        return tuple(parts)

    def request(
        self,
        start: int,
        end: int,
        tokens: int,
        number: int,
        *,
        before: str | None = None,
        without: frozenset[str] = frozenset(),
        now_s: float | None = None,
    ) -> Part:
        """The request for a stretch of the script of ``tokens`` tokens. ``before``: the end of the
        answer so far, in place of the source's last lines; ``without``: names of targets that it
        is not for; ``now_s``: when it is sent, by the monotonic clock."""
        cap_of = self.sizes.cap_of_noted if self.mode == "reduce" else self.sizes.cap_of
        text, context = self.script.text[start:end], self.context_of(start, end, before)
        part = self._part(text, context, cap_of(tokens), number, now_s)
        if not without:
            return part
        targets = tuple(t for t in part.plan.targets if t.name not in without)
        return part._replace(plan=part.plan._replace(targets=targets))

    def context_of(self, start: int, end: int, before: str | None = None) -> str:
        """What the request for a stretch says besides the text."""
        return self.context.block(start, end, before)

    def key(self, part: Part) -> str:
        """What is the same for parts whose answers may stand for each other: all that is asked,
        where it may go, and for whom. The fence is not in it."""
        text, context = self.frame.texts_of(part.plan.body)
        targets = [[target.name, target.public_model] for target in part.plan.targets]
        context = context.replace(self.fence, "")
        asked = orjson.dumps([targets, part.plan.max_output_tokens, text, context])
        return hashlib.blake2b(asked, digest_size=32, key=self._asked_of_all).hexdigest()

    def smaller(self, start: int, end: int) -> list[Piece]:
        """The stretch in pieces of about half its size; none if it cannot be cut further."""
        tokens = self.counter.count(self.script.text[start:end])
        if tokens < MIN_PIECE_TOKENS:
            return []
        pieces = split(self.script, start, end, int(tokens * HALF), self.counter)
        return pieces if len(pieces) > 1 else []

    def joins(self, texts: Sequence[str]) -> list[list[int]]:
        """Which answers go together into one request, in order. There are fewer groups than
        texts; one that is alone in its group needs no request."""
        groups: list[list[int]] = []
        room = 0
        for at, tokens in enumerate(self.counter.count_all(texts)):
            if groups and (tokens <= room or len(groups[-1]) < 2):
                groups[-1].append(at)
            else:
                groups.append([at])
                room = self.sizes.join
            room -= tokens
        return groups

    def join(
        self, texts: Sequence[str], number: int, *, is_last: bool, stream: bool, now_s: float
    ) -> Part:
        """The request that makes one answer of these. The last one is the client's own."""
        cap = self.sizes.last_cap if is_last else self.sizes.join_cap
        text, context = self.context.answers(texts), self.context.for_join(is_last=is_last)
        part = self._part(text, context, cap, number, now_s)
        usage = self.call.include_usage if is_last else True
        return part._replace(call=part.call._replace(stream=stream, include_usage=usage))

    def _join_to_come(self, number: int, *, is_last: bool) -> Part:
        cap = self.sizes.last_cap if is_last else self.sizes.join_cap
        part = self._part("", self.context.for_join(is_last=is_last), cap, number, None)
        most_bytes = part.call.body_bytes + JOIN_BYTES_PER_TOKEN * self.sizes.join
        return part._replace(call=part.call._replace(body_bytes=most_bytes))

    def _part(self, text: str, context: str, cap: int, number: int, now_s: float | None) -> Part:
        body = self.frame.filled(text, context, cap)
        call = self.call._replace(
            body=body,
            body_bytes=self.frame.bytes_of(text, context, cap),
            stream=True,
            include_usage=True,
            received_s=self.call.received_s if now_s is None else now_s,
            idempotency_key=None,
            cache=None,
        )
        plan = self.plan._replace(
            body=body, parts=(), cut=None, part=number, max_output_tokens=cap, warnings=()
        )
        return Part(call, plan)

    @cached_property
    def asks_for_translation(self) -> bool:
        """In a message beside the script."""
        return any(map(asks_elsewhere_for_translation, self.frame.texts_beside()))

    @cached_property
    def _asked_of_all(self) -> bytes:
        caller = self.call.caller
        whose = ["key", caller.key_id] if caller.tenant is None else ["tenant", caller.tenant]
        body = self.frame.filled("", "", 0)
        asked = sorted(
            (name, value) for name, value in body.items() if name not in NOT_OF_THE_ANSWER
        )
        text = orjson.dumps([whose, self.config.keeps_scenes, asked])
        return hashlib.blake2b(text, digest_size=32).digest()
