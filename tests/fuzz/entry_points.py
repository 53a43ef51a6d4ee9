"""What is fuzzed: functions of bytes that raise AssertionError, or whatever must not come out.

``CallError`` and ``ConfigError`` are the only errors that parsers may end in.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson

from gateway.chunking.screenplay import parse
from gateway.config_file import load_config
from gateway.errors import CallError, ConfigError
from gateway.folded import FoldingClient
from gateway.folding import chunks_of
from gateway.framing import EventSplitter
from gateway.openai_compatible import OpenAICompatible
from gateway.openai_wire import ABSURD_COUNT, load_object, read_usage
from gateway.plugins import Registry, discover
from gateway.rate_headers import read_allowances, read_retry_after_s
from gateway.schema import TOKEN_CLASSES, ChatChunk, ChatRequest, EmbeddingRequest, Usage
from gateway.server.fields import check_chat, check_embeddings
from gateway.server.strict_json import parse_object
from gateway.thinking_tags import ThinkingSplitter
from gateway.upstream.commitment import filtered_empty, says_something
from gateway.upstream.translation import Translation
from gateway_anthropic.response import usage_of
from gateway_gemini.usage import read_usage_metadata

Check = Callable[[bytes], None]
MAX_BYTES = 1 << 20
REQUEST = ChatRequest("m", {"messages": [], "n": 2}, stream=True, call_id="c", created_s=1)
ACCENTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("openai", {}),
    ("openai-compatible", {"thinking_tags": True}),
    ("openai-compatible", {"thinking_tags": "opened", "cumulative_tool_calls": True}),
    ("minimax", {}),
    ("anthropic", {}),
    ("gemini", {}),
)
HEADER_NAMES = (
    "retry-after", "retry-after-ms", "date", "x-ratelimit-limit-requests",
    "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests", "x-ratelimit-limit-tokens",
    "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens",
)  # fmt: skip


@functools.cache
def registry() -> Registry:
    return discover()


@functools.cache
def provider(number: int) -> Any:
    kind, flags = ACCENTS[number % len(ACCENTS)]
    settings_class, provider_class = registry().providers[kind]
    base = {"type": kind, "base_url": "http://127.0.0.1:1"}
    return provider_class(settings_class.model_validate({**base, **flags}))


def events(data: bytes) -> None:
    """Framing: bytes in are bytes out, and the cuts between reads change nothing."""
    whole = EventSplitter()
    found = whole.feed(data)
    came = b"".join(event.raw for event in found)
    assert data.startswith(came)
    last = whole.flush()
    rest = data[len(came) :]
    assert b"".join(event.raw for event in last).strip() == rest.strip()
    singly = EventSplitter()
    one_by_one = [e for n in range(len(data)) for e in singly.feed(data[n : n + 1])]
    assert one_by_one + singly.flush() == found + last


def stream(data: bytes) -> None:
    """Translation: the first byte chooses the provider, the rest is its upstream's stream."""
    translator, data = provider(data[0]) if data else provider(0), data[1:]
    whole = _translated(translator, [data])
    assert whole == _translated(translator, [data[n : n + 7] for n in range(0, len(data), 7)])
    chunks, _ = whole
    folding = FoldingClient(MAX_BYTES)
    for chunk in chunks:
        out = chunk.data if isinstance(chunk, ChatChunk) else chunk
        assert out.endswith((b"\n\n", b"\r\n\r\n", b"\r\r", b"\n\r\n", b"\r\n\n"))
        if isinstance(chunk, ChatChunk):
            _check_usage(chunk.usage)
    try:
        for chunk in chunks:
            says_something(chunk)
            folding.write(chunk.data if isinstance(chunk, ChatChunk) else chunk)
        load_object(folding.answer())
    except CallError:
        return


def _translated(translator: Any, pieces: list[bytes]) -> tuple[list[bytes | ChatChunk], str]:
    """The chunks of a stream, and how it ended."""
    splitter = EventSplitter()
    translation = Translation(lambda found: translator.parse_stream(REQUEST, found))
    chunks: list[bytes | ChatChunk] = []
    try:
        for piece in pieces:
            chunks += translation.feed(splitter.feed(piece))
            translation.raise_error()
        chunks += translation.feed(splitter.flush())
        chunks += translation.finish()
        translation.raise_error()
    except CallError as error:
        return chunks, f"{error.outcome.label}: {error.message}"
    return chunks, "ok"


