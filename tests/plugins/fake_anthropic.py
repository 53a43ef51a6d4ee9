"""An Anthropic of our own on a loopback socket, held to the vendor's word by its SDK's types.

A request must be what ``anthropic.types`` says, to the last field; answers and stream events are
dumped from the SDK's models. Thinking is signed, and what comes back otherwise than it was signed
is refused. So is manual thinking in a tool loop that does not open with it; adaptive thinking takes
such a loop (https://platform.claude.com/docs/en/build-with-claude/thinking#turn-validation, read
2026-11-22).

``fake_anthropic()`` answers like a small model. ``fake_anthropic(play)`` asks ``play`` instead:
it takes the request's body and returns a ``Message``, or raises ``Refusal``.
"""

import hashlib
import hmac
from collections.abc import Callable, Iterator
from typing import Any, get_type_hints

import orjson
from aiohttp import web
from anthropic.types import (
    CacheCreation,
    CitationsDelta,
    ContentBlock,
    InputJSONDelta,
    Message,
    MessageCreateParams,
    MessageDeltaUsage,
    OutputTokensDetails,
    RawContentBlockDeltaEvent,
    RawContentBlockStartEvent,
    RawContentBlockStopEvent,
    RawMessageDeltaEvent,
    RawMessageStartEvent,
    RawMessageStopEvent,
    SignatureDelta,
    TextBlock,
    TextDelta,
    ThinkingBlock,
    ThinkingDelta,
    ToolUseBlock,
    Usage,
)
from anthropic.types.message_create_params import MessageCreateParamsStreaming
from anthropic.types.raw_message_delta_event import Delta
from pydantic import TypeAdapter, ValidationError

KEY = "test-key-not-a-secret"
VERSIONS = ("2023-06-01", "2026-10-21")
SAMPLING = ("temperature", "top_p", "top_k")
PIECE_CHARS = 7
REQUESTS = web.AppKey("requests", list[dict[str, Any]])
"""The bodies that were understood, in the order of their arrival."""

_SIGNING_KEY = b"known to the vendor only"
_PARAMS: TypeAdapter[Any] = TypeAdapter(MessageCreateParams)
_FIELDS = frozenset(get_type_hints(MessageCreateParamsStreaming))

Play = Callable[[dict[str, Any]], Message]


class Refusal(Exception):
    """An error in the vendor's shape."""

    def __init__(self, status: int, kind: str, message: str, **headers: str) -> None:
        super().__init__(message)
        self.status = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}
        error = {"type": kind, "message": message}
        self.body = {"type": "error", "error": error, "request_id": "req_fake"}


def fake_anthropic(play: Play | None = None) -> web.Application:
    app = web.Application(client_max_size=32 * 1024 * 1024)
    app[REQUESTS] = []
    answer = play or like_a_model

    async def messages(request: web.Request) -> web.StreamResponse:
        try:
            _admit(request)
            body = _understand(await request.read(), request.headers["anthropic-version"])
            app[REQUESTS].append(body)
            message = answer(body)
        except Refusal as refusal:
            return web.json_response(refusal.body, status=refusal.status, headers=refusal.headers)
        headers = {"request-id": "req_fake"}
        if not body.get("stream"):
            return web.Response(
                body=message.model_dump_json(), content_type="application/json", headers=headers
            )
        return web.Response(
            body=b"".join(stream_of(message)), content_type="text/event-stream", headers=headers
        )

    app.router.add_post("/v1/messages", messages)
    return app


# What comes in


def _admit(request: web.Request) -> None:
    key = request.headers.get("x-api-key")
    if key is None:
        key = request.headers.get("authorization", "").removeprefix("Bearer ")
    if key != KEY:
        raise Refusal(401, "authentication_error", "invalid x-api-key")
    if request.headers.get("anthropic-version") not in VERSIONS:
        raise Refusal(400, "invalid_request_error", "anthropic-version: header is required")


def _understand(raw: bytes, version: str) -> dict[str, Any]:
    body = orjson.loads(raw)
    checked = dict(body)
    if version == VERSIONS[0]:
        checked = {name: value for name, value in body.items() if name not in SAMPLING}
    if unknown := set(checked) - _FIELDS:
        raise _invalid(f"{sorted(unknown)[0]}: Extra inputs are not permitted")
    try:
        understood = _exhausted(_PARAMS.validate_python(checked))
    except ValidationError as error:
        raise _invalid(str(error)) from None
    if understood != checked:
        raise _invalid("messages: Extra inputs are not permitted")
    _check_turns(body)
    return body


def _exhausted(value: Any) -> Any:
    """pydantic checks an ``Iterable`` only while it is read, and leaves unknown fields out."""
    if isinstance(value, dict):
        return {name: _exhausted(item) for name, item in value.items()}
    if isinstance(value, str | bytes | int | float | None):
        return value
    return [_exhausted(item) for item in value]


def _check_turns(body: dict[str, Any]) -> None:
    turns = body["messages"]
    if not turns or turns[-1]["role"] == "assistant":
        raise _invalid("This model does not support assistant message prefill.")
    if body.get("thinking", {}).get("type") == "enabled":
        _check_that_it_opens_with_thinking(_open_loop(turns))
    for turn, following in zip(turns, [*turns[1:], {}], strict=True):
        blocks = turn["content"] if isinstance(turn["content"], list) else []
        if any(block["type"] == "text" and not block["text"].strip() for block in blocks):
            raise _invalid("messages: text content blocks must contain non-whitespace text")
        asked = [block["id"] for block in blocks if block["type"] == "tool_use"]
        for block in blocks:
            if block["type"] == "thinking" and block["signature"] != sign(block["thinking"]):
                raise _invalid("Invalid `signature` in `thinking` block")
        if asked and asked != _answered(following):
            raise _invalid("`tool_use` ids were found without `tool_result` blocks after them")


