"""The loop's lag is measured from outside its own idea of the time."""

from __future__ import annotations

import asyncio
import time

from gateway.telemetry.loop_lag import KEPT, LoopLag


async def test_a_turn_that_takes_long_shows_as_lag() -> None:
    told: list[float] = []
    seen = asyncio.Event()

    def tell(lag_s: float) -> None:
        told.append(lag_s)
        if lag_s > 0.05:
            seen.set()

    lag = LoopLag(time.perf_counter, tell)
    lag.start()
    time.sleep(0.1)
    async with asyncio.timeout(30):
        await seen.wait()
    lag.stop()
    shown = lag.quantiles()
    assert shown["1",] == max(told) > 0.05
    assert shown["0.5",] <= shown["0.999",] <= shown["1",]


async def test_only_the_last_minute_is_kept() -> None:
    now_s = 0.0
    lag = LoopLag(lambda: now_s, lambda lag_s: None)
    for late_s in (9.0, *[0.001] * KEPT):
        lag.start()
        now_s = lag._due_s + late_s
        lag.stop()
        lag._ring()
    lag.stop()
    assert lag.quantiles()["1",] < 0.1


def test_before_the_first_look_there_is_nothing_to_show() -> None:
    assert LoopLag(time.perf_counter, lambda lag_s: None).quantiles() == {}
