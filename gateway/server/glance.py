"""What can be seen of a call before anything of it is parsed: where it ends, and whose it is.

Only of the plainest calls, about whose end no two readers can differ: HTTP/1.1, one Content-Length,
nothing that concerns the connection or a coding of the transfer. All others are left to the parser.
https://www.rfc-editor.org/rfc/rfc9112#section-6 (read 2026-11-23) says how a body's length is told.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from .calls import CHECKS
from .paths import match

MAX_HEAD_BYTES = 8 * 1024
MAX_BODY_BYTES = 1024 * 1024
"""The rest of a larger body is not waited for on a connection that stays."""

_HEAD = re.compile(
    rb"POST (/[!-$&-~]*+) HTTP/1\.1\r\n"
    rb"((?:[!#$%&'*+.^_`|~0-9A-Za-z-]++:[\t -~]*+\r\n){1,100}+)\r\n"
)
_LENGTH = re.compile(rb"^content-length:[\t ]*+([0-9]{1,9})[\t ]*+\r", re.MULTILINE)
_UNUSUAL = re.compile(
    rb"^(?:transfer-encoding|te|trailer|expect|upgrade):"
    rb"|^connection:(?![\t ]*+keep-alive[\t ]*+\r)",
    re.MULTILINE,
)
_AUTHORIZATION = re.compile(rb"^authorization:([^\r]*)", re.MULTILINE | re.IGNORECASE)


class Glance(NamedTuple):
    """What was seen of a call."""

    total_bytes: int
    """Of head and body."""
    fields: int
    """Lines of the head without the first."""
    authorization: str


def glance(data: bytes) -> Glance | None:
    """At bytes that begin with a request; None unless it is a plain call whose head is complete."""
    found = _HEAD.match(data, 0, MAX_HEAD_BYTES)
    if found is None or not _is_call(found[1]):
        return None
    fields = found[2]
    names = fields.lower()
    lengths = _LENGTH.findall(names)
    if len(lengths) != 1 or names.count(b"content-length:") != 1 or _UNUSUAL.search(names):
        return None
    body_bytes = int(lengths[0])
    authorizations = _AUTHORIZATION.findall(fields)
    if len(authorizations) != 1 or body_bytes > MAX_BODY_BYTES:
        return None
    authorization = authorizations[0].decode("ascii").strip()
    return Glance(found.end() + body_bytes, fields.count(b"\n"), authorization)


def _is_call(target: bytes) -> bool:
    found = match(target.decode("ascii").partition("?")[0])
    return found is not None and found.endpoint in CHECKS
