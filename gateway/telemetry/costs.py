"""What was charged, attempt by attempt, in the currency of each bill: what the ledger charges too.

A call may have been billed by several providers, and in more than one currency.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from operator import itemgetter
from typing import Protocol, cast

from prometheus_client.core import Metric

from gateway.errors import Outcome
from gateway.ledger import NANO

from .cells import COST_NANO, LIST_COST_NANO, Cells, CostKey, RawCostKey
from .families import Labels, counter, sum_by
from .names import OTHER, Names

MAX_COSTS = 4000
"""Label combinations kept apart; later ones are counted as ``other``."""
_OK = Outcome.OK.label
_MODEL = ("gen_ai_provider_name", "gen_ai_request_model")


class Charged(Protocol):
    """A bill, or the row that was made of one."""

    @property
    def cost_nano(self) -> int: ...

    @property
    def list_cost_nano(self) -> int: ...

    @property
    def clamped(self) -> bool: ...


class CostTable:
    """Sums of money by who asked for what, and where it went."""

    def __init__(self, names: Names, counts: dict[tuple[str, ...], int]) -> None:
        """``counts`` is where rare events are counted."""
        self.sums: dict[CostKey, list[int]] = {}
        # A plain tuple finds a CostKey, as in the table of calls.
        self._find = cast("dict[RawCostKey, list[int]]", self.sums).get
        self._names = names
        self._counts = counts

    def charge(self, key: RawCostKey, bill: Charged) -> None:
        sums = self._find(key) or self._open(key)
        sums[COST_NANO] += bill.cost_nano
        sums[LIST_COST_NANO] += bill.list_cost_nano
        if bill.clamped:
            _, _, model, provider, *_ = key
            event = ("clamped", self._names.provider(provider), self._names.model(model))
            self._counts[event] = self._counts.get(event, 0) + 1

    def _open(self, key: RawCostKey) -> list[int]:
        """The sums of a combination that was not seen before, unknown names being ``other``."""
        project, task, model, provider, outcome, estimated, currency = key
        names = self._names
        bounded = CostKey(
            names.project(project),
            names.task(task),
            names.model(model),
            names.provider(provider),
            outcome,
            estimated,
            names.currency(currency),
        )
        if bounded not in self.sums and len(self.sums) >= MAX_COSTS:
            bounded = CostKey(OTHER, OTHER, OTHER, OTHER, outcome, estimated, bounded.currency)
        return self.sums.setdefault(bounded, [0, 0])


def cost_families(cells: Cells) -> Iterator[Metric]:
    """The metrics of money that has been charged."""
    for name, at, documentation in (
        ("daobo_cost", COST_NANO, "What calls were charged, in units of the currency."),
        (
            "daobo_list_cost",
            LIST_COST_NANO,
            "What the same usage costs at list price, rehearsal included.",
        ),
    ):
        yield counter(
            name,
            documentation,
            ("currency", "project", "task", *_MODEL),
            sum_by(cells.costs, itemgetter(at), _by_task),
            NANO,
        )
    yield counter(
        "daobo_estimated_cost",
        "Of what was charged, what rests on an estimate.",
        ("currency", "project", *_MODEL),
        _charged(cells, lambda k: _by_model(k) if k.estimated else ()),
        NANO,
    )
    yield counter(
        "daobo_wasted_cost",
        "Of what was charged, what brought no complete answer.",
        ("currency", "project", *_MODEL, "outcome"),
        _charged(cells, lambda k: (*_by_model(k), k.outcome) if k.outcome != _OK else ()),
        NANO,
    )


def _charged(cells: Cells, labels: Callable[[CostKey], Labels]) -> dict[Labels, int]:
    """What was charged, by ``labels``; those without any are left out."""
    sums = sum_by(cells.costs, itemgetter(COST_NANO), labels)
    sums.pop((), None)
    return sums


def _by_task(key: CostKey) -> Labels:
    return (key.currency, key.project, key.task or "", key.provider, key.model)


def _by_model(key: CostKey) -> Labels:
    return (key.currency, key.project, key.provider, key.model)
