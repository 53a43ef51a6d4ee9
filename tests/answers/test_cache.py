"""Asked again, answered again: when an answer is kept, when it is given, and who waits for whom."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from gateway.answers.answers import Answers, Archive
from gateway.answers.memory import MemoryKeeper
from gateway.answers.replay import PIECE_BYTES
from gateway.config_limits import CacheConfig
from gateway.errors import CallError, Outcome
from gateway.journey import Journey
from gateway.kept import Claim, Earlier
from gateway.schema import Call, Target

from .asked import ANSWER, ASKED, NOW_S, WRITER, Listener, Upstream, call, plan_for

KEPT_ANSWER = {**ASKED, "temperature": 0}


class NoClaims:
    """Nobody has a key here."""

    async def claim(self, claim: Claim) -> Earlier | None:
        raise AssertionError("no call here has an Idempotency-Key")

    end = free = claim  # type: ignore[assignment]


@dataclass
class Room:
    """The room, with what lies before and behind it."""

    config: CacheConfig = field(default_factory=CacheConfig)
    upstream: Upstream = field(default_factory=Upstream)
    now_s: float = NOW_S
    tasks_fix_answers: bool = False

    def __post_init__(self) -> None:
        self.archive = Archive(MemoryKeeper(lambda: self.now_s, 10_000), NoClaims())  # type: ignore[arg-type]
        self.answers = Answers(
            self.config, self.archive, self.tasks_fix_answers, lambda: self.now_s, lambda: 50.0
        )

    async def ask(
        self, asked: Call, listener: Listener | None = None, **more: Any
    ) -> tuple[Journey, Listener]:
        journey, listener = Journey(asked, plan_for(asked, **more)), listener or Listener()

        async def go(client: Any, send: Callable[[Journey, Any], Awaitable[None]]) -> None:
            await send(journey, client)

        if self.answers.concern(asked):
            await self.answers.give(listener, go, self.upstream.send)
        else:
            await self.upstream.send(journey, listener)
        return journey, listener


def wanted(body: dict[str, Any] | None = None, **more: Any) -> Call:
    return call(body, cache=True, **more)


async def test_what_is_asked_again_is_answered_without_being_sent() -> None:
    room = Room()
    first, _ = await room.ask(wanted())
    room.now_s += 8.7
    again, listener = await room.ask(wanted(id="req_2"))
    assert (room.upstream.sent, listener.text) == (1, ANSWER)
    assert (first.replayed, first.missed) == ("", True)
    assert (again.replayed, again.missed, again.age_s) == ("cache", False, 8)


async def test_it_costs_nothing_and_says_what_it_would_have_cost() -> None:
    room = Room()
    await room.ask(wanted())
    again, _ = await room.ask(wanted())
    assert (str(again.cost), str(again.list_cost)) == ("0.000000000", "0.000000007")
    assert again.usage is None
    assert again.attempts == []
    assert again.target == WRITER


async def test_a_stream_is_given_again_as_it_was_sent() -> None:
    room = Room(upstream=Upstream([b"data: 1\n\n", b"never sent"]))
    await room.ask(wanted(stream=True))
    again, listener = await room.ask(wanted(stream=True))
    assert (listener.text, listener.ended) == (b"data: 1\n\n", True)
    assert again.finish_reason == "stop"


async def test_a_slow_reader_gets_a_long_stream_piece_by_piece() -> None:
    class Slow(Listener):
        def write(self, data: bytes) -> bool:
            assert len(data) <= PIECE_BYTES
            super().write(data)
            return False

        def when_drained(self, resume: Callable[[], None]) -> None:
            asyncio.get_running_loop().call_soon(resume)

    long = bytes(3 * PIECE_BYTES + 1)
    room = Room(CacheConfig(max_answer_bytes=len(long)), Upstream([long]))
    room.archive.keeper.resize(2 * len(long))  # type: ignore[attr-defined]
    await room.ask(wanted(stream=True))
    _, slow = await room.ask(wanted(stream=True), Slow())
    assert (slow.text, len(slow.heard), slow.ended) == (long, 4, True)
    assert room.upstream.sent == 1


async def test_an_answer_is_given_up_after_its_time() -> None:
    room = Room(CacheConfig(ttl_s=60))
    await room.ask(wanted())
    room.now_s += 60
    await room.ask(wanted())
    assert room.upstream.sent == 2


MODES = [
    ("off", True, KEPT_ANSWER, False),
    ("on_request", True, ASKED, True),
    ("on_request", None, KEPT_ANSWER, False),
    ("on_request", False, KEPT_ANSWER, False),
    ("deterministic", None, KEPT_ANSWER, True),
    ("deterministic", None, ASKED, False),
    ("deterministic", True, ASKED, True),
    ("deterministic", False, KEPT_ANSWER, False),
]


@pytest.mark.parametrize(("mode", "header", "body", "is_kept"), MODES)
async def test_the_mode_and_the_header_say_whether_an_answer_is_kept(
    mode: Any, header: bool | None, body: dict[str, Any], is_kept: bool
) -> None:
    room = Room(CacheConfig(mode=mode))
    for _ in range(2):
        await room.ask(call(body, cache=header))
    assert room.upstream.sent == (1 if is_kept else 2)


async def test_a_temperature_that_a_task_fills_in_counts_as_well() -> None:
    room = Room(CacheConfig(mode="deterministic"), tasks_fix_answers=True)
    filled = plan_for(call())._replace(body=KEPT_ANSWER)
    for _ in range(2):
        journey = Journey(call(), filled)

        async def go(client: Any, send: Any, journey: Journey = journey) -> None:
            await send(journey, client)

        await room.answers.give(Listener(), go, room.upstream.send)
    assert room.upstream.sent == 1


NOT_KEPT = {
    "cut by its cap": Upstream(finish_reason="length"),
    "refused for its content": Upstream(finish_reason="content_filter"),
    "ended for reasons of the provider's": Upstream(finish_reason="insufficient_system_resource"),
    "without a reason": Upstream(finish_reason=None),
    "a stand-in's": Upstream(target=Target("stage", "actor", "writer", rehearsal=True)),
    "put together with a scene of the source's": Upstream(flags=("part 2, 1-3: …",)),
    "too large": Upstream([b"x" * 2000, b"x" * 2000]),
}


@pytest.mark.parametrize("upstream", NOT_KEPT.values(), ids=NOT_KEPT.keys())
async def test_an_answer_is_not_kept_if_it_is(upstream: Upstream) -> None:
    room = Room(CacheConfig(max_answer_bytes=1000), upstream)
    for _ in range(2):
        await room.ask(wanted())
    assert upstream.sent == 2
    upstream.sent = 0


async def test_of_several_choices_each_has_to_have_ended_as_it_should() -> None:
    half = b'{"choices":[{"finish_reason":"length"},{"finish_reason":"stop"}]}'
    open_ended = b'{"choices":[{"finish_reason":null},{"finish_reason":"stop"}]}'
    whole = b'{"choices":[{"finish_reason": "stop"},{"finish_reason":"stop"}]}'
    room = Room(upstream=Upstream([half, open_ended, whole, b"never sent"]))
    for _ in range(4):
        await room.ask(wanted({**ASKED, "n": 2}))
    assert room.upstream.sent == 3


async def test_embeddings_have_no_finish_reason_and_are_kept() -> None:
    room = Room(upstream=Upstream(finish_reason=None))
    for _ in range(2):
        await room.ask(wanted(endpoint="embeddings"))
    assert room.upstream.sent == 1


async def test_a_failure_is_not_kept() -> None:
    room = Room(upstream=Upstream([CallError(Outcome.UPSTREAM_FAILED, "overheated")]))
    with pytest.raises(CallError, match="overheated"):
        await room.ask(wanted())
    _, listener = await room.ask(wanted())
    assert listener.text == ANSWER


# Twins


async def settled() -> None:
    """Let everything run that can."""
    for _ in range(10):
        await asyncio.sleep(0)


async def crowd(room: Room, count: int, **more: Any) -> list[asyncio.Future[Any]]:
    """So many calls that ask the same, all under way."""
    room.upstream.gate = asyncio.Event()
    calls = [
        asyncio.ensure_future(room.ask(wanted(id=f"req_{number}"), **more))
        for number in range(count)
    ]
    await room.upstream.under_way.wait()
    await settled()
    return calls


async def test_fifty_that_ask_the_same_at_once_are_sent_once() -> None:
    room = Room()
    calls = await crowd(room, 50)
    assert room.upstream.gate is not None
    room.upstream.gate.set()
    found = await asyncio.gather(*calls)
    assert room.upstream.sent == 1
    assert {listener.text for _, listener in found} == {ANSWER}
    assert sorted(journey.replayed for journey, _ in found) == [""] + ["twin"] * 49


async def test_when_the_first_fails_the_next_one_is_sent_and_the_others_wait_for_that() -> None:
    failures = [CallError(Outcome.UPSTREAM_FAILED, "overheated") for _ in range(2)]
    room = Room(upstream=Upstream([*failures]))
    calls = await crowd(room, 10)
    assert room.upstream.gate is not None
    room.upstream.gate.set()
    found = await asyncio.gather(*calls, return_exceptions=True)
    assert room.upstream.sent == 3
    assert [error for error in found if isinstance(error, Exception)] == failures


async def test_an_answer_that_is_not_kept_is_no_answer_for_others() -> None:
    room = Room(upstream=Upstream(finish_reason="length"))
    calls = await crowd(room, 5)
    assert room.upstream.gate is not None
    room.upstream.gate.set()
    await asyncio.gather(*calls)
    assert room.upstream.sent == 5


async def test_the_answer_comes_although_the_client_that_asked_first_has_left() -> None:
    room = Room()
    first, *others = await crowd(room, 3)
    first.cancel()
    await settled()
    assert room.upstream.gate is not None
    room.upstream.gate.set()
    found = await asyncio.gather(*others)
    assert room.upstream.sent == 1
    assert [journey.replayed for journey, _ in found] == ["twin", "twin"]


async def test_a_call_that_nobody_waits_for_ends_when_its_client_leaves() -> None:
    room = Room()
    first, second = await crowd(room, 2)
    second.cancel()
    await settled()
    first.cancel()
    await settled()
    assert len(room.archive.outliving) == 0
    assert len(room.archive.cache_twins) == 0


async def test_it_also_ends_when_the_last_that_waited_leaves_after_its_client() -> None:
    room = Room()
    first, second = await crowd(room, 2)
    first.cancel()
    await settled()
    assert len(room.archive.outliving) == 2
    second.cancel()
    await settled()
    assert len(room.archive.outliving) == 0


async def test_who_waits_does_so_within_its_own_deadline() -> None:
    room = Room()
    (first,) = await crowd(room, 1)
    with pytest.raises(CallError, match="was not answered within 0 s") as refused:
        await room.ask(wanted(), deadline_s=0.01)
    assert refused.value.outcome is Outcome.UPSTREAM_TIMEOUT
    first.cancel()
    await settled()


async def test_a_large_answer_lets_the_others_go_before_it_ends() -> None:
    room = Room(CacheConfig(max_answer_bytes=10))
    began, go_on = asyncio.Event(), asyncio.Event()

    async def stream(journey: Journey, client: Any) -> None:
        room.upstream.sent += 1
        journey.begin(WRITER)
        await client.begin_stream(journey, b"x" * 11)
        began.set()
        await go_on.wait()
        journey.finish_reason = "stop"
        await client.end_stream(journey)

    room.upstream.send = stream  # type: ignore[method-assign]
    calls = [asyncio.ensure_future(room.ask(wanted(stream=True))) for _ in range(3)]
    await began.wait()
    await settled()
    assert room.upstream.sent == 3
    go_on.set()
    await asyncio.gather(*calls)


async def test_a_large_answer_ends_when_it_serves_nobody_any_more() -> None:
    room = Room(CacheConfig(max_answer_bytes=10))
    began, goes_on = asyncio.Event(), asyncio.Event()

    async def stream(journey: Journey, client: Any) -> None:
        journey.begin(WRITER)
        began.set()
        await goes_on.wait()
        await client.begin_stream(journey, b"x" * 11)
        await asyncio.Event().wait()

    room.upstream.send = stream  # type: ignore[method-assign]
    first = asyncio.ensure_future(room.ask(wanted(stream=True)))
    await began.wait()
    second = asyncio.ensure_future(room.ask(wanted(stream=True)))
    await settled()
    first.cancel()
    await settled()
    goes_on.set()
    await settled()
    assert len(room.archive.outliving) == 1  # the second one's own
    second.cancel()
    await settled()
    assert len(room.archive.outliving) == 0


async def test_recordings_give_their_memory_back() -> None:
    room = Room()
    before = room.archive.space._left_bytes
    await room.ask(wanted())
    assert room.archive.space._left_bytes == before
