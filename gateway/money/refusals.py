"""What a client is told whose call cannot be paid for."""

from __future__ import annotations

from gateway.budget import amount
from gateway.errors import CallError, Outcome
from gateway.ledger import Refused
from gateway.schema import Call, Money, Plan, Target


def refused(verdict: Refused, call: Call, part: int | None = None) -> CallError:
    """A budget has no room, for a call or for a ``part`` of one."""
    unsent = "nothing was sent" if part is None else f"part {part} of the call was not sent"
    advice = "" if call.asked_output_tokens else " A lower max_tokens makes a call need less."
    return CallError(
        Outcome.BUDGET_EXHAUSTED,
        f"{unsent}: {verdict.message}{advice}",
        retry_after_s=verdict.retry_after_s(call.started_at_s),
    )


def too_dear(call: Call, plan: Plan, bound: Money, most_nano: int) -> CallError:
    """It could cost more than any call should."""
    parts = f" in its {len(plan.parts)} parts" if plan.parts else ""
    advice = "send a shorter script, ask for" if plan.parts else "ask for fewer or"
    return CallError(
        Outcome.INVALID_REQUEST,
        f"this call could cost up to {bound.currency} {amount(bound.nano)}{parts}, and none may "
        f"cost more than {amount(most_nano)}; {advice} shorter answers (n, max_tokens)",
        param="n" if call.body.get("n") else "max_tokens",
    )


def unpriced(target: Target) -> CallError:
    return CallError(
        Outcome.UNPRICED,
        f"no price is known for {target.name}, and nothing is sent that cannot be priced; "
        f"give it `price:` in the configuration ('daobo prices {target.name}' says more)",
        param="model",
    )
