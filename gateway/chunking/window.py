"""Decides whether a call fits its targets' context windows, before anything is sent.

No text has more tokens than UTF-8 bytes, so the size of the body settles nearly every call
without counting anything. (Images named by their address may have; those the upstream counts.)
"""

from __future__ import annotations

from gateway.errors import CallError, Outcome
from gateway.schema import Call, Plan

from .tokens import estimate_chat_tokens

_UNBOUNDED = 1 << 62


class Window:
    """Drops targets that are too small; refuses, with counts, when none is left."""

    def fit(self, call: Call, plan: Plan) -> Plan:
        """Raises CallError(CONTEXT_LENGTH_EXCEEDED)."""
        reserve = plan.max_output_tokens or 0
        smallest = min(t.context_tokens or _UNBOUNDED for t in plan.targets)
        if call.body_bytes + reserve <= smallest or call.endpoint != "chat":
            return plan
        count = estimate_chat_tokens(plan.body)
        fitting = tuple(
            t
            for t in plan.targets
            if count + min(reserve, t.max_output_tokens or reserve)
            <= (t.context_tokens or _UNBOUNDED)
        )
        if len(fitting) == len(plan.targets):
            return plan
        too_small = tuple(
            f"{t.name} takes {t.context_tokens} tokens" for t in plan.targets if t not in fitting
        )
        if not fitting:
            raise CallError(
                Outcome.CONTEXT_LENGTH_EXCEEDED,
                f"this call has about {count} input tokens and reserves {reserve} for the answer; "
                f"{'; '.join(too_small)}. Shorten the messages, lower max_tokens, or name a "
                "model with a larger context (GET /v1/models lists them).",
                param="messages",
            )
        return plan._replace(targets=fitting, skipped=plan.skipped + too_small)
