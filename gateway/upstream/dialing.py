"""Opens connections: names to addresses, the address that answers first, proxies, TLS."""

from __future__ import annotations

import asyncio
import base64
import socket
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

from aiohappyeyeballs import AddrInfoType, start_connection

from gateway.errors import ConfigError

from .connection import Connection
from .request_head import Origin

_HEAD_START_S = 0.25
"""What one address family gets before the other is tried, RFC 8305."""
_DNS_TTL_S = 10.0
_MAX_NAMES = 256
_MAX_PROXY_HEAD_BYTES = 16 * 1024


def proxy_for(url: str, environ: Mapping[str, str]) -> str | None:
    """The proxy that the environment names for ``url``, None for a direct connection.

    ``<SCHEME>_PROXY`` wins over ``ALL_PROXY``, lower case over upper case; ``NO_PROXY`` lists
    host suffixes or ``*``.
    """
    named = {
        kind: environ.get(f"{kind}_proxy") or environ.get(f"{kind.upper()}_PROXY") or ""
        for kind in ("http", "https", "all", "no")
    }
    parts = urlsplit(url)
    proxy = named.get(parts.scheme, "") or named["all"]
    if not proxy or proxy_bypass_environment(parts.netloc.rpartition("@")[2], {"no": named["no"]}):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


class Proxy:
    """An HTTP proxy: CONNECT for https origins, absolute-form requests for http ones."""

    def __init__(self, url: str) -> None:
        """Raises ConfigError, which never repeats the URL: it may hold a password."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            host, port = None, None
        if not host or parts.scheme != "http":
            raise ConfigError("A proxy must be given as http://host:port or http://user:pass@host.")
        self.origin = Origin("http", host, port or 80)
        self.authorization: str | None = None
        if parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            self.authorization = f"Basic {base64.b64encode(pair.encode()).decode()}"

    async def tunnel(self, sock: socket.socket, to: Origin) -> None:
        """Make ``sock`` lead to ``to``. Raises ConnectionError with the proxy's status."""
        loop = asyncio.get_running_loop()
        lines = [f"CONNECT {to} HTTP/1.1", f"host: {to}"]
        if self.authorization:
            lines.append(f"proxy-authorization: {self.authorization}")
        await loop.sock_sendall(sock, "\r\n".join([*lines, "", ""]).encode("latin-1"))
        answer = b""
        while b"\r\n\r\n" not in answer:
            piece = await loop.sock_recv(sock, 4096)
            answer += piece
            if not piece or len(answer) > _MAX_PROXY_HEAD_BYTES:
                raise ConnectionError(f"the proxy {self.origin} did not answer CONNECT")
        status = answer.split(b"\r\n", 1)[0].split(b" ", 2)[1:2]
        if not answer.startswith(b"HTTP/1.") or not status or status[0][:1] != b"2":
            said = status[0][:3].decode("latin-1") if status else "nothing that is HTTP"
            raise ConnectionError(f"the proxy {self.origin} refused to connect: {said}")
        if not answer.endswith(b"\r\n\r\n"):
            raise ConnectionError(f"the proxy {self.origin} sent more than its answer")


class Dialer:
    """Opens the connections of one pool."""

    def __init__(self, ssl_context: ssl.SSLContext | None, proxy: Proxy | None) -> None:
        self._ssl_context = ssl_context
        self._proxy = proxy
        self._resolver = Resolver()

    async def dial(self, origin: Origin, connection: Connection) -> None:
        """Connect ``connection``. Raises OSError, and leaves nothing open if it is cancelled."""
        loop = asyncio.get_running_loop()
        hop = self._proxy.origin if self._proxy else origin
        addresses = await self._resolver.resolve(hop.host, hop.port)
        tls: dict[str, Any] = {}
        if origin.scheme == "https":
            tls = {"ssl": self._context(), "server_hostname": origin.host}
        if len(addresses) == 1 and self._proxy is None:
            # Nothing to race: the loop's own connect takes a quarter of the time.
            host, port = addresses[0][4][:2]
            transport, _ = await loop.create_connection(lambda: connection, host, port, **tls)
            connection.watch(transport.get_extra_info("socket"))
            return
        sock = await self._open_socket(origin, addresses)
        await loop.create_connection(lambda: connection, sock=sock, **tls)
        connection.watch(sock)

    async def _open_socket(self, origin: Origin, addresses: list[AddrInfoType]) -> socket.socket:
        """A socket that leads to ``origin``, through the proxy if there is one."""
        loop = asyncio.get_running_loop()
        try:
            sock = await start_connection(addresses, happy_eyeballs_delay=_HEAD_START_S, loop=loop)
        except RuntimeError as error:  # uvloop's word for some socket errors
            raise ConnectionError(str(error)) from None
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._proxy is not None and origin.scheme == "https":
                await self._proxy.tunnel(sock, origin)
        except BaseException:
            sock.close()
            raise
        return sock

    def _context(self) -> ssl.SSLContext:
        if self._ssl_context is None:
            self._ssl_context = ssl.create_default_context()
            self._ssl_context.set_alpn_protocols(["http/1.1"])
        return self._ssl_context


class Resolver:
    """Asks for each name once per ten seconds, however many connections are opened to it."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, int], tuple[float, asyncio.Future[list[AddrInfoType]]]] = {}

    async def resolve(self, host: str, port: int) -> list[AddrInfoType]:
        """Addresses of ``host``. Raises OSError."""
        literal = _literal(host, port)
        if literal is not None:
            return [literal]
        loop = asyncio.get_running_loop()
        key = (host, port)
        asked_until_s, asked = self._known.get(key, (0.0, None))
        if asked is None or loop.time() > asked_until_s:
            asked = loop.run_in_executor(None, _look_up, host, port)
            asked.add_done_callback(lambda done: self._forget_failure(key, done))
            if len(self._known) >= _MAX_NAMES:
                self._known.pop(next(iter(self._known)))
            self._known[key] = (loop.time() + _DNS_TTL_S, asked)
        return await asyncio.shield(asked)

    def _forget_failure(
        self, key: tuple[str, int], done: asyncio.Future[list[AddrInfoType]]
    ) -> None:
        if done.cancelled() or done.exception() is not None:
            self._known.pop(key, None)


def _look_up(host: str, port: int) -> list[AddrInfoType]:
    return [
        (family, kind, protocol, name, tuple(address))
        for family, kind, protocol, name, address in socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
        )
    ]


def _literal(host: str, port: int) -> AddrInfoType | None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    address: Any = (host, port, 0, 0) if ":" in host else (host, port)
    try:
        socket.inet_pton(family, host)
    except OSError:
        return None
    return (family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", address)
