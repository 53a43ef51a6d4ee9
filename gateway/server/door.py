"""The public listener: every request comes in here, is told apart, and leaves with one answer."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from gateway.errors import CallError, Outcome
from gateway.pipeline import Pipeline
from gateway.schema import Caller

from .auth import KeyRing, authenticate
from .calls import CHECKS, Arrival, read_call
from .models import Listing, get_model, list_models
from .paths import ENDPOINTS, Match, match, unknown_path
from .quotes import QuoteDesk, Quoter
from .replies import HttpClient, error_reply, header_text, json_reply


@dataclass(frozen=True)
class Serving:
    """One configuration at work. A call keeps the one that it came in under."""

    pipeline: Pipeline
    listing: Listing
    max_body_bytes: int
    quoter: Quoter


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
        not_ready: Callable[[], str | None],
        wall_clock: Callable[[], float],
        clock: Callable[[], float],
    ) -> None:
        self._serving = serving
        self._ring = ring
        self._quotes = quotes
        self._not_ready = not_ready
        self._wall_clock = wall_clock
        self._clock = clock
        self._call_ids = map(f"req_{secrets.token_hex(6)}{{:08x}}".format, itertools.count(1))

    def add_to(self, app: web.Application) -> None:
        """The last route: what a plugin added is found before it.

        The paths that SDKs use have routes of their own because those are found by a hash.
        """
        for endpoint in ENDPOINTS:
            app.router.add_route("*", f"/v1/{endpoint}", self.handle)
        app.router.add_route("*", "/{path:(?s:.*)}", self.handle)

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
            call = await read_call(request, matched, caller, arrival, serving.max_body_bytes)
        except Exception as error:  # what nobody foresaw is told in the shape of all errors, too
            told = serving.pipeline.refuse(arrival.refused(endpoint), error)
            return error_reply(told, arrival.call_id)
        client = HttpClient(request, call.id, lambda: self._not_ready() is not None)
        try:
            await serving.pipeline.answer(call, client)
        except CallError as error:
            return await client.fail(error)
        return client.sent

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
            return _lookup(serving.listing, matched, arrival.call_id)
        return await self._quotes.answer(
            request, matched, caller, arrival, serving.quoter, serving.max_body_bytes
        )

    def _health(self, endpoint: str) -> web.Response:
        reason = self._not_ready() if endpoint == "readyz" else None
        body: dict[str, Any] = (
            {"status": "not ready", "reason": reason} if reason else {"status": "ok"}
        )
        return json_reply(body, status=503 if reason else 200)


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


def _lookup(listing: Listing, matched: Match, call_id: str) -> web.Response:
    body: Mapping[str, Any]
    if matched.endpoint == "models":
        body = list_models(listing)
    else:
        body = get_model(listing, matched.model or "")
    return json_reply(body, headers={"x-request-id": call_id})