def answer(data: bytes) -> None:
    """A whole answer, read, looked at and cut into chunks."""
    translator, data = provider(data[0]) if data else provider(0), data[1:]
    try:
        read = translator.parse_response(REQUEST, data)
        _check_usage(read.usage)
        filtered_empty(read)
        for event in chunks_of(load_object(read.body), include_usage=True):
            assert event.endswith(b"\n\n")
    except CallError:
        return


def embeddings(data: bytes) -> None:
    translator = provider(data[0] % 2 * 5) if data else provider(0)
    request = EmbeddingRequest("m", {"input": "x", "encoding_format": "base64"})
    try:
        _check_usage(translator.parse_embedding(request, data[1:]).usage)
    except CallError:
        return


def error(data: bytes) -> None:
    """An error answer of any status always has a row of the table."""
    status = 400 + data[0] % 200 if data else 500
    translator = provider(data[1]) if len(data) > 1 else provider(0)
    failure = translator.parse_error(status, _headers(data), data[2:])
    assert isinstance(failure, CallError)
    orjson.dumps(failure.to_openai())


def usage(data: bytes) -> None:
    """Usage of any shape: classes that do not overlap, never negative, never absurd."""
    try:
        told = orjson.loads(data)
    except orjson.JSONDecodeError:
        return
    for read in (read_usage, usage_of, read_usage_metadata):
        try:
            _check_usage(read(told))
        except (KeyError, TypeError, AttributeError):
            # How the translations find out that a field is missing; both turn it into CallError.
            assert read is not read_usage
    found = read_usage(told)
    if found is not None:
        total = max(_count(told, "total_tokens"), 0)
        spoken = _count(told, "prompt_tokens") + _count(told, "completion_tokens")
        assert found.total_input_tokens == _count(told, "prompt_tokens")
        assert found.total_input_tokens + found.total_output_tokens == max(total, spoken)


def _count(told: dict[str, Any], name: str) -> int:
    value = told.get(name)
    return min(value, ABSURD_COUNT) if type(value) is int and value > 0 else 0


def _check_usage(found: Usage | None) -> None:
    if found is None:
        return
    counts = [getattr(found, name) for name in TOKEN_CLASSES]
    assert all(type(count) is int and 0 <= count <= 4 * ABSURD_COUNT for count in counts)
    assert sum(counts) == found.total_input_tokens + found.total_output_tokens


def headers(data: bytes) -> None:
    """What an answer's head says of limits."""
    said = _headers(data)
    wait_s = read_retry_after_s(said)
    assert wait_s is None or 0 <= wait_s < float("inf")
    for allowance in read_allowances(said) or ():
        assert allowance is None or (allowance.remaining >= 0 <= allowance.reset_s < float("inf"))


def _headers(data: bytes) -> dict[str, str]:
    values = data.decode("latin-1").split("\n")
    return dict(zip(HEADER_NAMES, values, strict=False))


def body(data: bytes) -> None:
    """A client's body: what is taken can be written again, and means the same."""
    for check in (check_chat, check_embeddings):
        try:
            parsed, size = parse_object(data)
            again = orjson.dumps(parsed)
            assert orjson.loads(again) == parsed
            assert len(again) == size
            check(parsed)
            OpenAICompatible.build_request(provider(0), REQUEST._replace(body=parsed))
        except CallError as failure:
            orjson.dumps(failure.to_openai())


def thinking(data: bytes) -> None:
    """Tags in the text of an answer, cut in two ways."""
    text = data.decode("utf-8", "replace")
    for opened in (False, True):
        assert _split(text, opened, 1) == _split(text, opened, len(text) or 1)


def _split(text: str, opened: bool, size: int) -> tuple[str, str]:
    splitter = ThinkingSplitter(opened)
    parts = [splitter.feed(text[n : n + size]) for n in range(0, len(text), size)]
    parts.append(splitter.flush())
    return "".join(part[0] for part in parts), "".join(part[1] for part in parts)


def script(data: bytes) -> None:
    """A script: its spans join to it, also when it is read by its own conventions."""
    text = data.decode("utf-8", "replace")
    first = parse(text)
    for read in (first, parse(text, first.conventions)):
        assert "".join(text[span.start : span.end] for span in read.spans) == text
        assert "".join(text[section.start : section.end] for section in read.sections) == text
    assert [s.name for s in read.sections if s.name] == [s.name for s in first.sections if s.name]


