"""One try at one target: translate, send, and carry the answer to the client, counting its price.

Whatever is known of it by the time it ends, however it ends, is in the journey.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from gateway.contracts import Client, Upstream, UpstreamResponse
from gateway.errors import CallError, Outcome
from gateway.journey import Journey
from gateway.ledger import Bill
from gateway.schema import (
    Answer,
    ChatRequest,
    EmbeddingRequest,
    Target,
    Timeouts,
    UpstreamRequest,
    Usage,
)

from .relay import Relay
from .translation import Translation

MAX_ANSWER_BYTES = 64 * 1024 * 1024
MAX_ERROR_BYTES = 64 * 1024
UNSEEN_TOKENS = 32
"""What a provider has written and nobody has read at the moment in which a client leaves."""
CHUNK_FRAME_BYTES = 240
"""What a chunk is besides its text: ids, names, punctuation."""
BYTES_PER_TOKEN = 3
"""Rather few, so that a count of our own is rather too high."""


class Accounting(Protocol):
    """What an attempt has to do with money."""

    async def cover(self, journey: Journey, target: Target) -> None:
        """See to it that enough is held for this attempt. Raises CallError."""

    def bill(self, journey: Journey, target: Target, usage: Usage) -> Bill | None:
        """What a usage costs."""

    def bill_unknown(self, journey: Journey, target: Target) -> Bill | None:
        """What an attempt costs that may have been served, and nobody knows."""


class Exchange:
    """Sends one attempt. ``provider`` translates, ``upstream`` carries."""

    def __init__(
        self,
        accounts: Accounting,
        estimate_input_tokens: Callable[[Mapping[str, Any]], int],
        clock: Callable[[], float],
    ) -> None:
        self._accounts = accounts
        self._estimate_input_tokens = estimate_input_tokens
        self._clock = clock

    async def run(
        self,
        journey: Journey,
        provider: Any,
        upstream: Upstream,
        timeouts: Timeouts,
        client: Client,
    ) -> None:
        """Answer the client. Raises CallError; ``client.committed`` says whether it may be tried
        elsewhere."""
        target = journey.target
        assert target is not None
        send = self._embed if journey.call.endpoint == "embeddings" else self._chat
        await send(journey, target, provider, upstream, timeouts, client)

    def close(self, journey: Journey, outcome: Outcome) -> None:
        """The try is over: one that may have been served is not free."""
        if journey.bill is not None or not journey.billable or not outcome.may_be_billed:
            return
        assert journey.target is not None
        if outcome is Outcome.CONTENT_POLICY:  # it was read, and nothing was written
            journey.usage = self._estimate(journey, 0)
            self._bill(journey)
        else:
            journey.bill = self._accounts.bill_unknown(journey, journey.target)

    async def _chat(
        self,
        journey: Journey,
        target: Target,
        provider: Any,
        upstream: Upstream,
        timeouts: Timeouts,
        client: Client,
    ) -> None:
        request = chat_request(journey, target)
        upstream_request: UpstreamRequest = provider.build_request(request)
        journey.dropped = upstream_request.dropped
        journey.billable = True
        response = await upstream.send(upstream_request, timeouts)
        try:
            await _check_status(provider, response)
            if not request.stream:
                body = await response.read(MAX_ANSWER_BYTES)
                await self._deliver(journey, provider.parse_response(request, body), client)
                return
            if response.headers.get("content-type", "").startswith("application/json"):
                body = await response.read(MAX_ANSWER_BYTES)
                provider.parse_response(request, body)
                raise CallError(
                    Outcome.UPSTREAM_GARBLED, "the upstream answered a streamed call with JSON"
                )
            translation = Translation(lambda events: provider.parse_stream(request, events))
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
        provider: Any,
        upstream: Upstream,
        timeouts: Timeouts,
        client: Client,
    ) -> None:
        assert journey.plan is not None
        request = EmbeddingRequest(target.model, journey.plan.body)
        upstream_request = provider.build_embedding(request)
        journey.billable = True
        response = await upstream.send(upstream_request, timeouts)
        try:
            await _check_status(provider, response)
            body = await response.read(MAX_ANSWER_BYTES)
            await self._deliver(journey, provider.parse_embedding(request, body), client)
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
