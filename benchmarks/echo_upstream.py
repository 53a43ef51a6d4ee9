"""An upstream that gives back the last message, in pieces, within a fixed time for each answer.

As ordered by ``--manner``, it rewrites every other scene, and gets one answer in ten wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import re
from itertools import count

import orjson
from aiohttp import web

PIECES = 10
BYTES_PER_TOKEN = 4
WRONG_EVERY = 10
HEADING = re.compile(r"^(\d+-\d+) .*$", re.MULTILINE)


def is_left_alone(scene: str) -> bool:
    """Of a scene's number, such as ``3-2``: one of every two."""
    return sum(map(int, scene.split("-"))) % 2 == 0


def rewritten(text: str) -> str:
    """Other endings of what is said, in the scenes that are not left alone."""
    pieces, is_alone, at = [], True, 0
    for heading in (*HEADING.finditer(text), None):
        end = heading.start() if heading else len(text)
        piece = text[at:end]
        pieces.append(piece if is_alone else piece.replace("。\n", "……\n").replace("！\n", "。\n"))
        if heading:
            is_alone, at = is_left_alone(heading[1]), end
    return "".join(pieces)


def wrong(text: str, number: int) -> tuple[str, str]:
    """The text as models get it wrong, each way in turn, and the finish reason."""
    last = [heading.start() for heading in HEADING.finditer(text)][-1:]
    ways = (
        (f"```\n{text}\n```", "stop"),
        (text[: last[0]] if last else "", "stop"),
        (f"好的，以下是润色后的剧本：\n\n{text}", "stop"),
        (text[: len(text) * 2 // 3], "length"),
        ("抱歉，我无法协助处理这一内容。", "stop"),
    )
    return ways[number % len(ways)]


def _said(request: web.Request, text: str) -> tuple[str, str]:
    manner, number = request.app[MANNER], next(request.app[NUMBERS])
    if manner == "echo":
        return text, "stop"
    said = rewritten(text)
    is_wrong = manner == "faulty" and number % WRONG_EVERY == 0
    return wrong(said, number // WRONG_EVERY) if is_wrong else (said, "stop")


async def answer(request: web.Request) -> web.StreamResponse:
    call = await request.json(loads=orjson.loads)
    text = str(call["messages"][-1]["content"])
    asked_bytes = sum(len(str(message["content"]).encode()) for message in call["messages"])
    text, finish_reason = _said(request, text)
    answer_s = request.app[ANSWER_S]
    if not call.get("stream"):
        await asyncio.sleep(answer_s)
        return web.json_response(
            _chunk("message", text, finish_reason) | {"usage": _usage(asked_bytes, text)}
        )
    reply = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await reply.prepare(request)
    began_s = asyncio.get_running_loop().time()
    step = -(-len(text) // PIECES)
    for number in range(PIECES):
        due_s = began_s + (number + 1) * answer_s / PIECES
        await asyncio.sleep(due_s - asyncio.get_running_loop().time())
        piece = text[number * step : (number + 1) * step]
        await reply.write(_event(_chunk("delta", piece, None)))
    await reply.write(_event(_chunk("delta", "", finish_reason)))
    await reply.write(
        _event(_chunk("delta", "", None) | {"choices": [], "usage": _usage(asked_bytes, text)})
    )
    await reply.write(b"data: [DONE]\n\n")
    return reply


def _event(chunk: dict[str, object]) -> bytes:
    return b"data: " + orjson.dumps(chunk) + b"\n\n"


def _chunk(field: str, text: str, finish_reason: str | None) -> dict[str, object]:
    said = {"role": "assistant", "content": text}
    choice = {"index": 0, field: said, "finish_reason": finish_reason}
    return {"id": "chatcmpl-echo", "created": 1790000000, "model": "echo", "choices": [choice]}


def _usage(asked_bytes: int, text: str) -> dict[str, int]:
    asked, said = asked_bytes // BYTES_PER_TOKEN, len(text.encode()) // BYTES_PER_TOKEN
    return {"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said}


ANSWER_S = web.AppKey("answer_s", float)
MANNER = web.AppKey("manner", str)
NUMBERS = web.AppKey("numbers", count)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--answer-s", type=float, required=True)
    parser.add_argument("--manner", choices=("echo", "polish", "faulty"), default="echo")
    options = parser.parse_args()
    app = web.Application(client_max_size=1 << 26)
    app[ANSWER_S], app[MANNER] = options.answer_s, options.manner
    app[NUMBERS] = count(1)
    app.router.add_post("/v1/chat/completions", answer)
    web.run_app(app, host="127.0.0.1", port=options.port, print=None)


if __name__ == "__main__":
    main()
