"""``GET /admin/report`` over a real socket, with a ledger that answers what it is asked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient

from gateway.errors import CallError, Outcome
from gateway.ledger import NANO
from gateway.report import Amounts, Book, Group, ReportQuery, ReportResult, ReportTerms
from gateway.server.refusals import error_reply
from gateway.server.report import admin_report

Client = TestClient[web.Request, web.Application]


@pytest.fixture
def asked() -> list[ReportQuery]:
    """What the ledger was asked for."""
    return []


@pytest.fixture
async def client(
    aiohttp_client: Callable[[web.Application], Awaitable[Client]], asked: list[ReportQuery]
) -> Client:
    def run(query: ReportQuery) -> ReportResult:
        asked.append(query)
        book = Book(calls=2, succeeded=2, attempts=2)
        book.add(("CNY", NANO), Amounts(total=3 * NANO))
        groups = [Group(("night-market",), book, Book())] if query.by else []
        terms = ReportTerms("Asia/Shanghai", "CNY", 0)
        return ReportResult(query, terms, None, None, groups, Group((), book, Book()), [])

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            return await admin_report(request, run)
        except CallError as error:
            return error_reply(error, "adm_1")

    app = web.Application()
    app.router.add_get("/admin/report", handle)
    return await aiohttp_client(app)


async def test_a_report_is_json_unless_csv_is_wanted(client: Client) -> None:
    reply = await client.get("/admin/report", params={"by": "project"})
    assert reply.content_type == "application/json"
    told = await reply.json()
    assert told["groups"][0]["group"] == {"project": "night-market"}
    assert told["groups"][0]["spent"]["converted"]["total"] == "3.00"
    reply = await client.get("/admin/report", params={"by": "project", "format": "csv"})
    assert (reply.content_type, reply.charset) == ("text/csv", "utf-8")
    assert (await reply.text()).startswith("project,currency,calls,")


async def test_parameters_become_the_query(client: Client, asked: list[ReportQuery]) -> None:
    await client.get("/admin/report?by=project,day&by=task&since=7d&project=a&project=b&task=")
    where = (("project", "a"), ("project", "b"), ("task", ""))
    assert asked == [ReportQuery(("project", "day", "task"), where, "7d", None)]


@pytest.mark.parametrize(
    ("query", "allowed"),
    [
        ("by=colour", "tenant, project, season"),
        ("since=yesterday", "2026-11-01"),
        ("colour=red", "by, since, until, format"),
        ("format=xml", "json, csv"),
    ],
)
async def test_a_wrong_parameter_lists_the_allowed_words(
    client: Client, asked: list[ReportQuery], query: str, allowed: str
) -> None:
    reply = await client.get(f"/admin/report?{query}")
    error = (await reply.json())["error"]
    assert (reply.status, error["type"]) == (400, Outcome.INVALID_REQUEST.type)
    assert allowed in error["message"]
    assert asked == []
