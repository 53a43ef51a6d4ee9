"""A key that is refused: how long it is left alone, who tries it again, and what that shows."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from typing import Any

import pytest

from gateway.config_limits import QueueConfig
from gateway.contracts import ProviderSettings
from gateway.errors import CallError, Outcome
from gateway.journey import Journey
from gateway.limits.memory_buckets import MemoryBuckets
from gateway.limits.pacing import Pacer, Tally
from gateway.limits.turns import Pace
from gateway.schema import Allowance, Allowances, Call, Caller, Plan, Target, Timeouts
from gateway.upstream.accounts import Account, AccountPool, Closed
from gateway.upstream.pool import ConnectionPool

WRITER = Target("studio", "writer", "writer")
PAINTER = Target("studio", "painter", "painter")
CALL = Call("call_1", "chat", Caller("k_1"), "writer", {}, 0, 0.0, 0.0)


class Translator:
    """Says what was last put into its mouth of the limits."""

    root = "http://127.0.0.1"

    def read_allowances(self, headers: Mapping[str, str]) -> Allowances | None:
        left = headers.get("left")
        return None if left is None else Allowances(requests=Allowance(9, int(left), 30.0))


class Office:
    """Accounts under a clock that the test moves, and the alarms that they raised."""

    def __init__(self, *names: str) -> None:
        self.now_s = 1000.0
        self.alarms: list[Mapping[str, Any]] = []
        self.pool = AccountPool(
            [self._account(name) for name in names],
            ConnectionPool(max_connections=1, proxy_url=None),
            Timeouts(),
        )

    def _account(self, name: str) -> Account:
        buckets = MemoryBuckets(self._clock)
        pace = Pace(QueueConfig(), lambda target: (), lambda journey: 1, buckets)
        settings = ProviderSettings(type="studio")
        pacer = Pacer(name, settings, pace, Tally(), self._clock, random.random)
        return Account(name, Translator(), pacer, self._clock, self._alarm)

    def _clock(self) -> float:
        return self.now_s

    def _alarm(self, sentence: str, fields: Mapping[str, Any]) -> None:
        self.alarms.append(fields)

    def picked(self, target: Target = WRITER) -> str | Closed:
        found = self.pool.pick(target)
        return found if isinstance(found, Closed) else found.name

    async def attempt(self, status: int | None = None, target: Target = WRITER) -> str:
        """The account that was picked and, with a status, refused."""
        account = self.pool.pick(target)
        assert isinstance(account, Account)
        try:
            async with account.turn(Journey(CALL, Plan((target,), {}, "model")), target, 1.0):
                if status is not None:
                    raise refusal(status)
        except CallError as error:
            account.failed(target, error)
        return account.name


def refusal(status: int) -> CallError:
    error = CallError(Outcome.UPSTREAM_CREDENTIALS, "refused")
    error.upstream_status = status
    return error


@pytest.fixture
def office() -> Office:
    return Office("studio")


async def test_a_refused_key_is_left_alone_for_a_minute(office: Office) -> None:
    await office.attempt(401)
    closed = office.picked()
    assert isinstance(closed, Closed)
    assert closed.outcome is Outcome.UPSTREAM_CREDENTIALS
    assert closed.wait_s is None
    assert closed.reason == (
        "the key of studio was refused (status 401) and is tried again in 60 s"
    )
    office.now_s += 60
    assert office.picked() == "studio"


async def test_each_refusal_doubles_the_time_up_to_an_hour(office: Office) -> None:
    lasted: list[int] = []
    for _ in range(8):
        await office.attempt(401)
        lasted.append(office.alarms[-1]["for_s"])
        office.now_s += lasted[-1]
    assert lasted == [60, 120, 240, 480, 960, 1920, 3600, 3600]


async def test_one_call_tries_it_and_success_restores(office: Office) -> None:
    await office.attempt(402)
    office.now_s += 60
    account = office.pool.pick(WRITER)
    assert isinstance(account, Account)
    async with account.turn(Journey(CALL, Plan((WRITER,), {}, "model")), WRITER, 1.0):
        closed = office.picked()
        assert isinstance(closed, Closed)
        assert "is being tried again" in closed.reason
        with pytest.raises(CallError, match="being tried"):
            await account.turn(Journey(CALL), WRITER, 1.0).__aenter__()
    assert office.picked() == "studio"
    assert office.pool.retired_keys == 0


@pytest.mark.parametrize(
    "ending", [asyncio.CancelledError(), CallError(Outcome.UPSTREAM_FAILED, "500")]
)
async def test_a_trial_that_tells_nothing_leaves_it_to_the_next_call(
    office: Office, ending: BaseException
) -> None:
    await office.attempt(401)
    office.now_s += 60
    account = office.pool.pick(WRITER)
    assert isinstance(account, Account)
    with pytest.raises(type(ending)):
        async with account.turn(Journey(CALL, Plan((WRITER,), {}, "model")), WRITER, 1.0):
            raise ending
    assert office.picked() == "studio"
    assert office.pool.retired_keys == 1


async def test_many_refusals_at_once_are_one(office: Office) -> None:
    account = office.pool.accounts[0]
    for _ in range(5):
        account.failed(WRITER, refusal(401))
    assert len(office.alarms) == 1
    assert office.alarms[0] == {
        "account": "studio", "target": "all targets", "status": 401, "for_s": 60,
    }  # fmt: skip


async def test_403_is_of_the_one_target(office: Office) -> None:
    await office.attempt(403)
    assert isinstance(office.picked(), Closed)
    assert office.picked(PAINTER) == "studio"
    assert office.alarms[0]["target"] == "studio/writer"
    assert office.pool.retired_keys == 1


async def test_403_says_that_the_key_itself_is_good_again(office: Office) -> None:
    await office.attempt(401)
    office.now_s += 60
    await office.attempt(403)
    assert isinstance(office.picked(), Closed)
    assert office.picked(PAINTER) == "studio"


async def test_the_gateways_own_refusals_tell_nothing_of_a_key(office: Office) -> None:
    account = office.pool.accounts[0]
    for outcome in (Outcome.UPSTREAM_RATE_LIMITED, Outcome.UPSTREAM_CREDENTIALS):
        account.failed(WRITER, CallError(outcome, "no turn", from_upstream=False))
    assert office.picked() == "studio"


async def test_accounts_take_turns_and_a_parked_one_is_passed_over() -> None:
    office = Office("studio#1", "studio#2", "studio#3")
    assert [office.picked() for _ in range(4)] == ["studio#1", "studio#2", "studio#3", "studio#1"]
    office.pool.accounts[1].pace.park(WRITER, 10)
    assert [office.picked() for _ in range(3)] == ["studio#3", "studio#1", "studio#3"]


async def test_where_all_are_parked_the_shortest_wait_is_told_and_can_be_waited_for() -> None:
    office = Office("studio#1", "studio#2", "studio#3")
    for account, park_s in zip(office.pool.accounts, (30, 20), strict=False):
        account.pace.park(WRITER, park_s)
    await office.attempt(401)
    closed = office.picked()
    assert isinstance(closed, Closed)
    assert closed.wait_s == 20
    soonest = office.pool.soonest(WRITER)
    assert isinstance(soonest, Account)
    assert soonest.name == "studio#2"


async def test_an_account_with_room_goes_before_one_where_the_call_would_wait() -> None:
    office = Office("studio#1", "studio#2")
    office.pool.accounts[0].learn(WRITER, {"left": "0"})
    assert [office.picked() for _ in range(3)] == ["studio#2"] * 3
    office.pool.accounts[1].learn(WRITER, {"left": "0"})
    assert office.picked() in ("studio#1", "studio#2")
    office.pool.accounts[1].learn(WRITER, {"left": "5"})
    assert office.picked() == "studio#2"


async def test_the_first_word_of_an_answer_restores_and_its_end_forgives_no_later_refusal(
    office: Office,
) -> None:
    await office.attempt(401)
    office.now_s += 60
    account = office.pool.accounts[0]
    async with account.turn(Journey(CALL, Plan((WRITER,), {}, "model")), WRITER, 1.0):
        account.proven(WRITER)
        assert office.picked() == "studio"
        account.failed(WRITER, refusal(401))
    assert isinstance(office.picked(), Closed)
