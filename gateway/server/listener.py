"""The listener's protocol: who is slow, who is at rest, and what is no HTTP.

aiohttp has no deadline for a request's head, no bound on connections, and answers what it cannot
read in plain text that repeats what came, with a traceback in the log. It has no settings for that.
The private names of its ``RequestHandler`` that are used here are all there is of it:
``_messages`` (requests that are read and not begun), ``_waiter`` (pending while a connection waits
for one; cancelled, it ends the task that waits), ``_task_handler`` (that task, or None),
``_keepalive_handle`` (its timer, set here and so never by itself) and
``_next_keepalive_close_time`` (with a keep-alive of 0, when the last answer was out).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol, cast

from aiohttp import web
from aiohttp.streams import EMPTY_PAYLOAD
from aiohttp.web_protocol import _ErrInfo

from gateway.errors import CallError, Outcome

from .http_rules import fault_of, require_strict_parser
from .one_too_many import OneTooMany
from .refusals import error_bytes, error_reply, stray_id
from .write_watch import unsent_bytes

REST_S = 0.5
"""How long after its beginning, and after it was woken, a connection is looked at for the first
time: if it waits for a request then, it comes to rest."""
LINGER_S = 5.0
"""How long the rest of a body is read and dropped behind an answer that did not wait for it."""
UNSENT_BYTES = 16 * 1024
"""What may wait in this process for a slow client, beyond the kernel's buffer and the one write
that passes it; then its upstream is paused."""
STALLED_LOOKS = 5
"""So many times in a row a client has taken nothing before it counts as stalled."""
_GRAIN_S = 0.002
"""Loops round timers to a millisecond and may fire that much early."""


class ListenerSettings(Protocol):
    """What ``server:`` of the configuration says of connections."""

    @property
    def head_timeout_s(self) -> float: ...

    @property
    def idle_timeout_s(self) -> float: ...

    @property
    def write_timeout_s(self) -> float: ...

    @property
    def max_connections(self) -> int: ...

    @property
    def allowed_hosts(self) -> tuple[str, ...]: ...


class Connection(web.RequestHandler):
    """One client's connection."""

    __slots__ = (
        "_head_began_s",
        "_is_at_rest",
        "_settings",
        "_still_looks",
        "_unsent_bytes",
        "_was_asked",
    )

    def __init__(self, settings: Callable[[], ListenerSettings], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._settings = settings
        self._head_began_s: float | None = None
        self._was_asked = self._is_at_rest = False
        self._unsent_bytes = self._still_looks = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        cast(asyncio.Transport, transport).set_write_buffer_limits(high=UNSENT_BYTES)
        self._head_began_s = self._loop.time()
        settings = self._settings()
        self._ring_in(min(settings.head_timeout_s, settings.idle_timeout_s, REST_S))

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._messages:
            self._head_began_s = None
            self._refuse_faulty()
            if self._is_at_rest:
                self._wake()
        elif self._head_began_s is not None or self._is_waiting:
            self._head_goes_on()

    @property
    def _is_waiting(self) -> bool:
        """For a request; not while one is answered, nor before aiohttp has begun to wait."""
        return self._is_at_rest or (self._waiter is not None and not self._waiter.done())

    def _rest(self, waiter: asyncio.Future[None]) -> None:
        """End the task that waits for a request: it holds the last one, which is half of what
        an idle connection costs."""
        waiter.cancel()
        self._task_handler = None
        self._is_at_rest = True

    def _wake(self) -> None:
        self._is_at_rest = False
        self._task_handler = asyncio.ensure_future(self.start())
        self._ring_in(REST_S)

    def _refuse_faulty(self) -> None:
        """Put an error in the place of a request whose head is wrong; nothing after it counts."""
        messages, allowed_hosts = self._messages, self._settings().allowed_hosts
        for at, (message, _) in enumerate(messages):
            if isinstance(message, _ErrInfo):
                continue
            if (fault := fault_of(message, allowed_hosts)) is not None:
                while len(messages) > at:
                    messages.pop()
                messages.append((_ErrInfo(400, fault, fault.message), EMPTY_PAYLOAD))
                return
            if message.upgrade and ("Content-Length" in message.headers or message.chunked):
                # aiohttp drops what came behind such a body, and would go on in the middle of it.
                messages[at] = (message._replace(should_close=True), messages[at][1])

    def _has_answered(self, request: web.BaseRequest, response: web.StreamResponse) -> None:
        """For kinds of connections that want to know."""

    async def finish_response(self, *args: Any) -> tuple[web.StreamResponse, bool]:
        finished = await super().finish_response(*args)
        self._has_answered(args[0], finished[0])
        if self._messages:  # aiohttp may have read them only now, behind an upgrade it declined
            self._refuse_faulty()
        return finished

    def _head_goes_on(self) -> None:
        """Bytes came, and the head is not complete."""
        self._was_asked = True
        if self._head_began_s is None:
            self._head_began_s = self._loop.time()
            self._ring_in(self._settings().head_timeout_s)

    def _ring_in(self, wait_s: float) -> None:
        if self._keepalive_handle is not None:
            self._keepalive_handle.cancel()
        self._keepalive_handle = self._loop.call_later(wait_s, self._look_at_clock)

    def _look_at_clock(self) -> None:
        """The one timer of a connection: it works out what is due when it rings, so that a request
        neither sets nor moves one."""
        self._keepalive_handle = None
        transport = self.transport
        if transport is None:
            return
        # What the kernel has taken is on its way; only beyond that can a client be stalling.
        left_bytes = unsent_bytes(transport) if transport.get_write_buffer_size() else 0
        now_s = self._loop.time()
        due_s = self._due_s(now_s, left_bytes)
        self._unsent_bytes = left_bytes
        if due_s - now_s <= _GRAIN_S:
            self._give_up(transport, left_bytes)
            return
        if (waiter := self._waiter) is not None and not waiter.done():
            self._rest(waiter)
        self._ring_in(due_s - now_s)

    def _due_s(self, now_s: float, left_bytes: int) -> float:
        settings = self._settings()
        if self._head_began_s is None and not self._is_waiting:  # a request is being answered
            # A client that takes something now and then may leave as much as before by chance, but
            # not time after time.
            still = left_bytes > 0 and left_bytes == self._unsent_bytes
            self._still_looks = self._still_looks + 1 if still else 0
            if self._still_looks >= STALLED_LOOKS:
                return now_s
            return now_s + min(
                settings.write_timeout_s / (STALLED_LOOKS + 2), settings.idle_timeout_s
            )
        if self._head_began_s is not None:
            return self._head_began_s + settings.head_timeout_s
        return self._next_keepalive_close_time + settings.idle_timeout_s

    def _give_up(self, transport: asyncio.WriteTransport, left_bytes: int) -> None:
        if left_bytes:  # whoever takes nothing would keep an orderly close waiting for ever
            transport.abort()
            return
        if self._head_began_s is not None and self._was_asked:
            error = CallError(
                Outcome.REQUEST_TIMEOUT,
                "the head of the request did not come within "
                f"{self._settings().head_timeout_s:g} s (server.head_timeout_s); send it again",
            )
            transport.write(error_bytes(error, stray_id(), stays_open=False))
        self.force_close()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to a request that never reached the door, or that broke it."""
        call_id = stray_id()
        if isinstance(exc, CallError):
            error = exc
            self.logger.warning("%s: %s", call_id, error.message)
        elif status == 400:
            # Behind the colon stands what came, and that may be somebody's key.
            what = (message or "").partition(":")[0].partition("\n")[0][:100]
            error = CallError(Outcome.INVALID_REQUEST, f"this cannot be read as HTTP: {what}")
            self.logger.warning("%s: %s", call_id, error.message)
        else:
            error = CallError(
                Outcome.INTERNAL, f"the gateway failed on request {call_id}; its log says why"
            )
            self.logger.error("request %s failed", call_id, exc_info=exc)
        reply = error_reply(error, call_id)
        reply.force_close()
        return reply

    def log_exception(self, *args: Any, **kwargs: Any) -> None:
        # A body that broke off has been answered; aiohttp stumbles over it again in its wake.
        if not isinstance(kwargs.get("exc_info"), web.RequestPayloadError):
            super().log_exception(*args, **kwargs)


class _Server(web.Server):
    settings: Callable[[], ListenerSettings]
    connection: Callable[..., Connection]
    turned_away: set[OneTooMany]

    def __call__(self) -> Any:
        if len(self._connections) >= self.settings().max_connections:
            return OneTooMany(self.turned_away)
        return self.connection(self.settings, self, loop=self._loop, **self._kwargs)


class Listener(web.AppRunner):
    """Runs an application on connections of this module's kind, or of the one that ``connection``
    makes. ``settings`` is asked anew each time, so that a reload counts for connections that are
    open. Bodies come as they were sent, packed or not."""

    def __init__(
        self,
        app: web.Application,
        settings: Callable[[], ListenerSettings],
        connection: Callable[..., Connection] = Connection,
        **kwargs: Any,
    ) -> None:
        """Raises ConfigError if aiohttp is not the strict one."""
        require_strict_parser()
        super().__init__(
            app, keepalive_timeout=0, lingering_time=LINGER_S, auto_decompress=False, **kwargs
        )
        self._settings = settings
        self._connection = connection

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        server = _Server(
            made.request_handler,
            request_factory=made.request_factory,
            handler_cancellation=made.handler_cancellation,
            loop=made._loop,
            **made._kwargs,
        )
        server.settings = self._settings
        server.connection = self._connection
        server.turned_away = set()
        return server
