"""A Gemini API on loopback, as strict as the vendor's own types can make it.

Bodies are validated and answers are built with the types of google-genai, which forbid unknown
fields. The model behind it is simple: offered tools and spoken to by a user it calls the first
tool, with a thought signature; given the tool's result it checks that the signature came back on
the part that bore it, and answers with the result; else it answers with ``text``.
"""

import json
from collections.abc import Iterator
from typing import Any

from aiohttp import web
from google.genai import types
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

KEY = "test-key-not-a-secret"
SIGNATURE = b"\xfb\xef\xbe opaque \x00 state"
SKIP_SIGNATURE = "skip_thought_signature_validator"
REQUESTS: web.AppKey[list[Any]] = web.AppKey("requests", list)
"""Every body that passed, as the vendor's types read it."""


class _Body(BaseModel):
    model_config = ConfigDict(
        extra="forbid", alias_generator=to_camel, populate_by_name=True, val_json_bytes="base64"
    )


class GenerateContentBody(_Body):
    contents: list[types.Content]
    system_instruction: types.Content | None = None
    tools: list[types.Tool] | None = None
    tool_config: types.ToolConfig | None = None
    generation_config: types.GenerationConfig = types.GenerationConfig()
    safety_settings: list[types.SafetySetting] | None = None
    cached_content: str | None = None


class EmbedContentBody(_Body):
    model: str
    content: types.Content
    task_type: str | None = None
    output_dimensionality: int | None = None


class BatchEmbedContentsBody(_Body):
    requests: list[EmbedContentBody]


class Refused(Exception):
    def __init__(self, status: int, word: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.word = word
        self.message = message


def fake_gemini(text: str = "Cut to camera two.", dimensions: int = 8) -> web.Application:
    """``text`` is what the model says, ``dimensions`` the size of its embeddings."""

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            if request.headers.get("x-goog-api-key") != KEY:
                raise Refused(403, "PERMISSION_DENIED", "The caller has no established identity.")
            return await answer(request)
        except ValidationError as error:
            return _error(400, "INVALID_ARGUMENT", f"Invalid JSON payload received. {error}")
        except Refused as refused:
            return _error(refused.status, refused.word, refused.message)

    async def answer(request: web.Request) -> web.StreamResponse:
        method = request.match_info["method"]
        raw = await request.read()
        if method == "batchEmbedContents":
            return _json(_embed(BatchEmbedContentsBody.model_validate_json(raw), dimensions))
        body = GenerateContentBody.model_validate_json(raw)
        request.app[REQUESTS].append(body)
        parts = _think(body) + _reply(body, text)
        if method == "generateContent":
            return _json(_response(body, parts, 0, len(parts)))
        if method == "streamGenerateContent" and request.query.get("alt") == "sse":
            return await _stream(request, body, [half for part in parts for half in _halves(part)])
        raise Refused(404, "NOT_FOUND", f"There is no method {method}.")

    app = web.Application()
    app[REQUESTS] = []
    app.router.add_post("/{version}/models/{model}:{method}", handle)
    return app


def _think(body: GenerateContentBody) -> list[types.Part]:
    thinking = body.generation_config.thinking_config
    if not (thinking and thinking.include_thoughts):
        return []
    return [types.Part(text="What would a director say?", thought=True)]


def _reply(body: GenerateContentBody, text: str) -> list[types.Part]:
    last = body.contents[-1]
    results = [part.function_response for part in last.parts or () if part.function_response]
    if results:
        _check_calls(body.contents[-2], results)
        return [types.Part(text=f"The tools say {json.dumps([r.response for r in results])}.")]
    functions = [f for tool in body.tools or () for f in tool.function_declarations or ()]
    if functions and last.role == "user":
        first, *others = [
            types.Part(
                function_call=types.FunctionCall(id=f"fc-{n}", name=function.name, args={"n": n})
            )
            for n, function in enumerate(functions)
        ]
        first.thought_signature = SIGNATURE
        return [first, *others]
    return [types.Part(text=text), types.Part(text="", thought_signature=SIGNATURE)]


def _check_calls(turn: types.Content, results: list[types.FunctionResponse]) -> None:
    parts = [part for part in turn.parts or () if part.function_call]
    if turn.role != "model" or len(parts) != len(results):
        raise Refused(
            400,
            "INVALID_ARGUMENT",
            "Please ensure that the number of function response parts is equal to the number of "
            "function call parts of the function call turn.",
        )
    skip = types.Part.model_validate_json(json.dumps({"thoughtSignature": SKIP_SIGNATURE}))
    if parts[0].thought_signature not in (SIGNATURE, skip.thought_signature):
        raise Refused(
            400, "INVALID_ARGUMENT", "Function call is missing a thought_signature in its part."
        )
    if any(part.thought_signature for part in parts[1:]):
        raise Refused(400, "INVALID_ARGUMENT", "A thought_signature is on the wrong part.")
    for part, result in zip(parts, results, strict=True):
        call = part.function_call
        if call is None or (call.id, call.name) != (result.id, result.name):
            raise Refused(400, "INVALID_ARGUMENT", "A function response answers no call.")


def _halves(part: types.Part) -> Iterator[types.Part]:
    if not part.text:
        yield part
        return
    middle = len(part.text) // 2
    for text in (part.text[:middle], part.text[middle:]):
        yield types.Part(text=text, thought=part.thought)


def _response(
    body: GenerateContentBody, parts: list[types.Part], start: int, end: int
) -> types.GenerateContentResponse:
    """``parts[start:end]``, finished if they are the last, with the usage so far."""
    candidate = types.Candidate(
        content=types.Content(role="model", parts=parts[start:end]),
        finish_reason=types.FinishReason.STOP if end == len(parts) else None,
        index=0,
    )
    prompt = sum(len(part.text or "") for turn in body.contents for part in turn.parts or ())
    thoughts = sum(len(part.text or "") for part in parts[:end] if part.thought)
    visible = sum(len(part.text or "call") for part in parts[:end] if not part.thought)
    return types.GenerateContentResponse(
        candidates=[candidate],
        model_version="gemini-fake",
        usage_metadata=types.GenerateContentResponseUsageMetadata(
            prompt_token_count=prompt,
            candidates_token_count=visible,
            thoughts_token_count=thoughts or None,
            total_token_count=prompt + visible + thoughts,
        ),
    )


async def _stream(
    request: web.Request, body: GenerateContentBody, parts: list[types.Part]
) -> web.StreamResponse:
    reply = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await reply.prepare(request)
    for position in range(len(parts)):
        answer = _response(body, parts, position, position + 1)
        await reply.write(b"data: " + _dump(answer) + b"\r\n\r\n")
    await reply.write_eof()
    return reply


def _embed(body: BatchEmbedContentsBody, dimensions: int) -> types.EmbedContentResponse:
    embeddings = []
    for request in body.requests:
        text = "".join(part.text or "" for part in request.content.parts or ())
        size = request.output_dimensionality or dimensions
        values = [len(text) / (n + 1) for n in range(size)]
        embeddings.append(types.ContentEmbedding(values=values))
    return types.EmbedContentResponse(embeddings=embeddings)


def _json(answer: BaseModel) -> web.Response:
    return web.Response(body=_dump(answer), content_type="application/json")


def _dump(answer: BaseModel) -> bytes:
    return answer.model_dump_json(by_alias=True, exclude_none=True).encode()


def _error(status: int, word: str, message: str) -> web.Response:
    error = {"code": status, "status": word, "message": message}
    return web.json_response({"error": error}, status=status)
