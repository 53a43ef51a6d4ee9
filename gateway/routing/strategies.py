"""The core's strategies: orderings of targets. Fallback is the rest of the list.

They come in through the same hook as a plugin's. Python's sort is stable, so the configured
order decides between equals.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from gateway.contracts import RegisterStrategy, RouteView
from gateway.hookspecs import hookimpl
from gateway.schema import Target


def priority(targets: Sequence[Target], view: RouteView) -> list[Target]:
    """As configured."""
    return list(targets)


def weighted(targets: Sequence[Target], view: RouteView) -> list[Target]:
    """A random order in which a target stands first as often as its share of the weights.

    Efraimidis and Spirakis (2006): sort by ``-ln(u) / weight``. Weight 0 comes last.
    """

    def key(target: Target) -> float:
        draw = -math.log(1.0 - view.random())
        return draw / target.weight if target.weight else math.inf

    return sorted(targets, key=key)


def cheapest(targets: Sequence[Target], view: RouteView) -> list[Target]:
    """By price; an unknown price comes last."""
    return sorted(targets, key=view.price_nano)


def fastest(targets: Sequence[Target], view: RouteView) -> list[Target]:
    """By the moving average of the time to first token; the unmeasured come first, to be tried."""
    return sorted(targets, key=view.first_token_s)


@hookimpl
def register_strategies(register: RegisterStrategy) -> None:
    register("priority", priority)
    register("weighted", weighted)
    register("cheapest", cheapest)
    register("fastest", fastest)
