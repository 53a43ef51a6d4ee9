"""Turns an authenticated HTTP request into a Call: who, what for, how billed, how big."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

from gateway.schema import Call, Caller

from .bodies import check_chat, check_embeddings, read_json
from .paths import Match

MAX_LABEL_CHARS = 200

CHECKS: Mapping[str, Callable[[dict[str, Any]], None]] = {
    "chat": check_chat,
    "embeddings": check_embeddings,
}


async def read_call(
    request: web.Request, matched: Match, caller: Caller, opening: Call, max_body_bytes: int
) -> Call:
    """The whole call. ``opening`` is what was known before the body. Raises CallError."""
    body, body_bytes = await read_json(request, max_body_bytes)
    if matched.model is not None:
        body["model"] = matched.model
    CHECKS[matched.endpoint](body)
    options = body.get("stream_options")
    return dataclasses.replace(
        opening,
        caller=_placed(caller, matched, request.headers, body),
        model=body["model"],
        body=body,
        body_bytes=body_bytes,
        stream=matched.endpoint == "chat" and body.get("stream") is True,
        include_usage=bool(options and options.get("include_usage")),
        task_hint=request.headers.get("X-Daobo-Task"),
    )


def _placed(
    caller: Caller, matched: Match, headers: Mapping[str, str], body: Mapping[str, Any]
) -> Caller:
    """The caller with project and user: header, then metadata, then base URL, then key."""
    metadata = body.get("metadata") or {}
    project = headers.get("X-Daobo-Project") or metadata.get("project") or matched.project
    user = body.get("user")
    if project is None and user is None:
        return caller
    return Caller(caller.key_id, _label(project) or caller.project, _label(user))


def _label(value: Any) -> str | None:
    return str(value)[:MAX_LABEL_CHARS] if value else None
