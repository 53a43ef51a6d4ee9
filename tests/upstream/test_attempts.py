"""Which targets a call tries, how often, and when nothing more is tried: over real sockets."""

from __future__ import annotations

import asyncio
import sqlite3
import time

import pytest
from ladder_house import (
    STREAM_HEAD,
    answers,
    begins_and_ends_at,
    chunk,
    cuts,
    cuts_after_a_chunk,
    is_silent,
    ladder_house,
    says,
)

from gateway.errors import Outcome

QUICK = "retries: {backoff_s: 0.01}\n"


@pytest.fixture
async def house(tmp_path):
    async with ladder_house(tmp_path, more=QUICK) as it:
        yield it


async def opened(house, target="p0/m"):
    return house.gateway.targets.health.shown(target)["state"]


async def test_a_dead_first_target_costs_no_client_an_answer(house):
    first, _ = house.upstreams
    await first.die()
    found = [await house.call() for _ in range(5)]
    assert await opened(house) == "open"
    found += [await house.call() for _ in range(20)]
    assert {(answer.status, answer.provider) for answer in found} == {(200, "p1")}
    assert [len(record.attempts) for record in (await house.records(25))[5:]] == [1] * 20


async def test_a_target_that_recovers_is_used_again(tmp_path):
    more = QUICK + "breaker: {open_s: 0.05, max_open_s: 0.1}\n"
    async with ladder_house(tmp_path, more=more) as house:
        first = house.upstreams[0]
        first.act = says(500)
        for _ in range(8):
            assert (await house.call()).provider == "p1"
        first.act = answers
        async with asyncio.timeout(30):
            while (await house.call()).provider != "p0":
                await asyncio.sleep(0.01)
        assert await opened(house) == "closed"


async def test_where_everything_fails_upstreams_see_a_fifth_more_at_most(tmp_path):
    more = QUICK + "breaker: {consecutive_failures: 100000, min_calls: 100000}\n"
    async with ladder_house(tmp_path, more=more) as house:
        for upstream in house.upstreams:
            upstream.act = says(500)
        for _ in range(20):
            found = await asyncio.gather(*(house.call() for _ in range(50)))
            assert {answer.status for answer in found} == {502}
        assert house.total_asked <= 1200
        assert "budget for further attempts is used up" in found[-1].error["message"]


async def test_the_last_target_is_tried_although_its_breaker_is_open(tmp_path):
    async with ladder_house(tmp_path, size=1, more=QUICK) as house:
        (only,) = house.upstreams
        only.act = says(500)
        while await opened(house) == "closed":
            await house.call()
        asked = len(only.asked)
        assert (await house.call()).status == 502
        assert len(only.asked) == asked + 1
        only.act = answers
        assert (await house.call()).status == 200
        assert await opened(house) == "closed"


async def breaker_opens(house):
    """The first upstream fails for so long, and is well again."""
    (first, *_) = house.upstreams
    first.act = says(500)
    while await opened(house) == "closed":
        await house.call()
    first.act = answers


async def test_a_target_that_is_left_alone_is_tried_where_the_others_failed_the_call(house):
    await breaker_opens(house)
    house.upstreams[1].act = cuts  # may have been served: not sent there again
    assert (await house.call()).provider == "p0"


async def test_where_all_breakers_are_open_a_call_makes_one_attempt(house):
    for upstream in house.upstreams:
        upstream.act = says(500)
    while {await opened(house), await opened(house, "p1/m")} != {"open"}:
        await house.call()
    asked = house.total_asked
    assert (await house.call()).status == 502
    assert house.total_asked == asked + 1


async def test_a_target_is_back_with_the_first_word_of_a_stream(tmp_path):
    more = QUICK + "breaker: {open_s: 0.05, max_open_s: 60}\n"
    async with ladder_house(tmp_path, more=more) as house:
        await breaker_opens(house)
        end = asyncio.Event()
        house.upstreams[0].act = begins_and_ends_at(end)
        await asyncio.sleep(0.06)
        async with house.post(stream=True) as response:
            await response.content.readany()
            assert await opened(house) == "closed"
            end.set()
            assert b"[DONE]" in await response.read()


