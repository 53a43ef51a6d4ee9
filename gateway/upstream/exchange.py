"""One try at one target: translate, send, and carry the answer to the client, counting its price.

Whatever is known of it by the time it ends, however it ends, is in the journey.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from gateway.contracts import Client, Upstream, UpstreamResponse
from gateway.errors import CallError, Outcome
from gateway.folded import FoldingClient
from gateway.folding import chunks_of
from gateway.journey import Journey
from gateway.ledger import Bill
from gateway.openai_wire import load_object
from gateway.schema import (
    Answer,
    ChatRequest,
    EmbeddingRequest,
    Target,
    Timeouts,
    UpstreamRequest,
    Usage,
)

from .accounts import Account
from .commitment import filtered_empty
from .relay import Relay, Sink
from .translation import Translation

MAX_ANSWER_BYTES = 64 * 1024 * 1024
MAX_ERROR_BYTES = 64 * 1024
UNSEEN_TOKENS = 32
"""What a provider has written and nobody has read at the moment in which a client leaves, or the
connection breaks."""
CHUNK_FRAME_BYTES = 240
"""What a chunk is besides its text: ids, names, punctuation."""
BYTES_PER_TOKEN = 3
"""Rather few, so that a count of our own is rather too high."""


class Accounting(Protocol):
    """What an attempt has to do with money."""

    async def cover(self, journey: Journey, target: Target, beside: Target | None = None) -> None:
        """See to it that enough is held for this attempt, and for one ``beside`` it that is under
        way. Raises CallError."""

    def bill(self, journey: Journey, target: Target, usage: Usage) -> Bill | None:
        """What a usage costs."""

    def bill_unknown(self, journey: Journey, target: Target) -> Bill | None:
        """What an attempt costs that may have been served, and nobody knows."""


class Exchange:
    """Sends one attempt. The account's provider translates, ``upstream`` carries."""

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
        account: Account,
        upstream: Upstream,
        timeouts: Timeouts,
        client: Client,
    ) -> None:
        """Answer the client. Raises CallError; ``client.committed`` says whether it may be tried
        elsewhere."""
        target = journey.target
        assert target is not None
        send = self._embed if journey.call.endpoint == "embeddings" else self._chat
        await send(journey, target, account, upstream, timeouts, client)

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
        account: Account,
        upstream: Upstream,
        timeouts: Timeouts,
        client: Client,
    ) -> None:
        provider = account.provider
        request = _asked_of(provider, chat_request(journey, target))
        upstream_request: UpstreamRequest = provider.build_request(request)
        journey.dropped = upstream_request.dropped
        journey.billable = True
        response = await upstream.send(upstream_request, timeouts)
        try:
            account.learn(target, response.headers)
            await _check_status(provider, response)
            if not _is_stream(request, response):
                body = await response.read(MAX_ANSWER_BYTES)
                await self._deliver(journey, provider.parse_response(request, body), client)
            elif journey.call.stream:
                await self._relay(journey, provider, request, response, timeouts, client)
                await client.end_stream(journey)
            else:
                folding = FoldingClient(MAX_ANSWER_BYTES)
                await self._relay(journey, provider, request, response, timeouts, folding)
                await client.send_answer(journey, folding.answer())
        finally:
            response.close()

    async def _relay(
        self,
        journey: Journey,
        provider: Any,
        request: ChatRequest,
        response: UpstreamResponse,
        timeouts: Timeouts,
        sink: Sink,
    ) -> None:
        """Carry a stream to its end and price what came of it."""
        translation = Translation(lambda events: provider.parse_stream(request, events))
        relay = Relay(journey, request, translation, response, sink, timeouts, self._clock)
        unseen_tokens = 0
        try:
            await relay.run()
        except (asyncio.CancelledError, CallError) as error:
            unseen_tokens = UNSEEN_TOKENS
            if journey.first_token_s is None and _did_nothing(error):
                journey.chunks, journey.usage = 0, None
            raise
        finally:
            self._count_what_came(journey, unseen_tokens)

    async def _embed(
        self,
        journey: Journey,
        target: Target,
        account: Account,
        upstream: Upstream,
        timeouts: Timeouts,
        client: Client,
    ) -> None:
        assert journey.plan is not None
        provider = account.provider
        request = EmbeddingRequest(target.model, journey.plan.body)
        upstream_request = provider.build_embedding(request)
        journey.billable = True
        response = await upstream.send(upstream_request, timeouts)
        try:
            account.learn(target, response.headers)
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
        if filtered_empty(answer):
            raise CallError(
                Outcome.CONTENT_POLICY, "the upstream's content filter left nothing of the answer"
            )
        if not journey.call.stream:
            await client.send_answer(journey, answer.body)
            return
        events = chunks_of(load_object(answer.body), journey.call.include_usage)
        await client.begin_stream(journey, b"".join(events))
        await client.end_stream(journey)

    def _count_what_came(self, journey: Journey, unseen_tokens: int) -> None:
        """Price a stream; where it ended before its usage came, by what is known of it."""
        told = journey.usage
        complete = told is not None and not told.estimated and journey.finish_reason is not None
        if journey.chunks and not complete:
            text_bytes = journey.chunk_bytes - journey.chunks * CHUNK_FRAME_BYTES
            text_tokens = max(text_bytes // BYTES_PER_TOKEN, journey.chunks)
            own = self._estimate(journey, text_tokens * BYTES_PER_TOKEN)
            came = _more_of(told, own) if told else own
            journey.usage = came._replace(output_tokens=came.output_tokens + unseen_tokens)
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


def _did_nothing(error: BaseException) -> bool:
    """The provider said so, if only after it had said that it begins."""
    return isinstance(error, CallError) and not error.outcome.may_be_billed


def _asked_of(provider: Any, request: ChatRequest) -> ChatRequest:
    """The request as the upstream can answer it: as a stream, or whole."""
    wants_stream = getattr(provider, "wants_stream", None)  # a ``StreamingChooser``
    if wants_stream is None or (streamed := wants_stream(request)) == request.stream:
        return request
    return request._replace(stream=streamed)


def _is_stream(request: ChatRequest, response: UpstreamResponse) -> bool:
    """An upstream that answers in another way than it was asked to says so."""
    said = response.headers.get("content-type", "")
    if request.stream:
        return not said.startswith("application/json")
    return said.startswith("text/event-stream")


async def _check_status(provider: Any, response: UpstreamResponse) -> None:
    if response.status == 200:
        return
    try:
        body = await response.read(MAX_ERROR_BYTES)
    except CallError as error:
        # The status is known all the same, and says more than how its explanation broke off.
        body = error.message.encode()
    failure: CallError = provider.parse_error(response.status, response.headers, body)
    failure.upstream_status = response.status
    raise failure
