import asyncio

import pytest

from gateway.framing import parse_event
from gateway.upstream.translation import Translation


def event(text):
    return parse_event(b"data: " + text + b"\n\n")


async def shout(events):
    async for item in events:
        if item.data == b"stop":
            return
        yield item.data.upper()


def test_chunks_come_out_as_events_go_in():
    translation = Translation(shout)
    assert translation.feed([event(b"a"), event(b"b")]) == [b"A", b"B"]
    assert translation.feed([]) == []
    assert translation.feed([event(b"c"), event(b"stop"), event(b"d")]) == [b"C"]
    assert translation.done


def test_the_end_of_the_events_reaches_the_provider():
    async def count(events):
        seen = 0
        async for _ in events:
            seen += 1
        yield b"%d" % seen

    translation = Translation(count)
    assert translation.feed([event(b"a"), event(b"b")]) == []
    assert translation.finish() == [b"2"]
    assert translation.done


def test_an_error_in_the_provider_comes_out_of_feed_once():
    async def fail(events):
        async for _ in events:
            raise ValueError("bad chunk")
        yield b""

    translation = Translation(fail)
    with pytest.raises(ValueError, match="bad chunk"):
        translation.feed([event(b"a")])
    assert translation.done
    assert translation.feed([event(b"b")]) == []


def test_chunks_before_an_error_in_the_same_read_are_not_lost():
    async def fail_second(events):
        async for item in events:
            if item.data == b"bad":
                raise ValueError("bad chunk")
            yield item.data

    translation = Translation(fail_second)
    assert translation.feed([event(b"good"), event(b"bad")]) == [b"good"]
    assert translation.done
    with pytest.raises(ValueError, match="bad chunk"):
        translation.raise_error()


async def test_a_provider_that_awaits_anything_else_is_refused():
    async def sleepy(events):
        async for item in events:
            await asyncio.sleep(0.01)
            yield item.data

    with pytest.raises(TypeError, match="nothing but its events"):
        Translation(sleepy).feed([event(b"a")])


def test_closing_early_runs_the_generators_own_cleanup():
    closed = []

    async def careful(events):
        try:
            async for item in events:
                yield item.data
        finally:
            closed.append(True)

    translation = Translation(careful)
    translation.feed([event(b"a")])
    translation.close()
    translation.close()
    assert closed == [True]
