"""The admin API, on the operators' listener: budgets, and what is held at the moment.

Every route asks for a key with the right to it; there is no mode without. Amounts are decimal
strings. Work on the database is done in a thread, on connections of its own.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, NamedTuple, Protocol

from aiohttp import web

from gateway.budget import Budget, amount, budget_id, parse_scope, parse_window, scope_of
from gateway.budget_words import MARKS, NodeBalance, check_names, written_budget
from gateway.errors import CallError, Outcome
from gateway.ledger import MICRO, HoldRequest

from .auth import AdminKeyRing, authenticate_admin
from .bodies import BodyLimits, read_json
from .refusals import error_reply, json_reply

BODY_LIMITS = BodyLimits(64 * 1024)
MAX_HOLDS = 1000
FIELDS = ("scope", "cap", "currency", "window", "mode", "warn_at_percent")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Answer = Callable[[web.Request], Awaitable[Mapping[str, Any]]]


class BudgetBook(Protocol):
    """The budgets of the database; blocks, and raises CallError."""

    def balances(self) -> list[NodeBalance]: ...

    def put(self, budget: Budget) -> list[NodeBalance]: ...

    def remove(self, budget_id: str) -> Budget: ...

    def holds(self, limit: int) -> list[tuple[HoldRequest, bool]]: ...


class Known(NamedTuple):
    """What a budget may name, and whose days it goes by."""

    tasks: Collection[str]
    keys: Collection[str]
    """Ids."""
    time_zone: str


class Admin:
    """The handlers. ``known`` gives what the gateway knows at that moment, ``wall_clock`` counts
    seconds since 1970."""

    def __init__(
        self,
        ring: AdminKeyRing,
        book: BudgetBook,
        known: Callable[[], Known],
        wall_clock: Callable[[], float],
        report_failure: Callable[[str, BaseException], None],
    ) -> None:
        self._ring = ring
        self._book = book
        self._known = known
        self._wall_clock = wall_clock
        self._report_failure = report_failure

    def add_to(self, app: web.Application) -> None:
        for method, path, answer in (
            ("GET", "/admin/budgets", self._list),
            ("PUT", "/admin/budgets", self._put),
            ("DELETE", "/admin/budgets", self._remove),
            ("GET", "/admin/holds", self._holds),
        ):
            app.router.add_route(method, path, self.guarded(_as_json(answer)))

    def guarded(self, handler: Handler) -> Handler:
        """The handler for those who may; errors in the shape that OpenAI clients read."""

        async def handle(request: web.Request) -> web.StreamResponse:
            request_id = f"adm_{secrets.token_hex(10)}"
            try:
                authenticate_admin(request.headers, self._ring)
                return await handler(request)
            except CallError as error:
                return error_reply(error, request_id)
            except web.HTTPException:
                raise
            except Exception as error:
                self._report_failure(f"the admin request {request_id} failed", error)
                return error_reply(
                    CallError(
                        Outcome.INTERNAL,
                        f"the gateway failed on request {request_id}; its log says why",
                    ),
                    request_id,
                )

        return handle

    async def _list(self, request: web.Request) -> Mapping[str, Any]:
        return _listing(await asyncio.to_thread(self._book.balances))

    async def _put(self, request: web.Request) -> Mapping[str, Any]:
        body, _ = await read_json(request, BODY_LIMITS)
        budget = asked_budget(body, self._known())
        return _listing(await asyncio.to_thread(self._book.put, budget))

    async def _remove(self, request: web.Request) -> Mapping[str, Any]:
        window = request.query.get("window", "total")
        try:
            scope = parse_scope(request.query.get("scope", ""))
            id_ = budget_id(scope, parse_window(window, "UTC"))
        except ValueError as error:
            raise CallError(Outcome.INVALID_REQUEST, str(error)) from None
        removed = await asyncio.to_thread(self._book.remove, id_)
        return {"object": "budget", "deleted": True, "scope": removed.name, "window": window}

    async def _holds(self, request: web.Request) -> Mapping[str, Any]:
        holds = await asyncio.to_thread(self._book.holds, MAX_HOLDS + 1)
        now_s = self._wall_clock()
        data = [_hold_fields(hold, is_alive, now_s) for hold, is_alive in holds[:MAX_HOLDS]]
        return {"object": "list", "data": data, "has_more": len(holds) > MAX_HOLDS}


def nothing_there(app: web.Application) -> Handler:
    """The last route of the operators' listener: what no other one serves."""

    async def handle(request: web.Request) -> web.StreamResponse:
        there = {
            resource.canonical: {route.method for route in resource}
            for resource in app.router.resources()
        }
        there.pop("/{path}", None)
        methods = there.get(request.path)
        if methods is None:
            served = ", ".join(sorted(there))
            error = CallError(
                Outcome.UNKNOWN_PATH,
                f"there is nothing at {request.path[:200]} for operators; served are {served}. "
                "Calls of clients go to the other port.",
            )
        else:
            error = CallError(
                Outcome.METHOD_NOT_ALLOWED,
                f"{request.path} is served with {' and '.join(sorted(methods - {'HEAD'}))}, "
                f"not {request.method}",
            )
        return error_reply(error, f"adm_{secrets.token_hex(10)}")

    return handle


