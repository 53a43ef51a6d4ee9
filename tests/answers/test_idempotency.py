"""Sent once, paid once, answered as often as it is sent: calls with an ``Idempotency-Key``."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from gateway.answers import idempotency
from gateway.answers.answers import Answers, Archive
from gateway.answers.memory import MemoryKeeper
from gateway.answers.packing import pack
from gateway.config_limits import CacheConfig
from gateway.errors import CallError, Outcome
from gateway.journey import Journey
from gateway.kept import Claim, Earlier, Fate
from gateway.schema import Call

from .asked import ANSWER, ASKED, NOW_S, Listener, Upstream, call, kept, plan_for


@dataclass
class Table:
    """Claims as a database keeps them, for one process and for others that a test plays."""

    rows: dict[str, Earlier] = field(default_factory=dict)
    questions: int = 0

    async def claim(self, claim: Claim) -> Earlier | None:
        self.questions += 1
        if claim.id in self.rows:
            return self.rows[claim.id]
        self.rows[claim.id] = Earlier(claim.request, claim.call_id, Fate.RUNNING)
        return None

    def end(self, claim: Claim, fate: Fate, answer: bytes | None) -> asyncio.Future[None]:
        self.rows[claim.id] = Earlier(claim.request, claim.call_id, fate, answer)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    def free(self, claim: Claim) -> None:
        del self.rows[claim.id]


@dataclass
class Process:
    """The room of one process."""

    table: Table = field(default_factory=Table)
    upstream: Upstream = field(default_factory=Upstream)

    def __post_init__(self) -> None:
        self.archive = Archive(MemoryKeeper(lambda: 0.0, 10_000), self.table)
        self.answers = Answers(CacheConfig(), self.archive, False, lambda: NOW_S, lambda: 50.0)

    async def ask(
        self, asked: Call, listener: Listener | None = None, **more: Any
    ) -> tuple[Journey, Listener]:
        journey, listener = Journey(asked, plan_for(asked, **more)), listener or Listener()

        async def go(client: Any, send: Callable[[Journey, Any], Awaitable[None]]) -> None:
            await send(journey, client)

        assert self.answers.concern(asked)
        await self.answers.give(listener, go, self.upstream.send)
        return journey, listener

    async def refusal(self, asked: Call, **more: Any) -> CallError:
        with pytest.raises(CallError) as refused:
            await self.ask(asked, **more)
        assert refused.value.outcome is Outcome.IDEMPOTENCY_CONFLICT
        return refused.value


@pytest.fixture
def process() -> Process:
    return Process()


def keyed(body: dict[str, Any] | None = None, **more: Any) -> Call:
    return call(body, idempotency_key="order-7", **more)


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_call_that_is_sent_again_is_answered_again(process: Process) -> None:
    await process.ask(keyed())
    again, listener = await process.ask(keyed(id="req_2"))
    assert (process.upstream.sent, listener.text) == (1, ANSWER)
    assert (again.replayed, again.missed) == ("idempotency", False)


async def test_an_answer_is_kept_before_its_client_has_the_end_of_it(process: Process) -> None:
    class Waiting(Listener):
        async def end_stream(self, journey: Journey) -> None:
            (row,) = process.table.rows.values()
            self.kept_before = row.fate is Fate.ANSWERED

    _, listener = await process.ask(keyed(stream=True), Waiting())
    assert listener.kept_before  # type: ignore[attr-defined]


async def test_any_complete_answer_is_given_again(process: Process) -> None:
    process.upstream.finish_reason = "length"
    await process.ask(keyed())
    again, _ = await process.ask(keyed())
    assert (again.replayed, again.finish_reason) == ("idempotency", "length")


async def test_another_body_with_the_same_key_is_refused(process: Process) -> None:
    await process.ask(keyed())
    refused = await process.refusal(keyed({**ASKED, "temperature": 1}))
    assert refused.code == "idempotency_key_reused"
    assert process.upstream.sent == 1


async def test_it_is_refused_while_the_first_is_under_way_too(process: Process) -> None:
    process.upstream.gate = asyncio.Event()
    first = asyncio.ensure_future(process.ask(keyed()))
    await process.upstream.under_way.wait()
    refused = await process.refusal(keyed({**ASKED, "temperature": 1}))
    assert refused.code == "idempotency_key_reused"
    process.upstream.gate.set()
    await first


async def test_fifty_twins_ask_the_database_once(process: Process) -> None:
    process.upstream.gate = asyncio.Event()
    calls = [asyncio.ensure_future(process.ask(keyed(id=f"req_{n}"))) for n in range(50)]
    await process.upstream.under_way.wait()
    await settled()
    process.upstream.gate.set()
    found = await asyncio.gather(*calls)
    assert (process.upstream.sent, process.table.questions) == (1, 1)
    assert {listener.text for _, listener in found} == {ANSWER}


async def test_a_call_goes_on_when_its_client_leaves_and_answers_the_next_one(
    process: Process,
) -> None:
    process.upstream.gate = asyncio.Event()
    first = asyncio.ensure_future(process.ask(keyed()))
    await process.upstream.under_way.wait()
    first.cancel()
    await settled()
    assert len(process.archive.outliving) == 1
    process.upstream.gate.set()
    await settled()
    _, listener = await process.ask(keyed())
    assert (process.upstream.sent, listener.text) == (1, ANSWER)


async def test_a_call_that_failed_for_nothing_gives_its_key_back(process: Process) -> None:
    process.upstream.cost_nano = 0
    process.upstream.answers = [CallError(Outcome.UPSTREAM_FAILED, "overheated")]
    with pytest.raises(CallError, match="overheated"):
        await process.ask(keyed())
    again, _ = await process.ask(keyed())
    assert (again.replayed, process.upstream.sent) == ("", 2)


async def test_twins_of_a_call_that_failed_for_nothing_are_sent_one_after_the_other(
    process: Process,
) -> None:
    process.upstream.cost_nano = 0
    failures = [CallError(Outcome.UPSTREAM_FAILED, "overheated") for _ in range(2)]
    process.upstream.answers = [*failures]
    calls = [process.ask(keyed(id=f"req_{number}")) for number in range(9)]
    found = await asyncio.gather(*calls, return_exceptions=True)
    assert [error for error in found if isinstance(error, Exception)] == failures
    assert process.upstream.sent == 3


async def test_a_call_that_failed_and_costs_something_is_never_sent_again(
    process: Process,
) -> None:
    process.upstream.answers = [CallError(Outcome.UPSTREAM_TIMEOUT, "silent")]
    with pytest.raises(CallError, match="silent"):
        await process.ask(keyed())
    refused = await process.refusal(keyed(id="req_2"))
    assert refused.code == "idempotency_call_failed"
    assert "req_1" in refused.message
    assert process.upstream.sent == 1


async def test_twins_of_a_call_that_failed_and_costs_something_are_told_so(
    process: Process,
) -> None:
    process.upstream.answers = [CallError(Outcome.UPSTREAM_CUT, "cut")]
    calls = [process.ask(keyed(id=f"req_{number}")) for number in range(3)]
    found = await asyncio.gather(*calls, return_exceptions=True)
    codes = [error.code for error in found if isinstance(error, CallError)]
    assert codes == ["upstream_cut", "idempotency_call_failed", "idempotency_call_failed"]


async def test_an_answer_that_is_too_large_is_given_once(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idempotency, "MAX_ANSWER_BYTES", 10)
    _, listener = await process.ask(keyed())
    assert listener.text == ANSWER
    refused = await process.refusal(keyed())
    assert refused.code == "idempotency_answer_not_kept"
    assert process.upstream.sent == 1


async def test_a_call_whose_process_died_is_in_doubt(process: Process) -> None:
    claim = idempotency.claim_of(keyed())
    process.table.rows[claim.id] = Earlier(claim.request, "req_0", Fate.LOST)
    refused = await process.refusal(keyed())
    assert refused.code == "idempotency_in_doubt"
    assert process.upstream.sent == 0


async def test_the_answer_of_another_process_is_waited_for(process: Process) -> None:
    other = Process(process.table)
    other.upstream.gate = asyncio.Event()
    first = asyncio.ensure_future(other.ask(keyed()))
    await other.upstream.under_way.wait()
    calls = [asyncio.ensure_future(process.ask(keyed())) for _ in range(3)]
    await settled()
    other.upstream.gate.set()
    await first
    found = await asyncio.gather(*calls)
    assert process.upstream.sent == 0
    assert [listener.text for _, listener in found] == [ANSWER] * 3


async def test_a_key_that_another_process_gives_back_is_taken(process: Process) -> None:
    claim = idempotency.claim_of(keyed(id="req_0"))
    process.table.rows[claim.id] = Earlier(claim.request, "req_0", Fate.RUNNING)
    waiting = asyncio.ensure_future(process.ask(keyed()))
    await settled()
    process.table.free(claim)
    journey, _ = await waiting
    assert (journey.replayed, process.upstream.sent) == ("", 1)


async def test_who_has_no_time_to_wait_is_told_to_come_back(process: Process) -> None:
    claim = idempotency.claim_of(keyed(id="req_0"))
    process.table.rows[claim.id] = Earlier(claim.request, "req_0", Fate.RUNNING)
    refused = await process.refusal(keyed(), deadline_s=0.01)
    assert refused.code == "idempotency_in_progress"


async def test_an_answer_of_another_version_is_not_guessed_at(process: Process) -> None:
    claim = idempotency.claim_of(keyed())
    answer = pack(kept()).replace(b"[1,", b"[99,", 1)
    process.table.rows[claim.id] = Earlier(claim.request, "req_0", Fate.ANSWERED, answer)
    assert (await process.refusal(keyed())).code == "idempotency_answer_not_kept"


async def test_a_kept_answer_serves_a_call_with_a_key_too(process: Process) -> None:
    await process.ask(call(cache=True))
    first, _ = await process.ask(keyed(cache=True))
    assert (first.replayed, process.upstream.sent) == ("cache", 1)
    again, listener = await process.ask(keyed(cache=True))
    assert (again.replayed, listener.text) == ("idempotency", ANSWER)
