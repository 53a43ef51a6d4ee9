"""``GET /admin/targets``: which targets are called, which are left alone, and why."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

from .refusals import json_reply

Rows = Callable[[], list[dict[str, Any]]]


async def admin_targets(
    request: web.Request, rows: Rows, retry_budget: Callable[[], Mapping[str, Any]]
) -> web.Response:
    """Of the process that answers: workers judge targets each for themselves."""
    body = {"object": "list", "data": rows(), "retry_budget": retry_budget()}
    return json_reply(body, headers={"cache-control": "no-store"})
