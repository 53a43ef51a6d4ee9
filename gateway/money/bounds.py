"""The most that a call can cost at a target, before it is sent.

No text has more tokens than UTF-8 bytes, no request more than the target's context, and no answer
more than the cap that is sent along. What is not text is bounded by a figure for each part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.schema import Call, Plan, Target

from .token_price import Most, TokenPrice

FRAME_TOKENS = 2_048
"""What an upstream may put around a conversation: instructions of its own, those for tools, the
frame of its template. A bill for more than was held would be cut, so this is rather generous."""
OVER_CAP_TOKENS = 1_024
"""What a model may write beyond its cap: thinking that it does not count, a sentence it ends."""
PART_TOKENS = 20_000
"""One image, sound or page set that is sent along, at the dearest provider's way of counting."""
UNBOUNDED_TOKENS = 1 << 40


def most_of(call: Call, plan: Plan, target: Target) -> Most:
    """What the call can use at most at this target."""
    context = target.context_tokens or UNBOUNDED_TOKENS
    if call.endpoint != "chat":
        return Most(min(call.body_bytes, context), 0)
    body = plan.body
    media = _media_parts(body)
    text_bytes = call.body_bytes if not media else _text_bytes(body)
    tokens = text_bytes + FRAME_TOKENS + media * PART_TOKENS
    answers = body.get("n") or 1
    cap = output_cap(call, plan, target)
    speaks = "modalities" in body or "audio" in body
    return Most(
        min(tokens, context), (cap + OVER_CAP_TOKENS) * answers, media > 0, media_out=speaks
    )


def output_cap(call: Call, plan: Plan, target: Target) -> int:
    """The most tokens that one answer is asked to have."""
    context = target.context_tokens or UNBOUNDED_TOKENS
    return plan.cap_for(call, target) or target.max_output_tokens or context


def billed_targets(plan: Plan, max_attempts: int) -> Sequence[Target]:
    """The targets whose bills a hold has to cover: those that may be tried and charge for it; the
    stand-ins where there is nobody else."""
    tried = plan.targets[:max_attempts]
    return [target for target in tried if not target.rehearsal] or tried


def call_bound_nano(price: TokenPrice, call: Call, plan: Plan, target: Target) -> int:
    """In nano-units of the price's currency."""
    return price.bound_nano(most_of(call, plan, target), call.started_at_s)


def _parts(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [
        part
        for message in body["messages"]
        if isinstance(message.get("content"), list)
        for part in message["content"]
    ]


def _media_parts(body: Mapping[str, Any]) -> int:
    return sum(part["type"] != "text" for part in _parts(body))


def _text_bytes(body: Mapping[str, Any]) -> int:
    """Bytes of what is text, for requests that carry pictures as base64 beside it."""
    total = len(str({k: v for k, v in body.items() if k != "messages"}).encode())
    for message in body["messages"]:
        content = message.get("content")
        texts = [part.get("text", "") for part in content] if isinstance(content, list) else []
        rest = {key: value for key, value in message.items() if key != "content" or not texts}
        total += len(str(rest).encode()) + sum(len(text.encode()) for text in texts)
    return total
