"""A load client: many streams at once through one server, each chunk checked and timed.

Runs as a process of its own and prints one JSON object. It also reads the CPU time of the server
under measurement, because only it knows which chunks belong to that time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import time
from array import array
from typing import Any, cast

import httptools
import uvloop

from .calls import chat_body, http_request
from .percentiles import percentile
from .process_tree import cpu_s

OPENING_S = 0.5
"""All streams open within this time, evenly spread."""
SETTLING_S = 0.5
"""After the last opening, before the steady state is taken to have begun."""
STALL_NS = 1_000_000_000
MAX_LATE_S = 15.0
"""How long after its scheduled end a stream may finish before it counts as broken."""

_CONTENT = re.compile(rb'"content": ?"(\d+) (\d+)"')


class Tally:
    """What all streams of one run have seen."""

    def __init__(self) -> None:
        self.chunks = 0
        self.stalls = 0
        self.first_chunk_ns = array("q")
        self.delay_ns = array("q")
        self.complete = 0
        self.faults: list[str] = []


class Stream(asyncio.Protocol):
    """One connection with one streamed call on it."""

    def __init__(self, request: bytes, expected_chunks: int, tally: Tally) -> None:
        self.ended = asyncio.get_running_loop().create_future()
        self._request = request
        self._expected = expected_chunks
        self._tally = tally
        self._parser = httptools.HttpResponseParser(self)
        self._started_ns = time.monotonic_ns()
        self._last_ns = 0
        self._now_ns = 0
        self._chunks = 0
        self._endings: list[str] = []
        self._partial = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._now_ns = time.monotonic_ns()
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        if (status := self._parser.get_status_code()) != 200:
            self._end(f"status {status}: {body[:500].decode(errors='replace')}")
        *events, self._partial = (self._partial + body).split(b"\n\n")
        for event in events:
            if content := _CONTENT.search(event):
                self._take_chunk(int(content[1]), int(content[2]))
            elif b'"finish_reason":"stop"' in event:
                self._endings.append("finish")
            elif b'"usage":{' in event:
                self._endings.append("usage")
            elif event == b"data: [DONE]":
                self._endings.append("done")

    def _take_chunk(self, sequence: int, sent_ns: int) -> None:
        tally = self._tally
        if sequence != self._chunks:
            self._end(f"chunk {sequence} came where {self._chunks} was due")
        if sequence == 0:
            tally.first_chunk_ns.append(self._now_ns - self._started_ns)
        elif self._now_ns - self._last_ns > STALL_NS:
            tally.stalls += 1
        tally.delay_ns.append(self._now_ns - sent_ns)
        tally.chunks += 1
        self._last_ns = self._now_ns
        self._chunks += 1

    def on_message_complete(self) -> None:
        if self._chunks != self._expected:
            self._end(f"{self._chunks} of {self._expected} chunks came")
        elif self._endings != ["finish", "usage", "done"]:
            self._end(f"the stream ended with {self._endings}")
        else:
            self._tally.complete += 1
            self._end()

    def connection_lost(self, error: Exception | None) -> None:
        self._end(f"the connection was lost after {self._chunks} chunks: {error}")

    def _end(self, fault: str | None = None) -> None:
        if self.ended.done():
            return
        self.ended.set_result(None)
        if fault:
            self._tally.faults.append(fault)
        self._transport.close()


class Run:
    """One run of ``streams`` streams through the server on ``port``."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.tally = Tally()
        body = chat_body(stream_chunks=options.chunks)
        self.request = http_request(options.port, options.key, body)
        self.duration_s = (options.chunks - 1) / options.chunks_per_s
        """From a stream's first chunk to its last, as scheduled."""
        self.steady: list[tuple[float, int]] = []

    async def measure(self) -> dict[str, Any]:
        loop = asyncio.get_running_loop()
        loop.call_later(OPENING_S + SETTLING_S, self._sample)
        loop.call_later(self.duration_s - 0.1, self._sample)
        cpu_before_s = self._cpu_s()
        count = self.options.streams
        await asyncio.gather(*(self._stream(i * OPENING_S / count) for i in range(count)))
        return self._figures(self._cpu_s() - cpu_before_s)

    async def _stream(self, opens_after_s: float) -> None:
        await asyncio.sleep(opens_after_s)
        stream = Stream(self.request, self.options.chunks, self.tally)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self.duration_s + MAX_LATE_S):
                await loop.create_connection(lambda: stream, "127.0.0.1", self.options.port)
                await stream.ended
        except (OSError, TimeoutError) as error:
            self.tally.faults.append(f"{type(error).__name__}: {error}")

    def _cpu_s(self) -> float:
        return cpu_s(self.options.pid) if self.options.pid else 0.0

    def _sample(self) -> None:
        self.steady.append((self._cpu_s(), self.tally.chunks))

    def _figures(self, whole_cpu_s: float) -> dict[str, Any]:
        tally = self.tally
        counts = {
            "chunks": tally.chunks,
            "complete": tally.complete,
            "stalls": tally.stalls,
            "faults": tally.faults[:5],
            "fault_count": len(tally.faults),
        }
        if tally.faults:
            return counts
        (cpu_from_s, chunks_from), (cpu_to_s, chunks_to) = self.steady
        steady_us_per_chunk = (cpu_to_s - cpu_from_s) * 1e6 / (chunks_to - chunks_from)
        first_ns, delay_ns = sorted(tally.first_chunk_ns), sorted(tally.delay_ns)
        return counts | {
            "steady_us_per_chunk": steady_us_per_chunk,
            "whole_us_per_chunk": whole_cpu_s * 1e6 / tally.chunks,
            "first_chunk_p50_ms": percentile(first_ns, 0.5) / 1e6,
            "first_chunk_p99_ms": percentile(first_ns, 0.99) / 1e6,
            "delay_p50_ms": percentile(delay_ns, 0.5) / 1e6,
            "delay_p99_ms": percentile(delay_ns, 0.99) / 1e6,
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--streams", type=int, required=True)
    parser.add_argument("--chunks", type=int, required=True)
    parser.add_argument("--chunks-per-s", type=float, required=True)
    parser.add_argument("--pid", type=int, help="the server whose CPU time counts")
    options = parser.parse_args()
    print(json.dumps(uvloop.run(Run(options).measure())))


if __name__ == "__main__":
    main()