async def test_connections_that_the_gateway_lacks_are_no_fault_of_the_target(tmp_path):
    entry = ", max_connections: 1, connect_timeout_s: 0.05"
    more = "breaker: {consecutive_failures: 1}\nretries: {budget: 0}\n"
    async with ladder_house(tmp_path, size=1, more=more, first=entry) as house:
        (only,) = house.upstreams
        end = asyncio.Event()
        only.act = begins_and_ends_at(end)
        async with house.post(stream=True) as response:
            await response.content.readany()
            answer = await house.call()
            end.set()
            await response.read()
        assert "its max_connections" in answer.error["message"]
        assert answer.headers["x-daobo-error-source"] == "gateway"
        assert await opened(house) == "closed"


@pytest.mark.parametrize("pause", [True, False], ids=["read by itself", "read together"])
async def test_a_stream_that_begins_and_is_refused_before_a_word_costs_nothing(tmp_path, pause):
    async def begins_and_refuses(asked):
        role = chunk().replace(b'"delta":{}', b'"delta":{"role":"assistant","content":""}')
        await asked.send(STREAM_HEAD + role)
        if pause:
            await asyncio.sleep(0.05)
        await asked.send(
            b'data: {"error": {"message": "too busy", "type": "overloaded_error"}}\n\n'
        )
        asked.writer.close()

    async with ladder_house(tmp_path, size=1, more="retries: {budget: 0}\n") as house:
        house.upstreams[0].act = begins_and_refuses
        assert (await house.call(stream=True)).status == 502
        (attempt,) = await house.attempts()
        assert (attempt.bill, attempt.usage.output_tokens) == (None, 0)


async def test_a_target_that_did_nothing_is_tried_again_where_there_is_no_other(tmp_path):
    async with ladder_house(tmp_path, size=1, more=QUICK) as house:
        (only,) = house.upstreams
        only.script.extend([says(503), says(500)])
        assert (await house.call()).status == 200
        assert [a.outcome for a in await house.attempts()] == [
            Outcome.UPSTREAM_OVERLOADED,
            Outcome.UPSTREAM_FAILED,
            Outcome.OK,
        ]


async def test_other_targets_come_before_a_second_try(house):
    first, second = house.upstreams
    first.script.append(says(500))
    second.script.append(says(500))
    assert (await house.call()).provider == "p0"
    assert [a.target.provider for a in await house.attempts()] == ["p0", "p1", "p0"]


async def test_a_call_makes_three_attempts_at_most(tmp_path):
    async with ladder_house(tmp_path, size=5, more=QUICK) as house:
        for upstream in house.upstreams:
            upstream.act = says(500)
        answer = await house.call()
        assert house.total_asked == 3
        assert "3 attempts are the most" in answer.error["message"]


@pytest.mark.parametrize("act", [cuts, says(404), says(401)], ids=["cut", "missing", "key"])
async def test_what_may_have_been_served_or_stays_so_is_not_sent_there_twice(tmp_path, act):
    async with ladder_house(tmp_path, size=1, more=QUICK) as house:
        house.upstreams[0].act = act
        assert (await house.call()).status == 502
        assert house.total_asked == 1


async def test_a_wrong_request_is_tried_once(house):
    house.upstreams[0].act = says(400)
    assert (await house.call()).status == 400
    assert house.total_asked == 1


async def test_a_stream_that_was_cut_is_never_repeated(house):
    house.upstreams[0].act = cuts_after_a_chunk
    answer = await house.call(stream=True)
    assert house.total_asked == 1
    assert answer.body.count("雨夜".encode()) == 1
    assert b"upstream_cut" in answer.body
    assert b"[DONE]" not in answer.body


async def test_a_stream_without_a_byte_goes_to_the_next_target(house):
    house.upstreams[0].act = cuts
    answer = await house.call(stream=True)
    assert answer.provider == "p1"
    assert b"[DONE]" in answer.body


async def test_no_pause_passes_the_deadline(house):
    for upstream in house.upstreams:
        upstream.act = says(429, "x", "retry-after: 5")
    answer = await house.call("hurry")
    assert "deadline leaves no time" in answer.error["message"]


async def test_one_providers_deadline_is_not_the_others(tmp_path):
    async def fails_late(asked):
        await asyncio.sleep(0.25)
        await says(503)(asked)

    async with ladder_house(tmp_path, more=QUICK, first=", total_timeout_s: 0.2") as house:
        house.upstreams[0].act = says(503)
        house.upstreams[1].script.append(fails_late)
        assert (await house.call()).provider == "p1"
        house.upstreams[0].act = is_silent
        assert (await house.call()).provider == "p1"


