"""An upstream that speaks just enough OpenAI, as cheaply as Python can.

It shares a core with the load generator, so everything that can be built beforehand is.
``max_tokens`` says how many chunks a stream has. Each chunk's content is "<sequence> <time>", the
time being CLOCK_MONOTONIC in nanoseconds, which all processes of a machine share.
Any GET answers how many calls were served.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Callable
from typing import Any, cast

import httptools
import orjson
import uvloop

_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\n%b\r\n\r\n"
_STREAM_HEAD = _HEAD % (b"text/event-stream", b"transfer-encoding: chunked")

_ANSWER = orjson.dumps(
    {
        "id": "chatcmpl-8c1f2b7e0d6a4f5e9a3b",
        "object": "chat.completion",
        "created": 1790000000,
        "model": "bench-model",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "Night. Rain on the window. She turns the phone over, face down. "
                    * 2,
                    "refusal": None,
                },
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 260,
            "completion_tokens": 34,
            "total_tokens": 294,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
        },
        "system_fingerprint": "fp_44709d6fcb",
    }
)
_JSON_REPLY = _HEAD % (b"application/json", b"content-length: %d" % len(_ANSWER)) + _ANSWER

_CHUNK = (
    b'data: {"id":"chatcmpl-8c1f2b7e0d6a4f5e9a3b","object":"chat.completion.chunk",'
    b'"created":1790000000,"model":"bench-model","system_fingerprint":"fp_44709d6fcb",'
    b'"choices":[%b],"usage":%b}\n\n'
)
_CONTENT = _CHUNK % (
    b'{"index":0,"delta":{"content":"%d %d"},"logprobs":null,"finish_reason":null}',
    b"null",
)
_FINISH = _CHUNK % (b'{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}', b"null")
_USAGE = _CHUNK % (
    b"",
    b'{"prompt_tokens":260,"completion_tokens":%d,"total_tokens":294}',
)
_DONE = b"data: [DONE]\n\n"


def framed(event: bytes) -> bytes:
    """One chunk of a chunked HTTP body."""
    return b"%x\r\n%b\r\n" % (len(event), event)


class Connection(asyncio.Protocol):
    """One keep-alive connection; calls on it come one after the other."""

    served = 0

    def __init__(self, loop: asyncio.AbstractEventLoop, interval_s: float) -> None:
        self._loop = loop
        self._interval_s = interval_s
        self._parser = httptools.HttpRequestParser(self)
        self._body = b""
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, error: Exception | None) -> None:
        if self._timer:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        body, self._body = self._body, b""
        if self._parser.get_method() == b"GET":
            served = b"%d" % Connection.served
            head = _HEAD % (b"text/plain", b"content-length: %d" % len(served))
            self._transport.write(head + served)
            return
        Connection.served += 1
        # A search is far cheaper than parsing, and most calls do not mention streams.
        if b'"stream"' in body and (call := orjson.loads(body)).get("stream"):
            self._start_stream(call)
        else:
            self._transport.write(_JSON_REPLY)

    def _start_stream(self, call: dict[str, Any]) -> None:
        chunks = call.get("max_tokens") or call["max_completion_tokens"]
        started_s = self._loop.time()
        self._transport.write(_STREAM_HEAD + framed(_CONTENT % (0, time.monotonic_ns())))

        def send(sequence: int) -> None:
            if sequence == chunks:
                self._timer = None
                endings = (_FINISH, _USAGE % chunks, _DONE, b"")
                self._transport.write(b"".join(map(framed, endings)))
                return
            self._transport.write(framed(_CONTENT % (sequence, time.monotonic_ns())))
            schedule(sequence + 1)

        def schedule(sequence: int) -> None:
            # Absolute times: a late chunk does not make all later ones late.
            due_s = started_s + sequence * self._interval_s
            self._timer = self._loop.call_at(due_s, send, sequence)

        schedule(1)


async def serve(port: int, chunks_per_s: float) -> None:
    loop = asyncio.get_running_loop()
    connection: Callable[[], Connection] = lambda: Connection(loop, 1 / chunks_per_s)  # noqa: E731
    server = await loop.create_server(connection, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--chunks-per-s", type=float, required=True)
    options = parser.parse_args()
    uvloop.run(serve(options.port, options.chunks_per_s))


if __name__ == "__main__":
    main()
