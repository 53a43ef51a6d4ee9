"""What calls were charged: every billionth of it, and under bounded names."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from records import CHEAP, GOOD, STAND_IN, billed, draft, metrics, samples, value

from gateway.errors import Outcome
from gateway.ledger import NANO, Bill, Closing, ExchangeRate, HoldRequest, Place
from gateway.money.billing import closing_of
from gateway.money.recovery import closing_of_orphan
from gateway.schema import Attempt, Caller, CallRecord, Target
from gateway.telemetry.cells import merge
from gateway.telemetry.costs import MAX_COSTS
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.names import MAX_PROJECTS

CURRENCIES = st.sampled_from(["USD", "CNY"])
AMOUNTS = st.integers(0, 10**15)
HOLD = HoldRequest("call_1", Place(), 0, 10**15, "USD", ExchangeRate(7 * NANO))
BILLS = st.builds(
    lambda currency, cost, listed, guess, cut: Bill(
        currency, cost, listed, estimated=guess, clamped=cut
    ),
    CURRENCIES,
    AMOUNTS,
    AMOUNTS,
    st.booleans(),
    st.booleans(),
)
ATTEMPTS = st.builds(
    lambda target, outcome, bill: Attempt(target, outcome, 1.0, bill=bill),
    st.sampled_from([CHEAP, GOOD, Target("unheard of", "m", "of")]),
    st.sampled_from(list(Outcome)),
    st.none() | BILLS,
)


def call(*attempts: Attempt, project: str | None = "moonlight", ok: bool = True) -> CallRecord:
    """A call that ended as its last attempt did."""
    return draft(
        caller=Caller("key_7", project),
        attempts=attempts,
        target=attempts[-1].target if attempts else None,
        outcome=attempts[-1].outcome if attempts and ok else Outcome.UPSTREAM_FAILED,
    )


CALLS = st.builds(
    lambda attempts, project, ok: call(*attempts, project=project, ok=ok),
    st.lists(ATTEMPTS, max_size=4),
    st.sampled_from(["moonlight", "other", "", None]),
    st.booleans(),
)


def counted(*calls: CallRecord) -> Metrics:
    counting = metrics()
    for record in calls:
        counting(record)
    return counting


def charged(calls: list[CallRecord]) -> Counter[str]:
    """What the ledger charges for these calls, by currency."""
    sums: Counter[str] = Counter()
    for record in calls:
        for charge in closing_of(HOLD, record, None, None).charges:
            sums[charge.currency] += charge.cost_nano
    return +sums


@given(st.lists(CALLS, max_size=8))
def test_every_billionth_that_the_ledger_charges_is_counted(calls: list[CallRecord]) -> None:
    sums: Counter[str] = Counter()
    for key, (cost_nano, _) in merge([counted(*calls).snapshot()]).costs.items():
        sums[key.currency] += cost_nano
    assert +sums == charged(calls)


@given(st.lists(CALLS, max_size=8))
def test_the_page_shows_what_was_charged(calls: list[CallRecord]) -> None:
    text = counted(*calls).render()
    for currency in ("USD", "CNY"):
        shown = value(text, "daobo_cost_total", currency=currency)
        assert round(shown * NANO / 10**6) == round(charged(calls)[currency] / 10**6)


def test_attempts_in_two_currencies_are_counted_each_in_its_own() -> None:
    text = counted(
        call(
            billed(GOOD, Bill("USD", 2 * NANO, 3 * NANO), Outcome.UPSTREAM_CUT),
            billed(CHEAP, Bill("CNY", 5 * NANO, 7 * NANO)),
        )
    ).render()
    by_model = {
        (labels["currency"], labels["gen_ai_request_model"]): number
        for labels, number in samples(text)["daobo_cost_total"]
    }
    assert by_model == {("USD", "opus"): 2, ("CNY", "deepseek-flash"): 5}
    assert value(text, "daobo_list_cost_total", currency="USD") == 3
    assert value(text, "daobo_list_cost_total", currency="CNY") == 7


def test_a_cost_is_counted_under_its_project_and_task() -> None:
    counting = counted(*[call(billed(CHEAP, Bill("USD", NANO, NANO)))] * 2)
    counting(call(billed(CHEAP, Bill("USD", NANO, NANO)), project=None))
    text = counting.render()
    assert value(text, "daobo_cost_total", project="moonlight", task="draft") == 2
    assert value(text, "daobo_cost_total", project="", task="draft") == 1


def test_a_stand_in_costs_nothing_and_has_a_list_cost() -> None:
    text = counted(call(billed(STAND_IN, Bill("USD", 0, NANO)))).render()
    assert value(text, "daobo_cost_total") == 0
    assert value(text, "daobo_list_cost_total", gen_ai_provider_name="rehearsal") == 1


def test_what_nobody_reported_is_shown_apart_and_in_the_whole() -> None:
    text = counted(
        call(billed(CHEAP, Bill("USD", NANO, NANO, estimated=True))),
        call(billed(CHEAP, Bill("USD", NANO, NANO))),
    ).render()
    assert value(text, "daobo_cost_total") == 2
    assert value(text, "daobo_estimated_cost_total", project="moonlight") == 1


def test_money_is_wasted_by_an_attempt_that_failed_even_if_another_answered() -> None:
    dollar = Bill("USD", NANO, NANO)
    text = counted(
        call(billed(GOOD, dollar, Outcome.UPSTREAM_TIMEOUT), billed(CHEAP, dollar)),
        call(billed(CHEAP, dollar, Outcome.CLIENT_GONE)),
    ).render()
    assert value(text, "daobo_wasted_cost_total") == 2
    assert value(text, "daobo_wasted_cost_total", outcome="upstream_timeout") == 1
    assert value(text, "daobo_wasted_cost_total", outcome="client_gone") == 1


def test_money_is_wasted_by_a_call_that_failed_after_its_attempt_was_fine() -> None:
    record = call(billed(CHEAP, Bill("USD", NANO, NANO)))._replace(outcome=Outcome.INTERNAL)
    text = counted(record).render()
    assert value(text, "daobo_wasted_cost_total", outcome="internal") == 1


def test_a_clamped_bill_names_who_sent_it() -> None:
    text = counted(*[call(billed(GOOD, Bill("USD", 1, 9, clamped=True)))] * 3).render()
    labels = {"gen_ai_provider_name": "anthropic", "gen_ai_request_model": "opus"}
    assert samples(text)["daobo_clamped_bills_total"] == [(labels, 3)]


def orphan(amount_nano: int, project: str) -> Closing:
    about = '["chat", "draft", "task", false, "deepseek", "deepseek-flash", "deepseek-flash"]'
    place = Place(project=project, task="draft")
    return closing_of_orphan(HOLD._replace(amount_nano=amount_nano, place=place, about=about))


def test_a_call_whose_process_died_is_counted_by_the_one_that_charges_it() -> None:
    counting = metrics()
    counting.charge_recovered(orphan(3 * NANO, "moonlight"))
    text = counting.render()
    labels = {"project": "moonlight", "gen_ai_request_model": "deepseek-flash"}
    assert value(text, "daobo_cost_total", **labels, task="draft") == 3
    assert value(text, "daobo_estimated_cost_total", **labels) == 3
    assert value(text, "daobo_wasted_cost_total", **labels, outcome="internal") == 3


def test_300_000_hostile_projects_add_no_series() -> None:
    counting = metrics()
    bill = Bill("USD", 1, 1)
    for number in range(300_000):
        counting(call(billed(CHEAP, bill), project=f'{number}\n"}} daobo_cost_total 1e9'))
    shown = samples(counting.render())["daobo_cost_total"]
    assert len(shown) == MAX_PROJECTS + 1
    in_other = [number for labels, number in shown if labels["project"] == "other"]
    assert in_other == [(300_000 - MAX_PROJECTS) / NANO]


def test_a_project_keeps_its_name_when_the_configuration_changes() -> None:
    counting = counted(call(billed(CHEAP, Bill("USD", NANO, NANO))))
    counting.set_known((), (), ())
    counting(call(billed(CHEAP, Bill("USD", NANO, NANO))))
    assert value(counting.render(), "daobo_cost_total", project="moonlight") == 2


def test_a_key_that_somebody_calls_a_project_is_not_shown() -> None:
    text = counted(call(billed(CHEAP, Bill("USD", 1, 1)), project="sk-live-0123456789")).render()
    assert b"0123456789" not in text
    assert len(samples(text)["daobo_cost_total"]) == 1


def test_combinations_of_projects_and_names_are_bounded() -> None:
    counting = Metrics("1.2.3")
    names = [f"name{i}" for i in range(50)]
    counting.set_known(names, names, names)
    for project in range(MAX_PROJECTS):
        for name in names:
            record = call(billed(Target("name0", name, name), Bill("USD", 1, 1)))
            counting(record._replace(caller=Caller("key_7", str(project)), task=name))
    shown = samples(counting.render())["daobo_cost_total"]
    assert len(shown) == MAX_COSTS + 1
    assert round(sum(number for _, number in shown) * NANO) == MAX_PROJECTS * len(names)
