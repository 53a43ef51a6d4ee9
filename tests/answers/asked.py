"""Calls, plans and clients for the tests of this room."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from gateway.journey import Journey
from gateway.kept import Kept
from gateway.ledger import Bill
from gateway.schema import Call, Caller, Plan, Target

WRITER = Target("studio", "writer-1", "writer")
SECOND = Target("other", "writer-1", "writer")
ANSWER = b'{"choices":[{"message":{"content":"Once"},"finish_reason":"stop"}]}'
ASKED: dict[str, Any] = {"model": "draft", "messages": [{"role": "user", "content": "A scene."}]}
NOW_S = 1_795_348_800.0


def call(body: dict[str, Any] | None = None, caller: Caller | None = None, **more: Any) -> Call:
    facts = {"id": "req_1", "started_at_s": NOW_S, "received_s": 50.0, "body_bytes": 100, **more}
    return Call(
        endpoint=facts.pop("endpoint", "chat"),
        caller=caller or Caller("k1"),
        model="draft",
        body=ASKED if body is None else body,
        **facts,
    )


def plan_for(asked: Call, *targets: Target, **more: Any) -> Plan:
    return Plan(targets or (WRITER,), asked.body, "task", task="draft", **more)


def journey(asked: Call, *targets: Target, **more: Any) -> Journey:
    return Journey(asked, plan_for(asked, *targets, **more))


def kept(body: bytes = ANSWER, **more: Any) -> Kept:
    facts = {"made_s": NOW_S, "stream": False, "target": WRITER, "finish_reason": "stop", **more}
    return Kept(body=body, **facts)


@dataclass
class Listener:
    """A client that remembers what it was sent."""

    heard: list[bytes] = field(default_factory=list)
    ended: bool = False
    started: bool = False
    committed: bool = False

    async def send_answer(self, journey: Journey, body: bytes) -> None:
        self.started = self.committed = self.ended = True
        self.heard.append(body)

    async def begin_stream(self, journey: Journey, first: bytes) -> None:
        self.started = self.committed = True
        self.heard.append(first)

    def write(self, data: bytes) -> bool:
        self.heard.append(data)
        return True

    def when_drained(self, resume: Callable[[], None]) -> None:
        resume()

    async def end_stream(self, journey: Journey) -> None:
        self.ended = True

    @property
    def text(self) -> bytes:
        return b"".join(self.heard)


@dataclass
class Upstream:
    """Where calls are sent in the end: answers in order, and counts."""

    answers: list[bytes | BaseException] = field(default_factory=list)
    sent: int = 0
    target: Target = WRITER
    finish_reason: str | None = "stop"
    flags: tuple[str, ...] = ()
    cost_nano: int = 7
    gate: asyncio.Event | None = None
    under_way: asyncio.Event = field(default_factory=asyncio.Event)

    async def send(self, journey: Journey, client: Any) -> None:
        self.sent += 1
        self.under_way.set()
        if self.gate is not None:
            await self.gate.wait()
        answer = self.answers.pop(0) if self.answers else ANSWER
        journey.begin(self.target)
        journey.bill = Bill("USD", self.cost_nano, self.cost_nano)
        if isinstance(answer, BaseException):
            raise answer
        journey.finish_reason = self.finish_reason
        journey.flags = self.flags
        journey.chunks = 1
        if journey.call.stream:
            await client.begin_stream(journey, answer)
            await client.end_stream(journey)
        else:
            await client.send_answer(journey, answer)
