"""What the stand-in answers with: a status, headers, and a body in the pieces it arrives in.

Errors have the wire shape of the OpenAI API, https://platform.openai.com/docs/guides/error-codes
(read 2026-11-22).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import orjson

JSON = {"content-type": "application/json"}
EVENTS = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer before it is sent."""

    status: int
    pieces: Iterable[bytes]
    headers: Mapping[str, str] = field(default_factory=lambda: JSON)
    piece_delay_s: float = 0.0
    """Between two pieces."""
    cut_after: int | None = None
    """The connection breaks after so many pieces."""

    def with_headers(self, **headers: str) -> Reply:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return replace(self, headers={**self.headers, **named})


class Refusal(Exception):
    """A request that the stand-in answers with an error; it carries the reply."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.status)
        self.reply = reply


def error_reply(
    status: int, message: str, type: str, code: str | None = None, param: str | None = None
) -> Reply:
    error = {"message": message, "type": type, "param": param, "code": code}
    return Reply(status, (orjson.dumps({"error": error}),))


def bad_request(message: str, param: str | None = None, code: str | None = None) -> Refusal:
    return Refusal(error_reply(400, message, "invalid_request_error", code, param))