def config(data: bytes, folder: Path = Path("/dev/shm")) -> None:
    """A configuration: taken, or refused with sentences."""
    path = folder / "daobo-fuzz.yaml"
    path.write_bytes(data)
    settings_of = {kind: entry[0] for kind, entry in registry().providers.items()}
    try:
        load_config(path, settings_of, frozenset({"priority"}), {"HOME": "/"})
    except ConfigError:
        return


ENTRY_POINTS: dict[str, Check] = {
    check.__name__: check
    for check in (
        events, stream, answer, embeddings, error, usage, headers, body, thinking, script, config
    )
}  # fmt: skip

TESTS = Path(__file__).parents[1]
FINDS = Path(__file__).parent / "finds"


def seeds(name: str) -> Iterator[bytes]:
    """Inputs to begin with: golden exchanges, and what was found before."""
    if (FINDS / name).is_dir():
        yield from (path.read_bytes() for path in sorted((FINDS / name).iterdir()))
    golden = TESTS / "plugins" / "golden"
    for number, (kind, _) in enumerate(ACCENTS):
        first = bytes([number])
        for path in sorted((golden / kind).glob("*/upstream_*")):
            raw = path.read_bytes()
            if name == "events" and path.suffix == ".sse":
                yield raw
            elif (name, path.stem) in (
                ("stream", "upstream_stream"),
                ("answer", "upstream_response"),
            ):
                yield first + raw
            elif (name, path.stem) == ("error", "upstream_error"):
                yield b"\x00" + first + orjson.dumps(orjson.loads(raw)["body"])
    yield from (text.encode() for text in _SEEDS.get(name, ()))
    if name == "config":
        yield (TESTS.parent / "config" / "gateway.yaml").read_bytes()


_SEEDS = {
    "events": (
        "data: a\r\rdata: b\r\r\ndata: c\r\n\r\n",
        ": ping\n\nevent: e\ndata: 1\ndata: 2\n\r\ndata",
        "\ufeffdata:x\r\n\n\n\r\r\r",
    ),
    "stream": (
        '\x00data: {"choices":[7]}\n\n',
        '\x00data: {"choices":[{"delta":7,"finish_reason":"stop"}]}\n\n',
        '\x00data: {"choices":[{"delta":{"tool_calls":[{"function":[1]}]}}]}\n\n',
        '\x02data: {"choices":[{"delta":{"tool_calls":[{"function":{"arguments":{}}}]}}]}\n\n',
        '\x01data: {"code":7,"msg":{}}\n\n',
        "\x00error: []\n\n",
    ),
    "embeddings": ('\x00{"data":[{"embedding":[0.1,2]}],"usage":{"prompt_tokens":2}}',),
    "usage": (
        '{"prompt_tokens":9,"completion_tokens":4,"total_tokens":13,'
        '"prompt_tokens_details":{"cached_tokens":3,"audio_tokens":2},'
        '"completion_tokens_details":{"reasoning_tokens":2}}',
        '{"input_tokens":3,"output_tokens":4,"cache_creation":{"ephemeral_1h_input_tokens":1}}',
        '{"promptTokenCount":3,"candidatesTokenCount":4,"thoughtsTokenCount":1}',
    ),
    "headers": (
        "3\n100\nMon, 23 Nov 2026 08:00:00 GMT\n60\n59\n1s\n1000\n999\n6m0s",
        "Mon, 23 Nov 2026 08:00:09 GMT\n\nMon, 23 Nov 2026 08:00:00 GMT\n1\n0\n"
        "2026-11-23T08:01:00Z",
    ),
    "body": (
        '{"model":"m","messages":[{"role":"user","content":"x"}],"stream":true,"n":2}',
        '{"a":1,"a":2}',
        '{"a":' + "[" * 300 + "]" * 300 + "}",
        '{"model":"m","input":["x"]}',
    ),
    "thinking": ("<think>\na\n</think>\n\nb <think>", "a</think>b", " <thi"),
    "script": (
        "目录\n第1集\n第2集\n第3集\n\n第1集\n1-1\n场景：天台\n△他走。\n第2集\r\n第3集逃出生天",
        "Title: x\n\nINT. LIFT - DAY #1A#\n\nMARA\n(quietly)\nNo.\n\n/*\n.ROOF\n*/\n\n# A\n\n.UP",
        "1、客厅\n△\n2、街\n△\n3、车\n林晚：\n走。\n【闪回】\n[[a\n第3集\n]]\n## S01 | 内景 | 夜\r",
    ),
    "config": ("providers: {openai: {api_key: ${X}}}\n", "a: &a [*a]\n", "? [a]\n: b\n", "- \t"),
}
