"""What is left of a body that was refused: nothing."""

from __future__ import annotations

from types import TracebackType
from typing import Any

import pytest
from aiohttp import web

from gateway.errors import CallError
from gateway.server.bodies import BodyLimits, read_json

LIMITS = BodyLimits(max_bytes=8 * 1024 * 1024, timeout_s=60.0, min_bytes_per_s=1)
SWARM = b'{"messages":' + b"[" * 600_000 + b"]" * 600_000 + b"}"
BROKEN = b'{"messages":"' + b"a" * 1_200_000
TWICE = b'{"a":1,"a":"' + b"a" * 1_200_000 + b'"}'


@pytest.mark.parametrize("body", [SWARM, BROKEN, TWICE, b'{"messages":'])
async def test_an_error_does_not_keep_the_body(body: bytes, aiohttp_client: Any) -> None:
    errors: list[CallError] = []

    async def refuse(request: web.Request) -> web.Response:
        try:
            await read_json(request, LIMITS)
        except CallError as error:
            errors.append(error)
        return web.Response()

    app = web.Application(client_max_size=LIMITS.max_bytes)
    app.router.add_post("/", refuse)
    client = await aiohttp_client(app)
    assert (await client.post("/", data=body)).status == 200
    [error] = errors
    assert error.__context__ is None
    assert held_bytes(error.__traceback__) < len(body)


def held_bytes(traceback: TracebackType | None) -> int:
    """In the variables of the frames that an error passed through."""
    held = 0
    while traceback is not None:
        for value in traceback.tb_frame.f_locals.values():
            pieces = value if isinstance(value, list) else [value]
            held += sum(len(piece) for piece in pieces if isinstance(piece, bytes | str))
        traceback = traceback.tb_next
    return held
