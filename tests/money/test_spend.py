"""The first purse adds up what calls cost, by project and currency, and never grows for ever."""

from gateway.errors import Outcome
from gateway.money import spend
from gateway.money.spend import Spend
from gateway.schema import Caller, CallRecord, Money


def record(project: str | None, cost: Money | None) -> CallRecord:
    return CallRecord("req_1", "chat", Caller("key_1", project), Outcome.OK, 0.0, 1.0, cost=cost)


def test_costs_add_up_by_project_and_currency() -> None:
    purse = Spend()
    for project, cost in (
        ("moon", Money(1_500_000_000)),
        ("moon", Money(500_000_000)),
        ("moon", Money(3_000_000_000, "CNY")),
        (None, Money(1)),
        ("free", Money(0)),
        ("unpriced", None),
    ):
        purse.settle(None, record(project, cost))
    assert purse.summary() == {
        "moon USD": "2.000000000",
        "moon CNY": "3.000000000",
        "no project USD": "0.000000001",
    }


def test_projects_beyond_the_bound_are_counted_together() -> None:
    purse = Spend()
    for number in range(spend.MAX_PROJECTS + 5):
        purse.settle(None, record(f"p{number}", Money(10)))
    assert len(purse.spent_nano) == spend.MAX_PROJECTS + 1
    assert purse.spent_nano[(spend.OTHER_PROJECTS, "USD")] == 50