async def test_all_attempts_share_one_deadline(house):
    for upstream in house.upstreams:
        upstream.act = is_silent
    started_s = time.monotonic()
    answer = await house.call("hurry")
    assert answer.status == 504
    assert time.monotonic() - started_s > 0.9
    assert house.total_asked == 1
    assert "the call's deadline has passed" in answer.error["message"]


async def test_a_429_with_a_short_wait_is_waited_for(tmp_path):
    async with ladder_house(tmp_path, size=1, more=QUICK) as house:
        house.upstreams[0].script.append(says(429, "x", "retry-after: 1"))
        started_s = time.monotonic()
        assert (await house.call()).status == 200
        assert time.monotonic() - started_s >= 0.95


async def test_errors_name_what_was_left_out_and_why(house):
    first, second = house.upstreams
    first.act = second.act = says(500)
    while await opened(house) == "closed":
        await house.call()
    second.act = says(400)
    message = (await house.call()).error["message"]
    assert "Left out: p0/m: its breaker is open for " in message
    assert " after 5 failures in a row." in message


async def test_refused_content_is_asked_of_another_provider(house):
    house.upstreams[0].act = says(400, "content_policy_violation")
    assert (await house.call()).provider == "p1"


async def test_refused_content_stays_refused_where_the_configuration_says_so(tmp_path):
    async with ladder_house(tmp_path, more="retries: {content_policy: false}\n") as house:
        house.upstreams[0].act = says(400, "content_policy_violation")
        assert (await house.call()).error["code"] == "content_policy_violation"
        assert house.total_asked == 1


async def test_a_text_that_is_too_long_is_not_sent_where_no_more_fits(house):
    house.upstreams[0].act = says(400, "context_length_exceeded")
    answer = await house.call()
    assert answer.status == 400
    assert house.total_asked == 1
    assert "p1/m takes no longer texts than p0/m" in answer.error["message"]


async def test_a_stand_in_answers_for_a_target_that_is_left_alone_and_says_so(tmp_path):
    async with ladder_house(tmp_path, size=1, more=QUICK, rehearsal="fallback") as house:
        (only,) = house.upstreams
        only.act = says(500)
        while await opened(house) == "closed":
            assert (await house.call()).headers["x-daobo-rehearsal"] == "true"
        asked = len(only.asked)
        answer = await house.call()
        assert len(only.asked) == asked
        assert answer.headers["x-daobo-rehearsal"] == "true"
        assert "left out: p0/m: its breaker is open" in answer.headers["x-daobo-warning"]


async def test_a_stand_in_needs_no_budget(tmp_path):
    more = "retries: {budget: 0}\n"
    async with ladder_house(tmp_path, size=2, more=more, rehearsal="fallback") as house:
        house.upstreams[0].act = says(500)
        answer = await house.call()
        assert (answer.provider, house.total_asked) == ("rehearsal", 1)


async def test_without_redis_calls_go_where_nothing_is_counted(tmp_path, unused_tcp_port):
    nowhere, counted = f"redis://127.0.0.1:{unused_tcp_port}/0", ", requests_per_minute: 100"
    async with ladder_house(tmp_path, more=QUICK, first=counted, redis=nowhere) as house:
        assert (await house.call()).provider == "p1"
        assert house.upstreams[0].asked == []


async def test_a_stand_in_answers_after_the_most_attempts_that_go_out(tmp_path):
    more = QUICK + "max_attempts: 2\n"
    async with ladder_house(tmp_path, size=3, more=more, rehearsal="fallback") as house:
        for upstream in house.upstreams:
            upstream.act = says(500)
        assert ((await house.call()).provider, house.total_asked) == ("rehearsal", 2)


async def test_more_is_held_for_a_dear_target_that_only_others_absence_leads_to(tmp_path):
    async with ladder_house(tmp_path, size=3, more=QUICK) as house:
        for upstream in house.upstreams:
            upstream.act = says(500)
        answer = await house.call("deep")
        while answer.provider is None:
            answer = await house.call("deep")
            if await opened(house, "p2/m") == "open":
                house.upstreams[2].act = answers
        assert answer.headers["x-daobo-model"] == "dear"
        await house.gateway.ledger.stop(5)
        with sqlite3.connect(tmp_path / "ledger.db") as ledger:
            held = [amount for (amount,) in ledger.execute("select held_nano from requests")]
        assert max(held) > 9 * min(held)
