"""Translation, shown by example: each folder below ``golden/`` is one exchange, both ways.

    golden/<provider type>/<case>/
        case.json               about, model, and optionally stream, max_output_tokens, settings
        request.json            the client's OpenAI body
        upstream_request.json   what the provider makes of it: url, body, dropped, headers
        upstream_response.json  what the upstream answers …
        upstream_stream.sse     … or streams …
        upstream_error.json     … or fails with: status, headers, body
        answer.json             what the client gets: body (not for streams), usage, finish_reason
        answer.sse              the client's stream
        error.json              the row of the table, code and message, if it ends in an error

``DAOBO_UPDATE_GOLDEN=1 pytest tests/plugins/test_golden.py`` rewrites the expected files; read
the difference before believing it.
"""

import json
import os
from pathlib import Path

import orjson
import pytest

from gateway.errors import CallError
from gateway.framing import EventSplitter
from gateway.plugins import discover
from gateway.schema import ChatChunk, ChatRequest, Usage
from gateway.upstream.translation import Translation

GOLDEN = Path(__file__).parent / "golden"
UPDATE = os.environ.get("DAOBO_UPDATE_GOLDEN") == "1"
CASES = sorted(path.parent for path in GOLDEN.glob("*/*/case.json"))
SECRET = "test-key-not-a-secret"


def case_id(folder):
    return f"{folder.parent.name}/{folder.name}"


@pytest.fixture(scope="module")
def registry():
    return discover()


def provider_of(registry, kind, settings):
    settings_class, provider_class = registry.providers[kind]
    return provider_class(
        settings_class.model_validate({"type": kind, "api_key": SECRET, **settings})
    )


def read(folder, name):
    return orjson.loads((folder / name).read_bytes())


def expect(folder, name, value):
    path = folder / name
    if isinstance(value, bytes):
        if UPDATE:
            path.write_bytes(value)
        assert path.read_bytes().decode() == value.decode()
        return
    if UPDATE:
        path.write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n")
    assert read(folder, name) == value


def error_of(error):
    return {"outcome": error.outcome.label, "code": error.code, "message": error.message}


def usage_of(usage):
    return None if usage is None else usage.classes()


def relayed(provider, request, stream):
    """The client's stream, the last usage and the finish reason."""
    translation = Translation(lambda events: provider.parse_stream(request, events))
    splitter = EventSplitter()
    parts, usage, finish_reason = [], None, None
    chunks = translation.feed(splitter.feed(stream))
    chunks += translation.feed(splitter.flush()) + translation.finish()
    translation.raise_error()
    for chunk in chunks:
        if isinstance(chunk, ChatChunk):
            usage = chunk.usage or usage
            finish_reason = chunk.finish_reason or finish_reason
            chunk = chunk.data
        parts.append(chunk)
    return b"".join(parts), usage, finish_reason


@pytest.mark.parametrize("folder", CASES, ids=case_id)
def test_translation(registry, folder):
    case = read(folder, "case.json")
    provider = provider_of(registry, folder.parent.name, case.get("settings", {}))
    request = ChatRequest(
        model=case["model"],
        body=read(folder, "request.json"),
        stream=case.get("stream", False),
        max_output_tokens=case.get("max_output_tokens"),
        call_id="call-0001",
        created_s=1_790_000_000,
    )
    try:
        built = provider.build_request(request)
    except CallError as error:
        expect(folder, "error.json", error_of(error))
        return
    expect(
        folder,
        "upstream_request.json",
        {
            "url": built.url,
            "headers": dict(built.headers),
            "body": orjson.loads(built.body),
            "dropped": list(built.dropped),
        },
    )
    try:
        if (folder / "upstream_response.json").exists():
            answer = provider.parse_response(
                request, (folder / "upstream_response.json").read_bytes()
            )
            assert isinstance(answer.usage, Usage | None)
            expect(
                folder,
                "answer.json",
                {
                    "body": orjson.loads(answer.body),
                    "usage": usage_of(answer.usage),
                    "finish_reason": answer.finish_reason,
                },
            )
        elif (folder / "upstream_stream.sse").exists():
            stream, usage, finish_reason = relayed(
                provider, request, (folder / "upstream_stream.sse").read_bytes()
            )
            expect(folder, "answer.sse", stream)
            expect(
                folder,
                "answer.json",
                {"usage": usage_of(usage), "finish_reason": finish_reason},
            )
        elif (folder / "upstream_error.json").exists():
            failure = read(folder, "upstream_error.json")
            raise provider.parse_error(
                failure["status"], failure.get("headers", {}), orjson.dumps(failure["body"])
            )
    except CallError as error:
        expect(folder, "error.json", error_of(error))
        return
    assert not (folder / "error.json").exists(), "an error was expected"


def test_every_bundled_chat_provider_has_golden_files(registry):
    with_cases = {folder.parent.name for folder in CASES}
    embedded = {
        kind
        for kind, (_, provider_class) in registry.providers.items()
        if hasattr(provider_class, "open_upstream")
    }
    assert set(registry.providers) - embedded <= with_cases
