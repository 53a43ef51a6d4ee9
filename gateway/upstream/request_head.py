"""Writes the head of an HTTP/1.1 request, and refuses what would smuggle another one.

https://www.rfc-editor.org/rfc/rfc9112 (read 2026-11-22).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

from gateway.errors import CallError, Outcome

Headers = tuple[tuple[str, str], ...]

_URL = re.compile(r"[!-~]+")
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_FIELD_VALUE = re.compile(r"[\t -~\x80-\xff]*")
_DEFAULT_PORT = {"http": 80, "https": 443}
_FRAMING = frozenset(
    {"connection", "content-length", "expect", "te", "trailer", "transfer-encoding", "upgrade"}
)
_BODYLESS = frozenset({"GET", "HEAD", "OPTIONS"})


class Origin(NamedTuple):
    """Where connections lead; only requests to the same origin share them."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class RequestHead:
    """All of a request that does not depend on its body, ready to be written."""

    origin: Origin
    method: str
    prefix: bytes
    """Up to and including ``content-length: ``."""
    bare: bytes
    """The head of a request without a body, closing blank line included."""

    def before(self, body: bytes) -> bytes:
        """The head to write in front of ``body``."""
        if not body and self.method in _BODYLESS:
            return self.bare
        return b"%b%d\r\n\r\n" % (self.prefix, len(body))

    def joined_with(self, body: bytes) -> bytes:
        """Head and body in one piece."""
        if not body:
            return self.before(body)
        return b"%b%d\r\n\r\n%b" % (self.prefix, len(body), body)


def write_head(
    method: str, url: str, headers: Headers, *, proxy_authorization: str | None, absolute: bool
) -> RequestHead:
    """Serialise. ``absolute`` asks for the absolute-form target that plain HTTP proxies need.

    Raises CallError(INVALID_REQUEST) for anything that could end a line early, and for headers
    that belong to the connection rather than to the request. It never repeats a header's value.
    """
    parts, origin = _split(url)
    if not _TOKEN.fullmatch(method):
        raise CallError(Outcome.INVALID_REQUEST, "The request's method is not an HTTP token.")
    fields = {
        "host": parts.netloc,
        "accept": "*/*",
        "accept-encoding": "identity",
        "user-agent": _USER_AGENT,
    }
    given = [(name.lower(), value) for name, value in headers]
    for name, value in given:
        _check_field(name, value)
        fields.pop(name, None)
    lines = [*fields.items(), *given]
    through_proxy = absolute and origin.scheme == "http"
    if through_proxy and proxy_authorization:
        lines.append(("proxy-authorization", proxy_authorization))
    target = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
    if through_proxy:
        target = f"http://{parts.netloc}{target}"
    text = f"{method} {target} HTTP/1.1\r\n" + "".join(f"{n}: {v}\r\n" for n, v in lines)
    bare = text.encode("latin-1")
    return RequestHead(origin, method, bare + b"content-length: ", bare + b"\r\n")


def _split(url: str) -> tuple[SplitResult, Origin]:
    if not _URL.fullmatch(url):
        raise CallError(
            Outcome.INVALID_REQUEST,
            "The upstream URL has a space, a control or a non-ASCII character; percent-encode it.",
        )
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
        (host or "").encode("idna")  # refuses empty and overlong labels
    except ValueError:
        raise CallError(Outcome.INVALID_REQUEST, "The upstream URL cannot be parsed.") from None
    if parts.scheme not in _DEFAULT_PORT or not host or parts.username is not None:
        raise CallError(
            Outcome.INVALID_REQUEST,
            "The upstream URL must be http:// or https:// with a host and without credentials.",
        )
    return parts, Origin(parts.scheme, host, port or _DEFAULT_PORT[parts.scheme])


def _check_field(name: str, value: str) -> None:
    if name in _FRAMING:
        raise CallError(
            Outcome.INVALID_REQUEST,
            f"The header {name!r} belongs to the connection and cannot be set on a request.",
        )
    if not _TOKEN.fullmatch(name):
        raise CallError(
            Outcome.INVALID_REQUEST, "A request header's name has a character that HTTP forbids."
        )
    if not _FIELD_VALUE.fullmatch(value):
        raise CallError(
            Outcome.INVALID_REQUEST,
            f"The value of the header {name!r} has a character that HTTP forbids.",
        )


def _user_agent() -> str:
    try:
        return f"daobo/{version('daobo')}"
    except PackageNotFoundError:
        return "daobo"


_USER_AGENT = _user_agent()