def asked_budget(body: Mapping[str, Any], known: Known) -> Budget:
    """The budget that a PUT describes. Raises CallError(INVALID_REQUEST)."""
    unknown = sorted(set(body) - set(FIELDS))
    if unknown:
        raise _wrong(f"{unknown[0]!r} is no field here; there are {', '.join(FIELDS)}", unknown[0])
    scope = _scope(body.get("scope"))
    cap = _cap(body.get("cap"))
    marks = body.get("warn_at_percent", list(MARKS))
    if not isinstance(marks, list) or not all(type(mark) is int for mark in marks):
        raise _wrong("warn_at_percent must be a list of whole numbers", "warn_at_percent")
    try:
        check_names(scope, known.tasks, known.keys)
        return written_budget(
            scope,
            cap,
            _text(body, "currency", "CNY"),
            _text(body, "window", "total"),
            _text(body, "mode", "hard"),
            marks,
            known.time_zone,
        )
    except ValueError as error:
        raise _wrong(str(error), None) from None


def _scope(value: Any) -> tuple[tuple[str, str], ...]:
    try:
        if isinstance(value, str):
            return parse_scope(value)
        if isinstance(value, dict) and all(isinstance(part, str) for part in value.values()):
            levels = {level: part.strip() for level, part in value.items()}
            if empty := [level for level, part in levels.items() if not part]:
                raise _wrong(f"scope.{empty[0]} is empty; leave out what is not named", "scope")
            return scope_of(levels)
    except ValueError as error:
        raise _wrong(str(error), "scope") from None
    raise _wrong(
        "scope must be an object of levels and their values, or text such as "
        "'project=night-market'; 'everything' is all calls",
        "scope",
    )


def _cap(value: Any) -> str:
    if isinstance(value, float):
        raise _wrong(
            "cap is a JSON number with a fraction or an exponent, or too large a one: not exactly "
            'the amount that was written; send it as a string, such as "0.50"',
            "cap",
        )
    if isinstance(value, str) or type(value) is int:
        return str(value).strip()
    raise _wrong('cap must be a decimal string, such as "1000"', "cap")


def _text(body: Mapping[str, Any], name: str, default: str) -> str:
    value = body.get(name, default)
    if not isinstance(value, str):
        raise _wrong(f"{name} must be a string", name)
    return value


def _wrong(message: str, param: str | None) -> CallError:
    return CallError(Outcome.INVALID_REQUEST, message, param=param)


def _listing(balances: list[NodeBalance]) -> Mapping[str, Any]:
    return {"object": "list", "data": [balance.fields() for balance in balances]}


def _hold_fields(hold: HoldRequest, is_alive: bool, now_s: float) -> dict[str, Any]:
    """An admitted quote belongs to no process; it ends when it expires."""
    is_quote = hold.expires_us is not None
    return {
        "id": hold.id,
        "place": {level: value for level, value in hold.place._asdict().items() if value},
        "amount": amount(hold.amount_nano),
        "currency": hold.currency,
        "age_s": max(0, int(now_s - hold.started_us / MICRO)),
        "rehearsal": hold.rehearsal,
        "owner_alive": None if is_quote else is_alive,
        "expires_in_s": int(hold.expires_us / MICRO - now_s) if hold.expires_us else None,
        "drawn_from": hold.parent,
    }


def _as_json(answer: Answer) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        return json_reply(await answer(request), headers={"cache-control": "no-store"})

    return handle
