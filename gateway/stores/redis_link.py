"""One connection to Redis, shared by all calls of a process, that comes back by itself.

Commands that come while others are on their way wait for those and then go out together, so a busy
process pays one round trip for many. A command is answered, or refused, within a second: once
Redis is known to be gone, at once. One task asks for it until it is back.

redis-py speaks the protocol (https://redis.io/docs/latest/develop/reference/protocol-spec/, read
2026-11-23). It is imported when a link is made: most gateways need none.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from gateway.errors import CallError, Outcome

from .patience import patience
from .redis_client import redis_client

EXCHANGE_TIMEOUT_S = 0.45
"""For one batch, connecting included: a caller waits for the batch under way and for its own. What
this process itself stood still is not Redis's doing and does not count."""
FIRST_PROBE_S = 0.05
PROBE_INTERVAL_S = 0.5
"""What the wait before the next probe is doubled to."""
MAX_WAITING = 10_000
"""Commands that wait for their batch; one more is refused."""
MAX_BATCH = 250

Value = str | bytes | int | float


class Script:
    """A Lua script and the digest that Redis keeps it under."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.sha1 = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


class _Sent(NamedTuple):
    """A command and where its reply goes; what went wrong with it is a reply, too."""

    command: tuple[Value, ...]
    reply: asyncio.Future[Any]
    if_left: Callable[[Any], None] | None = None
    """Told of the reply where whoever asked for it has been cancelled since."""


def redis_link(
    environ: Mapping[str, str], changed: Callable[[bool, str], None]
) -> RedisLink | None:
    """The link that ``DAOBO_REDIS_URL`` asks for, or None. Raises ConfigError."""
    url = environ.get("DAOBO_REDIS_URL")
    return RedisLink(url, changed) if url else None


class RedisLink:
    """Sends commands to one Redis, from one event loop. Nothing is opened before the first one.

    ``changed`` is told when Redis goes (False, and why) and when it is back (True). Large values
    belong on a link of their own: on one connection, what comes behind them waits.
    """

    def __init__(
        self,
        url: str,
        changed: Callable[[bool, str], None],
        exchange_timeout_s: float = EXCHANGE_TIMEOUT_S,
    ) -> None:
        """Raises ConfigError for an address that cannot be meant."""
        self._client = redis_client(url)
        self._changed = changed
        self._exchange_timeout_s = exchange_timeout_s
        self._closed = False
        self._waiting: list[_Sent] = []
        self._wanted = asyncio.Event()
        self._loadings: dict[str, asyncio.Future[Any]] = {}
        """When Redis was given a script, by its digest."""
        self._problem: str | None = None
        self._worker: asyncio.Future[None] | None = None

    @property
    def up(self) -> bool:
        """False from the first failure until Redis has answered again."""
        return self._problem is None

    async def execute(self, *command: Value) -> Any:
        """The reply of one command; texts are bytes. Raises CallError(LIMITS_UNAVAILABLE) within a
        second where there is none, and for a reply that is an error."""
        return _checked(await self._send(command))

    async def run_script(
        self,
        script: Script,
        keys: Sequence[str],
        args: Sequence[Value],
        if_left: Callable[[Any], None] | None = None,
    ) -> Any:
        """The reply of a script, which Redis is given the first time. Raises as ``execute``.

        ``if_left`` is told of it if the caller is cancelled while the script may be running.
        """
        from redis.exceptions import NoScriptError

        command = ("EVALSHA", script.sha1, len(keys), *keys, *args)
        loading = self._load(script)
        reply = await self._send(command, if_left)
        if isinstance(reply, NoScriptError):
            if self._loadings.get(script.sha1) is loading:  # nobody has sent it again since
                del self._loadings[script.sha1]
            self._load(script)
            reply = await self._send(command, if_left)
        return _checked(reply)

    def _load(self, script: Script) -> asyncio.Future[Any]:
        """The script goes out in front of what asks for it, unless Redis has it."""
        loading = self._loadings.get(script.sha1)
        if loading is None:
            loading = self._loadings[script.sha1] = self._send(("SCRIPT", "LOAD", script.text))
        return loading

    def post(self, *command: Value) -> None:
        """Send a command behind those before it and wait for nothing. Lost if Redis is gone."""
        with contextlib.suppress(CallError):
            self._send(command)

    async def close(self) -> None:
        """The end; what still waits is refused."""
        self._closed = True
        if self._worker is not None:
            self._worker.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._worker
        self._refuse(self._waiting, "the gateway is shutting down")
        self._waiting = []
        await self._client.aclose()

    def _send(
        self, command: tuple[Value, ...], if_left: Callable[[Any], None] | None = None
    ) -> asyncio.Future[Any]:
        """The future reply: a value, or an exception as a value, so that none is lost unread."""
        if self._problem is not None or self._closed or len(self._waiting) >= MAX_WAITING:
            raise _unavailable()
        if self._worker is None or self._worker.done():
            self._worker = asyncio.ensure_future(self._work())
        sent = _Sent(command, asyncio.get_running_loop().create_future(), if_left)
        self._waiting.append(sent)
        self._wanted.set()
        return sent.reply

    async def _work(self) -> None:
        probe_in_s = FIRST_PROBE_S
        while not self._closed:
            if self._problem is not None:
                await self._drop_connection()
                await asyncio.sleep(probe_in_s)
                probe_in_s = min(probe_in_s * 2, PROBE_INTERVAL_S)
                await self._exchange([("PING",)])
                continue
            probe_in_s = FIRST_PROBE_S
            await self._wanted.wait()
            self._wanted.clear()
            while self._waiting and not self._closed:
                batch, self._waiting = self._waiting[:MAX_BATCH], self._waiting[MAX_BATCH:]
                try:
                    await self._deliver([sent for sent in batch if not sent.reply.done()])
                except BaseException:
                    self._refuse(batch, "the link was closed")
                    raise

    async def _deliver(self, batch: Sequence[_Sent]) -> None:
        replies = await self._exchange([sent.command for sent in batch])
        if replies is None:
            assert self._problem is not None
            waiting, self._waiting = self._waiting, []
            self._refuse([*batch, *waiting], self._problem)
            return
        for sent, reply in zip(batch, replies, strict=True):
            if not sent.reply.done():
                sent.reply.set_result(reply)
            elif sent.if_left is not None:
                sent.if_left(reply)

    def _refuse(self, batch: Sequence[_Sent], problem: str) -> None:
        for sent in batch:
            if not sent.reply.done():
                sent.reply.set_result(ConnectionError(problem))

    async def _exchange(self, commands: Sequence[tuple[Value, ...]]) -> list[Any] | None:
        """One round trip; None, and a problem, if it was not completed."""
        try:
            async with (
                patience(self._exchange_timeout_s),
                self._client.pipeline(transaction=False) as pipeline,
            ):
                for command in commands:
                    pipeline.execute_command(*command)
                replies: list[Any] = await pipeline.execute(raise_on_error=False)
        except Exception as error:  # whatever it is: nobody may be left waiting
            self._note(_reason(error))
            return None
        self._note(None)
        return replies

    async def _drop_connection(self) -> None:
        """A reply that comes late must not be taken for the next command's."""
        self._loadings.clear()
        try:
            await self._client.connection_pool.disconnect()
        except Exception as error:
            self._note(_reason(error))

    def _note(self, problem: str | None) -> None:
        """Remember whether Redis is there, and tell when that changes."""
        before, self._problem = self._problem, problem
        if (problem is None) != (before is None):
            self._changed(problem is None, problem or "")


def _checked(reply: Any) -> Any:
    if isinstance(reply, ConnectionError):
        raise _unavailable()
    if isinstance(reply, Exception):
        raise CallError(
            Outcome.LIMITS_UNAVAILABLE,
            f"Redis refused what it was asked: {_reason(reply)}",
            retry_after_s=PROBE_INTERVAL_S,
        )
    return reply


def _unavailable() -> CallError:
    return CallError(
        Outcome.LIMITS_UNAVAILABLE,
        "Redis, which counts for all gateways together, does not answer at the moment; nothing "
        "was sent. Try again in a second.",
        retry_after_s=1.0,
    )


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:300] if str(error) else type(error).__name__
