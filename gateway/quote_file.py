"""A file of requests, read and quoted as an operator's machine has it: without a gateway."""

from __future__ import annotations

import time
from typing import Any

import orjson

from .assembly import Rooms
from .errors import CallError
from .quote import Quote
from .schema import Caller
from .server.calls import Arrival
from .server.quote_entries import asked, read_entries
from .server.strict_json import parse_json

NOBODY = Caller("command")


def quote_document(rooms: Rooms, document: Any) -> Quote:
    """What the requests of a document cost at least, likely and at most. Raises CallError."""
    arrival = Arrival("quote", time.time(), time.monotonic())
    return rooms.serving.quoter.quote(asked(read_entries(document), NOBODY, None, arrival))


def read_document(raw: bytes) -> Any:
    """JSON, or a list of what stands on each line. Raises CallError."""
    lines = [line for line in raw.splitlines() if line.strip()]
    try:
        return parse_json(raw)[0]
    except CallError:
        if len(lines) < 2 or not _is_json(lines[0]):
            raise
    return [_line(number, line) for number, line in enumerate(lines, start=1)]


def _line(number: int, raw: bytes) -> Any:
    try:
        return parse_json(raw)[0]
    except CallError as error:
        raise CallError(error.outcome, f"line {number}: {error.message}") from None


def _is_json(line: bytes) -> bool:
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    return True
