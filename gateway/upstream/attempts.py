"""Sends a call down its ladder of targets until one answers.

Everything before the first byte of the answer may be tried elsewhere, nothing after it. An error
that would be the same everywhere (the request itself is wrong) ends the ladder at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any, Protocol

from gateway.contracts import Client, Upstream, UpstreamResponse
from gateway.errors import CallError, Outcome
from gateway.ledger import Bill
from gateway.schema import (
    Answer,
    ChatRequest,
    EmbeddingRequest,
    Journey,
    Target,
    Timeouts,
    UpstreamRequest,
    Usage,
)

from .relay import Relay
from .translation import Translation

MAX_ANSWER_BYTES = 64 * 1024 * 1024
MAX_ERROR_BYTES = 64 * 1024
MAX_TURN_WAIT_S = 30.0
UNSEEN_TOKENS = 32
"""What a provider has written and nobody has read at the moment in which a client leaves."""
CHUNK_FRAME_BYTES = 240
"""What a chunk is besides its text: ids, names, punctuation."""
BYTES_PER_TOKEN = 3
"""Rather few, so that a count of our own is rather too high."""


class Gate(Protocol):
    """A provider's own limits: wait for a turn, keep it while calling."""

    def turn(self, max_wait_s: float) -> AbstractAsyncContextManager[None]: ...


class LiveProvider(Protocol):
    """A live provider as a call sees it: who translates, over what, within which bounds."""

    @property
    def provider(self) -> Any: ...

    @property
    def upstream(self) -> Upstream: ...

    @property
    def timeouts(self) -> Timeouts: ...

    @property
    def gate(self) -> Gate | None: ...


class Accounts(Protocol):
    """What an attempt has to do with money."""

    async def cover(self, journey: Journey, target: Target) -> None:
        """See to it that enough is held for this attempt. Raises CallError."""

    def bill(self, journey: Journey, target: Target, usage: Usage) -> Bill | None:
        """What a usage costs."""

    def bill_unknown(self, journey: Journey, target: Target) -> Bill | None:
        """What an attempt costs that may have been served, and nobody knows."""