def _open_loop(turns: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The assistant's messages between the last word of the user and its results of tools."""
    words = [number for number, turn in enumerate(turns) if _is_word_of_the_user(turn)]
    return [turn for turn in turns[words[-1] :] if turn["role"] == "assistant"]


def _is_word_of_the_user(turn: dict[str, Any]) -> bool:
    return turn["role"] == "user" and not (isinstance(turn["content"], list) and _answered(turn))


def _check_that_it_opens_with_thinking(loop: list[dict[str, Any]]) -> None:
    found = loop[0]["content"][0]["type"] if loop else "thinking"
    if found not in ("thinking", "redacted_thinking"):
        raise _invalid(f"Expected `thinking` or `redacted_thinking`, but found `{found}`.")


def _answered(turn: dict[str, Any]) -> list[str]:
    blocks = turn.get("content", [])
    return [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]


def _invalid(message: str) -> Refusal:
    return Refusal(400, "invalid_request_error", message)


# What goes out


def sign(thinking: str) -> str:
    return hmac.new(_SIGNING_KEY, thinking.encode(), hashlib.sha256).hexdigest()


def like_a_model(body: dict[str, Any]) -> Message:
    """Calls every tool that it is given once, then says what came of it."""
    last = body["messages"][-1]["content"]
    results = _answered(body["messages"][-1]) if isinstance(last, list) else []
    choice = body.get("tool_choice", {}).get("type", "auto")
    blocks: list[ContentBlock] = []
    if body.get("thinking", {}).get("type") in ("adaptive", "enabled"):
        thinking = f"Turn {len(body['messages'])}: what would help here?"
        blocks.append(ThinkingBlock(type="thinking", thinking=thinking, signature=sign(thinking)))
    if body.get("tools") and not results and choice != "none":
        for number, tool in enumerate(body["tools"]):
            blocks.append(
                ToolUseBlock(
                    type="tool_use",
                    id=f"toolu_{number}",
                    name=tool["name"],
                    input={"city": "上海", "number": number},
                )
            )
        return message_of(body, blocks, "tool_use")
    said = f"All {len(results)} tools answered." if results else "你好, this is the fake speaking."
    return message_of(body, [*blocks, TextBlock(type="text", text=said)], "end_turn")


def message_of(
    body: dict[str, Any], blocks: list[ContentBlock], stop_reason: str, **more: Any
) -> Message:
    usage = Usage(
        input_tokens=11,
        cache_read_input_tokens=100,
        cache_creation_input_tokens=30,
        cache_creation=CacheCreation(ephemeral_5m_input_tokens=20, ephemeral_1h_input_tokens=10),
        output_tokens=42,
        output_tokens_details=OutputTokensDetails(thinking_tokens=8),
    )
    fields = {"usage": usage, "stop_details": None, "stop_sequence": None, **more}
    return Message(
        id="msg_fake",
        type="message",
        role="assistant",
        model=body["model"],
        content=blocks,
        stop_reason=stop_reason,
        **fields,
    )


def stream_of(message: Message) -> Iterator[bytes]:
    """The events of ``message``, each block in pieces of ``PIECE_CHARS``."""
    empty = message.usage.model_copy(update={"output_tokens": 1, "output_tokens_details": None})
    started = message.model_copy(update={"content": [], "stop_reason": None, "usage": empty})
    yield _event(RawMessageStartEvent(type="message_start", message=started))
    yield b'event: ping\ndata: {"type": "ping"}\n\n'
    for index, block in enumerate(message.content):
        start, deltas = _in_pieces(block)
        yield _event(
            RawContentBlockStartEvent(type="content_block_start", index=index, content_block=start)
        )
        for delta in deltas:
            yield _event(
                RawContentBlockDeltaEvent(type="content_block_delta", index=index, delta=delta)
            )
        yield _event(RawContentBlockStopEvent(type="content_block_stop", index=index))
    usage = MessageDeltaUsage(
        output_tokens=message.usage.output_tokens,
        output_tokens_details=message.usage.output_tokens_details,
    )
    delta = Delta(stop_reason=message.stop_reason, stop_details=message.stop_details)
    yield _event(RawMessageDeltaEvent(type="message_delta", delta=delta, usage=usage))
    yield _event(RawMessageStopEvent(type="message_stop"))


def _in_pieces(block: ContentBlock) -> tuple[ContentBlock, list[Any]]:
    if isinstance(block, TextBlock):
        words = [TextDelta(type="text_delta", text=text) for text in _pieces(block.text)]
        cited = [
            CitationsDelta(type="citations_delta", citation=citation)
            for citation in block.citations or ()
        ]
        return block.model_copy(update={"text": "", "citations": None}), [*cited, *words]
    if isinstance(block, ThinkingBlock):
        thoughts = [
            ThinkingDelta(type="thinking_delta", thinking=text) for text in _pieces(block.thinking)
        ]
        signed = SignatureDelta(type="signature_delta", signature=block.signature)
        return block.model_copy(update={"thinking": "", "signature": ""}), [*thoughts, signed]
    if isinstance(block, ToolUseBlock):
        arguments = orjson.dumps(block.input).decode() if block.input else ""
        parts = ["", *_pieces(arguments)]
        deltas = [InputJSONDelta(type="input_json_delta", partial_json=part) for part in parts]
        return block.model_copy(update={"input": {}}), deltas
    return block, []


def _pieces(text: str) -> list[str]:
    return [text[start : start + PIECE_CHARS] for start in range(0, len(text), PIECE_CHARS)]


def _event(event: Any) -> bytes:
    return f"event: {event.type}\ndata: {event.model_dump_json()}\n\n".encode()
