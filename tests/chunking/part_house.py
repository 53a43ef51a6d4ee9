"""A cut call with everything around the mapper: a script, targets, models that answer parts as
they are told to, and a client that writes down what it gets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import orjson

from gateway.chunking.answering.kept_parts import PartStore
from gateway.chunking.answering.places import Places
from gateway.chunking.mapper import Mapper
from gateway.chunking.planning.cutter import Cutter
from gateway.chunking.planning.cutting import Cut
from gateway.chunking.window import Measure
from gateway.config_chunking import ChunkingConfig
from gateway.contracts import Client
from gateway.errors import CallError, Outcome
from gateway.journey import Journey
from gateway.ledger import Bill
from gateway.openai_wire import completion_body, completion_chunk
from gateway.schema import Call, Caller, ChatRequest, Money, Plan, Target, Usage

FIRST = Target("studio", "m-1", "m", context_tokens=8192)
SECOND = Target("annex", "m-2", "m", context_tokens=8192)
FENCE = "abcdef0123456789"
BUDGET_TOKENS = 300
USAGE = Usage(input_tokens=100, output_tokens=50)


@dataclass(frozen=True)
class Asked:
    """A request as a model sees it."""

    number: int
    text: str
    """What stands in the script's place."""
    target: Target
    plan: Plan
    call: Call
    nth: int
    """Of all requests, from 0."""


@dataclass(frozen=True)
class Said:
    """What a model answers."""

    text: str
    finish_reason: str = "stop"


Model = Callable[[Asked], Said | CallError]


def echo(asked: Asked) -> Said:
    return Said(asked.text)


class Reader:
    """A client that writes down what it gets. Implements ``Client``."""

    def __init__(self) -> None:
        self.body = b""
        self.journey: Journey | None = None
        self.writes = 0
        self.is_slow = False
        self.resume: Callable[[], None] | None = None
        self.has_ended = self.committed = False
        self.cost: Money | None = None
        """What the end of the answer says."""
        self.begun = asyncio.Event()

    @property
    def started(self) -> bool:
        return self.committed

    async def send_answer(self, journey: Journey, body: bytes) -> None:
        self.journey, self.body, self.committed, self.has_ended = journey, body, True, True
        self.cost = journey.cost

    async def begin_stream(self, journey: Journey, first: bytes) -> None:
        self.journey, self.committed = journey, True
        self.body += first
        self.begun.set()

    def write(self, data: bytes) -> bool:
        self.body += data
        self.writes += 1
        return not self.is_slow

    def when_drained(self, resume: Callable[[], None]) -> None:
        self.resume = resume

    async def end_stream(self, journey: Journey) -> None:
        self.has_ended, self.cost = True, journey.cost

    @property
    def chunks(self) -> list[dict[str, Any]]:
        events = self.body.decode().split("\n\n")
        return [orjson.loads(event.removeprefix("data: ")) for event in events if event]

    @property
    def deltas(self) -> list[str]:
        choices = [choice for chunk in self.chunks for choice in chunk["choices"]]
        return [choice["delta"]["content"] for choice in choices if "content" in choice["delta"]]

    @property
    def text(self) -> str:
        """The answer, streamed or not."""
        if self.body.startswith(b"data: "):
            return "".join(self.deltas)
        text: str = orjson.loads(self.body)["choices"][0]["message"]["content"]
        return text

    @property
    def facts(self) -> dict[str, Any]:
        """The field ``daobo``."""
        bodies = self.chunks if self.body.startswith(b"data: ") else [orjson.loads(self.body)]
        (found,) = [body["daobo"] for body in bodies if "daobo" in body]
        return dict(found)


@dataclass
class House:
    """Models that answer, in place of the rooms behind the mapper."""

    model: Model = echo
    config: ChunkingConfig = field(
        default_factory=lambda: ChunkingConfig(mode="map", budget_tokens=BUDGET_TOKENS)
    )
    targets: tuple[Target, ...] = (FIRST,)
    store: PartStore | None = None
    places: Places = field(default_factory=Places)
    asked: list[Asked] = field(default_factory=list)
    under_way: int = 0
    most_under_way: int = 0
    problems: list[str] = field(default_factory=list)
    before_answer: Callable[[Asked], Any] | None = None
    """Awaited with each request before it is answered."""
    now_s: float = 1000.0

    def cut(self, script: str, stream: bool = False, **call: Any) -> Journey:
        """The journey of a call whose script is cut."""
        body = {"messages": [{"role": "user", "content": script}]}
        made = Call(
            id="req_1",
            endpoint="chat",
            caller=Caller("key_1", tenant="studio"),
            model="m",
            body=body,
            body_bytes=len(orjson.dumps(body)),
            started_at_s=1_700_000_000.5,
            received_s=self.now_s,
            stream=stream,
        )._replace(**call)
        measure = Measure(made, Plan(self.targets, body, "task", task="polish"))
        assert measure.frame is not None
        plan = Cutter(lambda: FENCE).cut(measure, measure.frame, self.config)
        return Journey(made, plan, hold="the whole hold")

    @property
    def mapper(self) -> Mapper:
        return Mapper(
            self.places, self.store, lambda: self.now_s, lambda what, _: self.problems.append(what)
        )

    async def answer(self, script: str, stream: bool = False, **call: Any) -> Reader:
        reader = Reader()
        await self.mapper.send_parts(self.cut(script, stream, **call), reader, self.send)
        return reader

    async def send(self, part: Journey, client: Client) -> None:
        """What the pipeline's own is to the mapper."""
        assert part.plan is not None
        assert part.plan.part is not None
        assert part.hold == "the whole hold"
        target = part.plan.targets[0]
        text = part.plan.body["messages"][-1]["content"]
        asked = Asked(part.plan.part, text, target, part.plan, part.call, len(self.asked))
        self.asked.append(asked)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        outcome = Outcome.CLIENT_GONE
        try:
            if self.before_answer is not None:
                await self.before_answer(asked)
            await asyncio.sleep(0)
            said = self.model(asked)
            if isinstance(said, CallError):
                outcome = said.outcome
                if outcome not in (Outcome.RATE_LIMITED, Outcome.BUDGET_EXHAUSTED):
                    part.begin(target)
                raise said
            part.begin(target)
            outcome = Outcome.OK
            part.usage, part.bill = USAGE, Bill("USD", 1000, 1000)
            part.finish_reason, part.chunks = said.finish_reason, 3
            await _deliver(part, target, said, client)
        finally:
            self.under_way -= 1
            if part.target is not None:
                part.end(outcome, 0.1, "")


async def _deliver(part: Journey, target: Target, said: Said, client: Client) -> None:
    request = ChatRequest(f"{target.model}-real", {}, call_id="up_1", created_s=1)
    if not part.call.stream:
        message = {"content": said.text}
        body = completion_body(request, message, said.finish_reason, USAGE)
        return await client.send_answer(part, body)
    await client.begin_stream(part, completion_chunk(request, {"role": "assistant"}))
    for at in range(0, len(said.text), 100):
        client.write(completion_chunk(request, {"content": said.text[at : at + 100]}))
    client.write(completion_chunk(request, {}, said.finish_reason))
    await client.end_stream(part)


def whole_cut(journey: Journey) -> Cut:
    assert journey.plan is not None
    cut: Cut = journey.plan.cut
    return cut
