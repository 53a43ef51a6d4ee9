"""An upstream that gives back the last message, in pieces, within a fixed time for each answer."""

from __future__ import annotations

import argparse
import asyncio

import orjson
from aiohttp import web

PIECES = 10


async def answer(request: web.Request) -> web.StreamResponse:
    call = await request.json(loads=orjson.loads)
    text = str(call["messages"][-1]["content"])
    answer_s = request.app[ANSWER_S]
    if not call.get("stream"):
        await asyncio.sleep(answer_s)
        return web.json_response(_chunk("message", text, "stop") | {"usage": _usage(text)})
    reply = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await reply.prepare(request)
    began_s = asyncio.get_running_loop().time()
    step = -(-len(text) // PIECES)
    for number in range(PIECES):
        due_s = began_s + (number + 1) * answer_s / PIECES
        await asyncio.sleep(due_s - asyncio.get_running_loop().time())
        piece = text[number * step : (number + 1) * step]
        await reply.write(_event(_chunk("delta", piece, None)))
    await reply.write(_event(_chunk("delta", "", "stop")))
    await reply.write(_event(_chunk("delta", "", None) | {"choices": [], "usage": _usage(text)}))
    await reply.write(b"data: [DONE]\n\n")
    return reply


def _event(chunk: dict[str, object]) -> bytes:
    return b"data: " + orjson.dumps(chunk) + b"\n\n"


def _chunk(field: str, text: str, finish_reason: str | None) -> dict[str, object]:
    said = {"role": "assistant", "content": text}
    choice = {"index": 0, field: said, "finish_reason": finish_reason}
    return {"id": "chatcmpl-echo", "created": 1790000000, "model": "echo", "choices": [choice]}


def _usage(text: str) -> dict[str, int]:
    return {
        "prompt_tokens": len(text),
        "completion_tokens": len(text),
        "total_tokens": 2 * len(text),
    }


ANSWER_S = web.AppKey("answer_s", float)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--answer-s", type=float, required=True)
    options = parser.parse_args()
    app = web.Application(client_max_size=1 << 26)
    app[ANSWER_S] = options.answer_s
    app.router.add_post("/v1/chat/completions", answer)
    web.run_app(app, host="127.0.0.1", port=options.port, print=None)


if __name__ == "__main__":
    main()
