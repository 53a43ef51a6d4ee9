"""The listener's protocol: requests that are no HTTP get the same kind of answer as all others.

aiohttp answers them itself, in plain text that repeats what came, and logs a traceback for each.
It has no setting for that; the three private names used here are all there is of it.
"""

from __future__ import annotations

import secrets
from typing import Any

from aiohttp import web

from gateway.errors import CallError, Outcome

from .replies import error_reply


class Connection(web.RequestHandler):
    """One client's connection."""

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to a request that never reached the door, or that broke it."""
        call_id = f"req_{secrets.token_hex(10)}"
        if status == 400:
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
    def __call__(self) -> Connection:
        return Connection(self, loop=self._loop, **self._kwargs)


class Listener(web.AppRunner):
    """Runs an application on connections of this module's kind."""

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        return _Server(
            made.request_handler,
            request_factory=made.request_factory,
            handler_cancellation=made.handler_cancellation,
            loop=made._loop,
            **made._kwargs,
        )