class Attempts:
    """The ladder. ``redact`` takes out of an upstream's words what looks like a key."""

    def __init__(
        self,
        live: Mapping[str, LiveProvider],
        accounts: Accounts,
        estimate_input_tokens: Callable[[Mapping[str, Any]], int],
        redact: Callable[[str], str],
        clock: Callable[[], float],
        max_attempts: int,
    ) -> None:
        self._live = live
        self._accounts = accounts
        self._estimate_input_tokens = estimate_input_tokens
        self._redact = redact
        self._clock = clock
        self._max_attempts = max_attempts

    async def send(self, journey: Journey, client: Client) -> None:
        """Answer the client. Raises CallError; the journey has the attempts either way."""
        assert journey.plan is not None
        failures: list[CallError] = []
        for target in journey.plan.targets[: self._max_attempts]:
            journey.begin(target)
            began_s = self._clock()
            try:
                await self._accounts.cover(journey, target)
                await self._try(journey, target, client)
            except CallError as error:
                error.message = self._redact(error.message)
                self._end(journey, error.outcome, began_s, error.message)
                failures.append(error)
                if client.started or not error.outcome.retryable:
                    break
            except BaseException as error:
                outcome = Outcome.INTERNAL if isinstance(error, Exception) else Outcome.CLIENT_GONE
                self._end(journey, outcome, began_s, type(error).__name__)
                raise
            else:
                self._end(journey, Outcome.OK, began_s, "")
                return
        raise _summary(journey, failures)

    def _end(self, journey: Journey, outcome: Outcome, began_s: float, detail: str) -> None:
        """Put the attempt on record; one that may have been served is not free."""
        if journey.bill is None and journey.billable and outcome.may_be_billed:
            assert journey.target is not None
            if outcome is Outcome.CONTENT_POLICY:  # it was read, and nothing was written
                journey.usage = self._estimate(journey, 0)
                self._bill(journey)
            else:
                journey.bill = self._accounts.bill_unknown(journey, journey.target)
        journey.end(outcome, self._clock() - began_s, detail)

    async def _try(self, journey: Journey, target: Target, client: Client) -> None:
        live = self._live[target.provider]
        timeouts = self._within_deadline(journey, live.timeouts)
        turn = live.gate.turn(min(MAX_TURN_WAIT_S, timeouts.total_s)) if live.gate else _NO_GATE
        async with turn:
            if journey.call.endpoint == "embeddings":
                await self._embed(journey, target, live, timeouts, client)
            else:
                await self._chat(journey, target, live, timeouts, client)

    def _within_deadline(self, journey: Journey, timeouts: Timeouts) -> Timeouts:
        assert journey.plan is not None
        if journey.plan.deadline_s is None:
            return timeouts
        left_s = journey.call.received_s + journey.plan.deadline_s - self._clock()
        if left_s <= 0:
            raise CallError(
                Outcome.UPSTREAM_TIMEOUT,
                f"the task's deadline of {journey.plan.deadline_s:g} s has passed",
            )
        return timeouts._replace(total_s=min(timeouts.total_s, left_s))

    async def _chat(
        self,
        journey: Journey,
        target: Target,
        live: LiveProvider,
        timeouts: Timeouts,
        client: Client,
    ) -> None:
        request = chat_request(journey, target)
        upstream_request: UpstreamRequest = live.provider.build_request(request)
        journey.dropped = upstream_request.dropped
        journey.billable = True
        response = await live.upstream.send(upstream_request, timeouts)
        try:
            await _check_status(live.provider, response)
            if not request.stream:
                body = await response.read(MAX_ANSWER_BYTES)
                await self._deliver(journey, live.provider.parse_response(request, body), client)
                return
            if response.headers.get("content-type", "").startswith("application/json"):
                body = await response.read(MAX_ANSWER_BYTES)
                live.provider.parse_response(request, body)
                raise CallError(
                    Outcome.UPSTREAM_GARBLED, "the upstream answered a streamed call with JSON"
                )
            translation = Translation(lambda events: live.provider.parse_stream(request, events))
            unseen_tokens = 0
            try:
                await Relay(journey, translation, response, client, self._clock).run()
            except asyncio.CancelledError:
                unseen_tokens = UNSEEN_TOKENS
                raise
            finally:
                self._count_what_came(journey, unseen_tokens)
        finally:
            response.close()
        await client.end_stream(journey)

    async def _embed(
        self,
        journey: Journey,
        target: Target,
        live: LiveProvider,
        timeouts: Timeouts,
        client: Client,
    ) -> None:
        assert journey.plan is not None
        request = EmbeddingRequest(target.model, journey.plan.body)
        upstream_request = live.provider.build_embedding(request)
        journey.billable = True
        response = await live.upstream.send(upstream_request, timeouts)
        try:
            await _check_status(live.provider, response)
            body = await response.read(MAX_ANSWER_BYTES)
            await self._deliver(journey, live.provider.parse_embedding(request, body), client)
        finally:
            response.close()

    async def _deliver(self, journey: Journey, answer: Answer, client: Client) -> None:
        journey.first_token_s = self._clock()
        journey.usage = answer.usage or self._estimate(journey, len(answer.body))
        journey.finish_reason = answer.finish_reason
        self._bill(journey)
        await client.send_answer(journey, answer.body)

    def _count_what_came(self, journey: Journey, unseen_tokens: int) -> None:
        """Price a stream; where it ended before its usage came, by what is known of it."""
        told = journey.usage
        complete = told is not None and not told.estimated and journey.finish_reason is not None
        if journey.chunks and not complete:
            text_bytes = journey.chunk_bytes - journey.chunks * CHUNK_FRAME_BYTES
            text_tokens = max(text_bytes // BYTES_PER_TOKEN, journey.chunks) + unseen_tokens
            own = self._estimate(journey, text_tokens * BYTES_PER_TOKEN)
            journey.usage = _more_of(told, own) if told else own
        self._bill(journey)

    def _estimate(self, journey: Journey, answer_bytes: int) -> Usage:
        """The usage of an answer that reports none: the gateway's own count."""
        if journey.call.endpoint != "chat":
            return Usage(input_tokens=journey.call.body_bytes // BYTES_PER_TOKEN, estimated=True)
        return Usage(
            input_tokens=self._estimate_input_tokens(journey.call.body),
            output_tokens=answer_bytes // BYTES_PER_TOKEN,
            estimated=True,
        )

    def _bill(self, journey: Journey) -> None:
        if journey.usage is not None and journey.target is not None:
            journey.bill = self._accounts.bill(journey, journey.target, journey.usage)


_NO_GATE: AbstractAsyncContextManager[None] = nullcontext()


def chat_request(journey: Journey, target: Target) -> ChatRequest:
    """What the target's provider is asked to translate."""
    call, plan = journey.call, journey.plan
    assert plan is not None
    return ChatRequest(
        model=target.model,
        body=plan.body,
        stream=call.stream,
        max_output_tokens=plan.cap_for(call, target),
        capabilities=target.capabilities,
        call_id=call.id,
        created_s=int(call.started_at_s),
    )


def _more_of(told: Usage, own: Usage) -> Usage:
    """A usage that was told before the end, with the output that came since."""
    written = max(told.output_tokens, own.output_tokens - told.reasoning_tokens)
    return told._replace(output_tokens=written, estimated=True)


async def _check_status(provider: Any, response: UpstreamResponse) -> None:
    if response.status == 200:
        return
    try:
        body = await response.read(MAX_ERROR_BYTES)
    except CallError as error:
        # The status is known all the same, and says more than how its explanation broke off.
        body = error.message.encode()
    raise provider.parse_error(response.status, response.headers, body)


def _summary(journey: Journey, failures: list[CallError]) -> CallError:
    """The last failure, with what every other candidate said."""
    assert journey.plan is not None
    last = failures[-1]
    tried = [
        f"{attempt.target.name}: {error.message.rstrip('.')} ({error.outcome.label})"
        for attempt, error in zip(journey.attempts, failures, strict=True)
    ]
    waits_s = [e.retry_after_s for e in failures if e.retry_after_s is not None]
    left_out = f" Left out: {'; '.join(journey.plan.skipped)}." if journey.plan.skipped else ""
    return CallError(
        last.outcome,
        f"{'; '.join(tried)}.{left_out}",
        code=last.code,
        param=last.param,
        retry_after_s=min(waits_s) if waits_s else None,
        from_upstream=last.from_upstream,
    )
