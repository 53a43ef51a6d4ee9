"""What is in a bucket, wherever it is kept: bursts, an even flow, all or nothing, and the truth
afterwards."""

from __future__ import annotations

import pytest

from gateway.limits.buckets import Denied, Granted

from .bucket_stores import Bench, bucket

SECOND_US = 1_000_000


def granted(found: Granted | Denied) -> Granted:
    assert isinstance(found, Granted), found
    return found


def denied(found: Granted | Denied) -> Denied:
    assert isinstance(found, Denied), found
    return found


def test_a_burst_and_then_one_after_the_other(bench: Bench) -> None:
    take = (bucket(capacity=3, per_minute=60), 1)
    levels = [granted(bench.take(take)).levels[0] for _ in range(3)]
    refused = denied(bench.take(take))
    bench.wait(SECOND_US)
    after_a_second = granted(bench.take(take))
    assert levels == [(2, 1.0), (1, 2.0), (0, 3.0)]
    assert refused == Denied(take, (0, 3.0), 1.0)
    assert after_a_second.levels == [(0, 3.0)]
    assert denied(bench.take(take)).wait_s == 1.0


def test_a_refusal_takes_nothing(bench: Bench) -> None:
    take = (bucket(capacity=1, per_minute=1), 1)
    bench.take(take)
    waits_s = {denied(bench.take(take)).wait_s for _ in range(5)}
    assert waits_s == {60.0}


@pytest.mark.parametrize("per_minute", [7, 59, 1000, 999_983])
def test_the_last_request_of_a_burst_is_not_lost_to_rounding(bench: Bench, per_minute: int) -> None:
    take = (bucket(capacity=100, per_minute=per_minute), 1)
    for _ in range(100):
        granted(bench.take(take))
    assert isinstance(bench.take(take), Denied)


def test_several_buckets_give_all_or_nothing(bench: Bench) -> None:
    wide = (bucket(capacity=10, name="project=p"), 1)
    narrow = (bucket(capacity=1, per_minute=2, name="user=u"), 1)
    granted(bench.take(wide, narrow))
    refused = denied(bench.take(wide, narrow))
    assert (refused.take, refused.wait_s) == (narrow, 30.0)
    assert granted(bench.take(wide)).levels == [(8, 2.0)]


def test_of_several_that_refuse_the_slowest_is_named(bench: Bench) -> None:
    quick = (bucket(capacity=1, per_minute=60, name="project=p"), 1)
    slow = (bucket(capacity=1, per_minute=1, name="user=u"), 1)
    bench.take(quick, slow)
    assert denied(bench.take(quick, slow)).take == slow
    assert denied(bench.take(slow, quick)).wait_s == 60.0


def test_more_than_a_bucket_holds_waits_until_it_is_full_and_leaves_a_debt(bench: Bench) -> None:
    tokens = bucket("tokens", capacity=100, per_minute=600)
    bench.take((tokens, 50))
    huge = (tokens, 300)
    assert denied(bench.take(huge)).wait_s == 5.0
    bench.wait(5 * SECOND_US)
    assert granted(bench.take(huge)).levels == [(0, 30.0)]
    assert denied(bench.take((tokens, 1))).wait_s == pytest.approx(20.1)


def test_what_was_reserved_and_not_used_comes_back(bench: Bench) -> None:
    tokens = bucket("tokens", capacity=1000, per_minute=1000)
    taken = granted(bench.take((tokens, 900)))
    assert isinstance(bench.take((tokens, 200)), Denied)
    bench.settle(taken, 100)
    [(remaining, _)] = granted(bench.take((tokens, 200))).levels
    assert remaining == 700


def test_what_was_used_beyond_the_reserve_is_owed(bench: Bench) -> None:
    tokens = bucket("tokens", capacity=1000, per_minute=1000)
    taken = granted(bench.take((tokens, 100)))
    bench.settle(taken, 1100)
    refused = denied(bench.take((tokens, 10)))
    assert refused.level[0] == 0
    assert refused.wait_s == pytest.approx(6.6)


def test_a_request_does_not_come_back_and_a_place_does(bench: Bench) -> None:
    requests = (bucket(capacity=5, per_minute=1), 1)
    place = (bucket("concurrency", capacity=1), 1)
    taken = granted(bench.take(requests, place))
    assert denied(bench.take(requests, place)).take == place
    bench.settle(taken)
    again = granted(bench.take(requests, place))
    assert [remaining for remaining, _ in again.levels] == [3, 0]


def test_what_comes_back_to_a_bucket_that_is_full_again_is_no_surplus(bench: Bench) -> None:
    tokens = bucket("tokens", capacity=100, per_minute=6000)
    taken = granted(bench.take((tokens, 100)))
    bench.wait(2 * SECOND_US)
    bench.settle(taken, 0)
    granted(bench.take((tokens, 100)))
    assert isinstance(bench.take((tokens, 1)), Denied)
