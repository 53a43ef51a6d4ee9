"""Turns an authenticated HTTP request into a Call: who, what for, how billed, how big."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from aiohttp import web
from multidict import istr

from gateway.schema import Call, Caller

from .attribution import admitted_hold, attributed
from .bodies import BodyLimits, read_json
from .chunking import asked_chunking
from .fields import check_chat, check_embeddings
from .kept_answers import idempotency_key, wants_kept
from .paths import Match
from .priority import asked_priority

TASK = istr("X-Daobo-Task")
NOBODY = Caller("none")

CHECKS: Mapping[str, Callable[[dict[str, Any]], None]] = {
    "chat": check_chat,
    "embeddings": check_embeddings,
}


class Arrival(NamedTuple):
    """A request as it comes in, before anything is known of it."""

    call_id: str
    started_at_s: float
    received_s: float

    def refused(self, endpoint: str) -> Call:
        """The call that is put on record for a request that never became one."""
        return Call(
            id=self.call_id,
            endpoint=endpoint,
            caller=NOBODY,
            model="",
            body={},
            body_bytes=0,
            started_at_s=self.started_at_s,
            received_s=self.received_s,
        )


async def read_call(
    request: web.Request, matched: Match, caller: Caller, arrival: Arrival, limits: BodyLimits
) -> Call:
    """Reads the body and checks it. Raises CallError."""

    def check(body: dict[str, Any]) -> None:
        if matched.model is not None:
            body["model"] = matched.model
        CHECKS[matched.endpoint](body)

    body, body_bytes = await read_json(request, limits, check)
    options, headers = body.get("stream_options"), request.headers
    return Call(
        id=arrival.call_id,
        endpoint=matched.endpoint,
        caller=attributed(caller, matched, headers, body),
        model=body["model"],
        body=body,
        body_bytes=body_bytes,
        started_at_s=arrival.started_at_s,
        received_s=arrival.received_s,
        stream=matched.endpoint == "chat" and body.get("stream") is True,
        include_usage=bool(options and options.get("include_usage")),
        task_hint=headers.get(TASK),
        admitted_hold=admitted_hold(headers),
        priority=asked_priority(headers),
        cache=wants_kept(headers),
        idempotency_key=idempotency_key(headers),
        chunking=asked_chunking(headers),
    )
