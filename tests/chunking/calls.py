"""Calls with a script, and a room that has no provider behind it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from gateway.chunking.room import Room
from gateway.config_chunking import ChunkingConfig
from gateway.contracts import Client
from gateway.errors import CallError, Outcome
from gateway.journey import Journey
from gateway.schema import Call, Caller, Plan, Target

FENCE = "0f1e2d3c4b5a6978"
RULES = {
    "polish": ChunkingConfig(mode="map"),
    "review": ChunkingConfig(mode="reduce"),
    "storyboard": ChunkingConfig(mode="map", answer="text"),
    "draft": ChunkingConfig(),
}


def target(name: str, context_tokens: int | None, max_output_tokens: int | None = None) -> Target:
    return Target(
        "studio", name, "m", context_tokens=context_tokens, max_output_tokens=max_output_tokens
    )


def call(text: str, **fields: Any) -> Call:
    body = {"model": "m", "messages": [{"role": "user", "content": text}], **fields}
    return call_with(body)


def call_with(body: dict[str, Any], endpoint: str = "chat") -> Call:
    size = len(orjson.dumps(body))
    return Call("req_1", endpoint, Caller("key_1"), "m", body, size, started_at_s=0, received_s=0)


class NoParts:
    """In place of a mapper: these tests end where sending begins."""

    async def send_parts(self, journey: Journey, client: Client, send: Any) -> None:
        raise CallError(Outcome.INTERNAL, "nothing is sent here")


def room(draw_fence: Callable[[], str] = lambda: FENCE, **rules: ChunkingConfig) -> Room:
    return Room({**RULES, **rules}, NoParts(), draw_fence)


def fit(
    asked: Call,
    *targets: Target,
    task: str | None = None,
    cap: int | None = None,
    in_room: Room | None = None,
) -> Plan:
    plan = Plan(targets, asked.body, "model", task=task, max_output_tokens=cap)
    return (in_room or room()).fit_now(asked, plan)
