"""Reads request bodies: not too large, not too slow, unpacked, and JSON."""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any, NamedTuple

from aiohttp import HttpVersion11, StreamReader, web
from multidict import istr

from gateway.errors import CallError, Outcome

from .refusals import EXPECT
from .strict_json import invalid, is_work, parse_object
from .unpacking import CODINGS, Unpacker

_CONTENT_TYPE = istr("Content-Type")
_CONTENT_ENCODING = istr("Content-Encoding")
IDENTITY = "identity"
CHARSETS = frozenset({"utf-8", "utf8", "us-ascii", "ascii"})

_large_bodies = ThreadPoolExecutor(1, "daobo-bodies")
"""One thread for large bodies: parsing keeps the interpreter to itself, and two such threads would
keep the event loop waiting twice as long."""
JOINED_HERE_BYTES = 256 * 1024
"""Pieces of a larger body are put together in that thread: new memory costs a millisecond for each
two megabytes."""
BREATH_S = 0.0001
"""How long that thread leaves the interpreter to others, again and again. To give it up without a
pause would not do: it would have it back before the event loop could take it."""


class BodyLimits(NamedTuple):
    """What a client may send, and how slowly: at least ``timeout_s`` times
    ``min_bytes_per_s`` bytes, or the rest of the body, in each stretch of ``timeout_s``."""

    max_bytes: int
    timeout_s: float = 30.0
    min_bytes_per_s: int = 1024


async def read_json(
    request: web.Request,
    limits: BodyLimits,
    check: Callable[[dict[str, Any]], None] = lambda body: None,
) -> tuple[dict[str, Any], int]:
    """The body's object, checked, and its size in bytes as ``parse_object`` counts. Raises
    CallError."""
    pieces = await _receive(request, limits)
    try:
        if len(pieces) > 1 and sum(map(len, pieces)) <= JOINED_HERE_BYTES:
            pieces = [b"".join(pieces)]
        if len(pieces) == 1 and not is_work(pieces[0]):
            read = parse_object(pieces[0])
            check(read[0])
            return read
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(_large_bodies, _parse_large, pieces, check)
    except CallError as error:
        if error.param is None:
            error.message += _other_type(request.headers.get(_CONTENT_TYPE, ""))
        # What it passed through holds the body, and whoever tells the client holds the error: that
        # would stay until garbage is collected, and then hundreds of megabytes go at once.
        pieces.clear()
        error.__context__ = None
        raise error.with_traceback(None) from None


def _parse_large(
    pieces: list[bytes], check: Callable[[dict[str, Any]], None]
) -> tuple[dict[str, Any], int]:
    raw = b"".join(pieces)  # beyond a megabyte it lets the other threads go on
    pieces.clear()
    body, size = parse_object(raw, _breathe)
    check(body)
    return body, size


def _breathe() -> None:
    time.sleep(BREATH_S)


async def read_body(request: web.Request, limits: BodyLimits) -> bytes:
    """All of the body, unpacked. Raises CallError."""
    return b"".join(await _receive(request, limits))


async def _receive(request: web.Request, limits: BodyLimits) -> list[bytes]:
    """The pieces of the body, unpacked; at least one. Raises CallError."""
    headers = request.headers
    coding = _coding(headers[_CONTENT_ENCODING]) if _CONTENT_ENCODING in headers else IDENTITY
    if charset := _foreign_charset(headers.get(_CONTENT_TYPE, "")):
        raise invalid(f"the body is said to be {charset}; JSON is UTF-8, send it so")
    if request.content_length is not None and request.content_length > limits.max_bytes:
        raise _too_large(limits.max_bytes)
    content = request.content
    came_whole = content.is_eof() and content.exception() is None
    if came_whole and coding == IDENTITY:  # together with its head
        whole = content.read_nowait()
        if len(whole) > limits.max_bytes:
            raise _too_large(limits.max_bytes)
        return [whole]
    waits = EXPECT in headers and request.version >= HttpVersion11  # an older client cannot
    if waits and not content.is_eof() and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    return await _read_slowly(content, limits, None if coding == IDENTITY else Unpacker(coding))


async def _read_slowly(
    content: StreamReader, limits: BodyLimits, unpacker: Unpacker | None
) -> list[bytes]:
    pieces: list[bytes] = []
    size, counted = 0, 0
    quota = int(limits.timeout_s * limits.min_bytes_per_s)
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(None if content.is_eof() else limits.timeout_s) as patience:
            while came := await content.readany():
                if content.is_eof():
                    patience.reschedule(None)
                for piece in (came,) if unpacker is None else unpacker.unpacked(came):
                    pieces.append(piece)
                    size += len(piece)
                    if size > limits.max_bytes:
                        raise _too_large(limits.max_bytes)
                    if unpacker is not None:
                        await asyncio.sleep(0)
                if size - counted >= quota and not content.is_eof():
                    counted = size
                    patience.reschedule(loop.time() + limits.timeout_s)
    except TimeoutError:
        raise CallError(
            Outcome.REQUEST_TIMEOUT,
            f"only {size} bytes of the body came in time (server.body_timeout_s, "
            "server.min_body_bytes_per_s); send it again",
        ) from None
    except (web.RequestPayloadError, zlib.error):
        raise _broken() from None
    if unpacker is not None and not unpacker.is_whole:
        raise _broken()
    return pieces or [b""]


def _coding(header: str) -> str:
    coding = header.strip().lower()
    if coding not in CODINGS and coding != IDENTITY:
        raise invalid(
            f"the body's content-encoding is not understood; send one of "
            f"{', '.join(sorted(CODINGS))}, {IDENTITY}, or none"
        )
    return coding


def _broken() -> CallError:
    return invalid("the body cannot be read: its chunks or its content-encoding are broken")


@lru_cache(maxsize=256)
def _foreign_charset(content_type: str) -> str | None:
    """A charset that JSON is not written in, in a form that can be shown."""
    for parameter in content_type.split(";")[1:]:
        name, _, value = parameter.partition("=")
        charset = value.strip().strip("\"'").lower()
        if name.strip().lower() == "charset" and charset not in CHARSETS:
            return ascii(charset[:40])
    return None


def _other_type(content_type: str) -> str:
    """For a body that cannot be read: what its sender thinks it is."""
    said = content_type.partition(";")[0].strip().lower()
    if not said or said.endswith("json"):
        return ""
    return f" (its content-type is {said[:60]!a}; application/json is expected)"


def _too_large(max_bytes: int) -> CallError:
    return CallError(
        Outcome.BODY_TOO_LARGE,
        f"the body is larger than {max_bytes} bytes, the limit of this endpoint "
        "(server.max_body_bytes)",
    )
