"""The public listener: every request comes in here, is told apart, and leaves with one answer."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, cast

from aiohttp import web

from gateway.config import ServerConfig
from gateway.errors import CallError, Outcome
from gateway.pipeline import Pipeline
from gateway.schema import Caller

from .auth import KeyRing, authenticate
from .bodies import BodyLimits
from .calls import CHECKS, Arrival, read_call
from .doorstep import Doorstep
from .heartbeat import Heartbeat
from .models import Listing, StateOf, get_model, list_models
from .paths import ENDPOINTS, Match, match, unknown_path
from .quotes import QuoteDesk, Quoter
from .refusals import header_text, json_reply, send_error
from .replies import HttpClient
from .shedding import SheddingConnection

MAX_BODY_BYTES: Mapping[str, int] = {"embeddings": 16 * 1024 * 1024, "quote_hold": 64 * 1024}
"""Endpoints that need less than ``server.max_body_bytes``."""


@dataclass(frozen=True)
class Serving:
    """One configuration at work. A call keeps the one that it came in under."""

    pipeline: Pipeline
    listing: Listing
    state_of: StateOf
    server: ServerConfig
    quoter: Quoter

    @cached_property
    def _body_limits(self) -> dict[str, BodyLimits]:
        return {}

    def limits_of_body(self, endpoint: str) -> BodyLimits:
        """What a client may send to an endpoint."""
        known = self._body_limits.get(endpoint)
        if known is None:
            server = self.server
            most = min(server.max_body_bytes, MAX_BODY_BYTES.get(endpoint, server.max_body_bytes))
            known = BodyLimits(most, server.body_timeout_s, server.min_body_bytes_per_s)
            self._body_limits[endpoint] = known
        return known


class Overload(Protocol):
    def refusal(self, key: str) -> CallError | None:
        """What to tell another call of the key; None if it may begin."""


class Door:
    """Handles every request of the public listener.

    ``serving`` gives the configuration of the moment, ``not_ready`` a reason while the gateway
    should get no traffic. ``wall_clock`` counts seconds since 1970, ``clock`` is monotonic.
    """

    def __init__(
        self,
        serving: Callable[[], Serving],
        ring: KeyRing,
        quotes: QuoteDesk,
        overload: Overload,
        doorstep: Doorstep,
        not_ready: Callable[[], str | None],
        wall_clock: Callable[[], float],
        clock: Callable[[], float],
    ) -> None:
        self._serving = serving
        self._ring = ring
        self._quotes = quotes
        self._overload = overload
        self._doorstep = doorstep
        self._heartbeat = Heartbeat(lambda: serving().server.heartbeat_s)
        self._not_ready = not_ready
        self._wall_clock = wall_clock
        self._clock = clock
        self._call_ids = map(f"req_{secrets.token_hex(6)}{{:08x}}".format, itertools.count(1))

    def add_to(self, app: web.Application) -> None:
        """The last route: what a plugin added is found before it.

        The paths that SDKs use have routes of their own because those are found by a hash.
        """
        for endpoint in ENDPOINTS:
            app.router.add_route("*", f"/v1/{endpoint}", self.handle, expect_handler=_continue)
        app.router.add_route("*", "/{path:(?s:.*)}", self.handle, expect_handler=_continue)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        serving = self._serving()
        arrival = Arrival(next(self._call_ids), self._wall_clock(), self._clock())
        endpoint = "other"
        try:
            matched = _matched(request)
            endpoint = matched.endpoint
            if endpoint in ("healthz", "readyz"):
                return self._health(endpoint)
            caller = authenticate(request.headers, self._ring)
            if endpoint not in CHECKS:
                return await self._beside_calls(request, matched, caller, arrival, serving)
            connection = request.protocol
            was_let_in = isinstance(connection, SheddingConnection) and connection.was_let_in
            if not was_let_in and (overloaded := self._overload.refusal(caller.key_id)):
                # Counted, and not put on record: that would cost as much as the rest of it.
                return send_error(request, overloaded, arrival.call_id, self._is_leaving())
            if not self._doorstep.may_begin():
                await self._doorstep.wait()
            limits = serving.limits_of_body(endpoint)
            call = await read_call(request, matched, caller, arrival, limits)
            if was_let_in:
                cast(SheddingConnection, connection).has_arrived()
        except Exception as error:  # what nobody foresaw is told in the shape of all errors, too
            told = serving.pipeline.refuse(arrival.refused(endpoint), error)
            is_last = self._is_leaving() or told.outcome is Outcome.REQUEST_TIMEOUT
            return send_error(request, told, arrival.call_id, is_last)
        client = HttpClient(request, call.id, self._is_leaving, serving.server.write_timeout_s)
        if call.stream:
            self._heartbeat.join(client)
        try:
            await serving.pipeline.answer(call, client)
        except CallError as error:
            return await client.fail(error)
        finally:
            if call.stream:
                self._heartbeat.leave(client)
        return client.sent

    def _is_leaving(self) -> bool:
        return self._not_ready() is not None

    async def _beside_calls(
        self,
        request: web.Request,
        matched: Match,
        caller: Caller,
        arrival: Arrival,
        serving: Serving,
    ) -> web.Response:
        """What sends nothing upstream. Raises CallError."""
        if matched.endpoint in ("models", "model"):
            return _lookup(serving, matched, arrival.call_id)
        return await self._quotes.answer(
            request,
            matched,
            caller,
            arrival,
            serving.quoter,
            serving.limits_of_body(matched.endpoint),
        )

    def _health(self, endpoint: str) -> web.Response:
        reason = self._not_ready() if endpoint == "readyz" else None
        body: dict[str, Any] = (
            {"status": "not ready", "reason": reason} if reason else {"status": "ok"}
        )
        return json_reply(body, status=503 if reason else 200)


async def _continue(request: web.Request) -> None:
    """Answers no ``Expect: 100-continue``: that is done where the body is read, once it is known
    that it will be."""


def _matched(request: web.Request) -> Match:
    found = match(request.path)
    if found is None:
        raise unknown_path(
            request.method, request.path, f"{request.scheme}://{header_text(request.host)}"
        )
    if request.method not in found.methods:
        served = " and ".join(method for method in found.methods if method != "HEAD")
        raise CallError(
            Outcome.METHOD_NOT_ALLOWED,
            f"{request.path[:200]} is served with {served}, not {request.method}",
        )
    return found


def _lookup(serving: Serving, matched: Match, call_id: str) -> web.Response:
    body: Mapping[str, Any]
    if matched.endpoint == "models":
        body = list_models(serving.listing, serving.state_of)
    else:
        body = get_model(serving.listing, matched.model or "", serving.state_of)
    return json_reply(body, headers={"x-request-id": call_id})
