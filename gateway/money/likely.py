"""What a text call costs at least and likely, beside the bound that is held for it.

Nobody knows before how much a model will write. The rule is fixed and stated with every figure,
so that it can be argued with: half of the cap, at most 1,500 tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from gateway.quote import Range
from gateway.schema import TOKEN_CLASSES, Call, Plan, Target, Usage

from .bounds import most_of, output_cap
from .token_price import TOKENS_PER_MTOK, TokenPrice

LIKELY_OUTPUT_TOKENS = 1_500
PART_RULE = "of each as much out as in, at most half of its cap"
"""A script that is worked on in parts comes back at about its length."""
TEXT_INPUT = ("input_tokens", "cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens")


class Expected(NamedTuple):
    """Token counts that are guesses, and the rule behind them."""

    input_tokens: int
    output_tokens: int
    answers: int
    rule: str


def expect(call: Call, plan: Plan, target: Target, estimated_input: int) -> Expected:
    """What a call will likely use at a target; never more than its bound counts with."""
    most = most_of(call, plan, target)
    input_tokens = min(max(1, estimated_input), most.input_tokens)
    if call.endpoint != "chat":
        return Expected(input_tokens, 0, 0, f"about {input_tokens} tokens in")
    answers = plan.body.get("n") or 1
    cap = output_cap(call, plan, target)
    if plan.part is not None:
        return Expected(input_tokens, max(1, min(cap // 2, input_tokens)), 1, PART_RULE)
    output_tokens = max(1, min(cap // 2, LIKELY_OUTPUT_TOKENS)) * answers
    rule = (
        f"about {input_tokens} tokens in, {output_tokens} out: half of the cap of {cap}, "
        f"at most {LIKELY_OUTPUT_TOKENS}" + (f", {answers} times" if answers > 1 else "")
    )
    return Expected(input_tokens, output_tokens, answers, rule)


def together(expected: Sequence[Expected]) -> str:
    """The rule behind the likely figure of a call, or of all parts of one that is cut."""
    if len(expected) == 1:
        return expected[0].rule
    tokens_in = sum(one.input_tokens for one in expected)
    tokens_out = sum(one.output_tokens for one in expected)
    return f"{len(expected)} parts, about {tokens_in} tokens in, {tokens_out} out: {PART_RULE}"


def text_range(price: TokenPrice, expected: Expected, bound_nano: int, at_s: float) -> Range:
    """In the price's currency: all input in the cheapest class and one token for each answer;
    what is expected; the bound."""
    rates = price.rates(expected.input_tokens, int(at_s))
    rate = dict(zip(TOKEN_CLASSES, rates, strict=True))
    cheapest = min(rate[name] for name in TEXT_INPUT)
    least = -(-expected.input_tokens * cheapest // TOKENS_PER_MTOK)
    least += -(-expected.answers * rate["output_tokens"] // TOKENS_PER_MTOK)
    usage = Usage(input_tokens=expected.input_tokens, output_tokens=expected.output_tokens)
    return Range(least, price.cost(usage, at_s).nano, bound_nano)
