"""The first, simple purse: lets every call pass and adds up what was spent, in memory."""

from __future__ import annotations

from collections import Counter
from typing import Any

from gateway.schema import Call, CallRecord, Money, Plan

MAX_PROJECTS = 1000
OTHER_PROJECTS = "other"


class Spend:
    """Spent nano-units by project and currency, for at most ``MAX_PROJECTS`` projects."""

    def __init__(self) -> None:
        self.spent_nano: Counter[tuple[str, str]] = Counter()

    async def hold(self, call: Call, plan: Plan) -> Any:
        """Nothing is held as long as there are no budgets."""

    def settle(self, hold: Any, record: CallRecord) -> None:
        if record.cost is None or not record.cost.nano:
            return
        key = (record.caller.project or "", record.cost.currency)
        if key not in self.spent_nano and len(self.spent_nano) >= MAX_PROJECTS:
            key = (OTHER_PROJECTS, record.cost.currency)
        self.spent_nano[key] += record.cost.nano

    def summary(self) -> dict[str, str]:
        """What was spent, in units of the currency, by ``project CURRENCY``."""
        return {
            f"{project or 'no project'} {currency}": str(Money(nano, currency))
            for (project, currency), nano in self.spent_nano.items()
        }
