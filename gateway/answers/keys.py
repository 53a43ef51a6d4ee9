"""What makes two requests the same: one function hashes it all, and never without the tenant."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import orjson

from gateway.kept import Claim
from gateway.schema import Call, Plan

NOT_OF_THE_ANSWER = frozenset(
    {
        "model", "stream", "stream_options", "user", "safety_identifier", "prompt_cache_key",
        "metadata",
    }
)  # fmt: skip
"""Fields that are left out of the key of an answer. ``model`` is the client's word for a route,
which is in the key itself; ``stream`` and its options are there as the answer's form; the others
say who asks and what for, not what."""


def digest(call: Call, purpose: str, *parts: Any) -> str:
    """The key of whatever is kept for a call's tenant, or for its key where that has no tenant.

    ``parts`` are JSON values. Nothing of one tenant's can be found by another's call, and nothing
    that is kept for one purpose is found for another.
    """
    caller = call.caller
    whose = ["key", caller.key_id] if caller.tenant is None else ["tenant", caller.tenant]
    text = orjson.dumps([purpose, whose, *parts])
    return hashlib.blake2b(text, digest_size=32).hexdigest()


def answer_key(call: Call, plan: Plan) -> str:
    """The same for calls whose answers may stand for each other.

    The fields of the body in any order, everything inside of them as it was written: the order of
    a schema's properties changes what a model says.
    """
    body = plan.body
    asked = sorted((name, value) for name, value in body.items() if name not in NOT_OF_THE_ANSWER)
    route = [[target.name, target.public_model] for target in plan.targets]
    form = [_form(call), len(plan.parts), plan.cut.manner] if plan.parts else _form(call)
    return digest(call, "answer", call.endpoint, route, plan.max_output_tokens, form, asked)


def claim_of(call: Call) -> Claim:
    """What the call's ``Idempotency-Key`` stands for: this very request, to the last field."""
    request = digest(call, "request", call.endpoint, call.model, sorted(call.body.items()))
    return Claim(digest(call, "idempotency", call.idempotency_key), request, call.id)


def is_deterministic(body: Mapping[str, Any]) -> bool:
    """The client wants the same answer each time."""
    return body.get("temperature") == 0 or body.get("seed") is not None


def _form(call: Call) -> Any:
    """JSON and streams are kept apart, each as it was sent; so are streams with other options."""
    if not call.stream:
        return "json"
    options: Mapping[str, Any] = call.body.get("stream_options") or {}
    said = ((name, value) for name, value in options.items() if value or name != "include_usage")
    return ["stream", sorted(said)]
