"""Every observer gets every record, in order, soon, whatever another observer does."""

from __future__ import annotations

import asyncio

from records import draft

from gateway.schema import CallRecord
from gateway.telemetry import batches
from gateway.telemetry.batches import RecordBatches


def unheard(what: str, error: BaseException) -> None:
    raise AssertionError(what) from error


def calls(count: int) -> list[CallRecord]:
    return [draft(call_id=f"req_{number}") for number in range(count)]


async def test_records_come_within_moments_and_in_order() -> None:
    told: asyncio.Queue[CallRecord] = asyncio.Queue()
    batch = RecordBatches([told.put_nowait], unheard)
    for record in calls(3):
        batch(record)
    assert told.empty()
    async with asyncio.timeout(5):
        assert [await told.get() for _ in range(3)] == calls(3)


async def test_a_full_batch_does_not_wait() -> None:
    told: list[CallRecord] = []
    batch = RecordBatches([told.append], unheard)
    for record in calls(batches.MAX_RECORDS + 1):
        batch(record)
    assert told == calls(batches.MAX_RECORDS)
    batch.flush()
    assert len(told) == batches.MAX_RECORDS + 1


async def test_an_observer_that_fails_takes_no_record_from_the_others() -> None:
    before: list[CallRecord] = []
    after: list[CallRecord] = []
    reported: list[BaseException] = []
    fault = ValueError("bad observer")

    def fail(record: CallRecord) -> None:
        raise fault

    batch = RecordBatches(
        [before.append, fail, after.append], lambda what, error: reported.append(error)
    )
    for record in calls(2):
        batch(record)
    batch.flush()
    assert before == after == calls(2)
    assert reported == [fault, fault]


async def test_flushing_twice_tells_nothing_twice() -> None:
    told: list[CallRecord] = []
    batch = RecordBatches([told.append], unheard)
    batch(draft())
    batch.flush()
    batch.flush()
    assert len(told) == 1
