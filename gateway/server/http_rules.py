"""What a request's head must be, beyond what aiohttp's parser refuses by itself.

The parser (llhttp, strict) refuses bare CR and LF, folded lines, control characters, targets that
are not ASCII, two Content-Length, two Host or none, and Content-Length beside Transfer-Encoding.
https://www.rfc-editor.org/rfc/rfc9112 (read 2026-11-23) says the rest.
"""

from __future__ import annotations

import re
from functools import lru_cache

import aiohttp
from aiohttp import http_parser
from aiohttp.http import HttpVersion11, RawRequestMessage
from multidict import istr

from gateway.errors import CallError, ConfigError, Outcome

OLDEST_AIOHTTP = (3, 14, 5)
PROBES = frozenset({"/healthz", "/readyz"})
"""They are asked by whoever watches machines, at an address and not at a name."""

_HOST = istr("Host")
_TRANSFER_ENCODING = istr("Transfer-Encoding")
_EXPECT = istr("Expect")
_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~%!$&'()*+,;=-]*)(:\d{0,5})?")


def require_strict_parser() -> None:
    """Raises ConfigError where requests would be read by another parser than the strict one."""
    version = tuple(int(part) for part in re.findall(r"\d+", aiohttp.__version__)[:3])
    if version < OLDEST_AIOHTTP:
        raise ConfigError(
            f"aiohttp {aiohttp.__version__} is too old to face clients; install 3.14.5 or newer"
        )
    if not hasattr(http_parser, "HttpRequestParserC"):
        raise ConfigError(
            "aiohttp runs without its C parser, and the other one is less strict; unset "
            "AIOHTTP_NO_EXTENSIONS, or install aiohttp from a wheel"
        )


def fault_of(message: RawRequestMessage, allowed_hosts: tuple[str, ...]) -> CallError | None:
    """What is wrong with a request's head, if anything is."""
    headers = message.headers
    if message.path[0] != "/":
        return _fault(
            "the target of a request must be a path such as /v1/chat/completions; this gateway is "
            "no proxy"
        )
    if _TRANSFER_ENCODING in headers and (
        headers[_TRANSFER_ENCODING].lower() != "chunked" or message.version < HttpVersion11
    ):
        return _fault("Transfer-Encoding must be 'chunked', once, and needs HTTP/1.1")
    if _EXPECT in headers and headers[_EXPECT].lower() != "100-continue":
        return _fault("the header Expect may say 100-continue and nothing else")
    why = _fault_of_host(headers.get(_HOST, ""), allowed_hosts)
    if why is None or (why is _NOT_ALLOWED and message.path in PROBES):
        return None
    return _fault(why)


_NOT_ALLOWED = (
    "the Host header names none of the hosts that this gateway answers for "
    "(server.allowed_hosts in its configuration)"
)


@lru_cache(maxsize=1024)
def _fault_of_host(host: str, allowed: tuple[str, ...]) -> str | None:
    found = _AUTHORITY.fullmatch(host)
    if found is None:
        return "the Host header is not a host with an optional port"
    if allowed and found[1].lower() not in allowed:
        return _NOT_ALLOWED
    return None


def _fault(what: str) -> CallError:
    return CallError(Outcome.INVALID_REQUEST, what)
