"""``GET /admin/report``: what was spent, as JSON or CSV."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import orjson
from aiohttp import web

from gateway.errors import CallError, Outcome
from gateway.report import ReportQuery, ReportResult, parse_query
from gateway.report_text import to_csv, to_json

FORMATS = ("json", "csv")


async def admin_report(
    request: web.Request, run: Callable[[ReportQuery], ReportResult]
) -> web.Response:
    """``by``, ``since``, ``until``, ``format`` and filters are the address's parameters.

    ``run`` reads the ledger in a thread. Raises CallError: INVALID_REQUEST lists the words that
    are allowed, and whatever ``run`` raises.
    """
    parameters = list(request.query.items())
    wanted = [value for name, value in parameters if name == "format"] or ["json"]
    try:
        if unknown := sorted(set(wanted) - set(FORMATS)):
            raise ValueError(f"{unknown[0]!r} is no format; there are {', '.join(FORMATS)}")
        query = parse_query(pair for pair in parameters if pair[0] != "format")
    except ValueError as error:
        raise CallError(Outcome.INVALID_REQUEST, str(error)) from None
    return await asyncio.to_thread(_answer, run, query, wanted[-1])


def _answer(
    run: Callable[[ReportQuery], ReportResult], query: ReportQuery, wanted: str
) -> web.Response:
    """Reading and rendering, both off the loop: a report may have a hundred thousand rows."""
    result = run(query)
    if wanted == "csv":
        return web.Response(text=to_csv(result), content_type="text/csv", charset="utf-8")
    return web.Response(body=orjson.dumps(to_json(result)), content_type="application/json")
