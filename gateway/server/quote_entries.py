"""Reads what is to be quoted: one request or a list, in any of the shapes that clients have.

An entry is an endpoint's body as it is, or a line of an OpenAI batch file, which has the body in
``body`` (source: https://platform.openai.com/docs/api-reference/batch/request-input, read
2026-11-22). Beside either may stand ``count``, ``endpoint`` or ``url``, and words of its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import orjson

from gateway.errors import CallError, Outcome
from gateway.quote import Asked
from gateway.schema import CHUNKINGS, Call, Caller

from .attribution import attributed
from .calls import CHECKS, Arrival
from .paths import Match, without_version

MAX_ENTRIES = 10_000
MAX_COUNT = 100_000
PLACE_WORDS = ("project", "season", "episode", "scene", "shot", "task")
ENVELOPE = frozenset({"custom_id", "method", "url", "endpoint", "count", *PLACE_WORDS})
"""What stands beside a body, or among its fields, and is not part of it."""
USERS = ("user", "safety_identifier")
VIDEO_FIELDS = frozenset(
    {"seconds", "duration", "num_frames", "fps", "motion_bucket_id", "input_reference"}
)
"""What only a request for video has."""
ENDPOINTS: Mapping[str, str] = {
    "chat/completions": "chat",
    "embeddings": "embeddings",
    "images/generations": "images",
    "images/edits": "images",
    "videos": "video",
    "video/generations": "video",
    "audio/speech": "speech",
    "chat": "chat",
    "images": "images",
    "video": "video",
    "speech": "speech",
}
"""What ``url`` and ``endpoint`` may say."""


class Entry(NamedTuple):
    """One entry, taken apart."""

    body: dict[str, Any]
    envelope: Mapping[str, Any]
    where: str

    def wrong(self, field: str, message: str) -> CallError:
        where = f"{self.where}.{field}" if self.where else field
        return CallError(Outcome.INVALID_REQUEST, f"{where} {message}", param=where)


def read_entries(document: Any) -> list[Entry]:
    """Raises CallError that names the entry and its field."""
    if isinstance(document, dict) and "requests" in document:
        if beside := sorted(set(document) - {"requests"}):
            raise _wrong(beside[0], "does not belong beside requests; write it into the entries")
        document = document["requests"]
        if not isinstance(document, list):
            raise _wrong("requests", "must be a list")
    if isinstance(document, dict):
        return [_entry(document, "")]
    if not isinstance(document, list):
        raise _wrong("the body", "must be a request, a list of requests, or {requests: [...]}")
    if not 1 <= len(document) <= MAX_ENTRIES:
        raise _wrong("requests", f"must have 1 to {MAX_ENTRIES} entries, not {len(document)}")
    return [_entry(item, f"requests[{index}]") for index, item in enumerate(document)]


def asked(
    entries: list[Entry],
    caller: Caller,
    task_hint: str | None,
    arrival: Arrival,
    chunking: str = CHUNKINGS[0],
) -> list[Asked]:
    """The entries as calls that nobody has made; ``caller`` and ``task_hint`` are those of
    entries that say nothing themselves, ``chunking`` is for all. Raises CallError."""
    return [_asked(entry, caller, task_hint, arrival, chunking) for entry in entries]


def _entry(item: Any, where: str) -> Entry:
    if not isinstance(item, dict):
        raise _wrong(where, "must be an object")
    envelope = {name: item[name] for name in ENVELOPE if name in item}
    if "body" not in item:
        return Entry({k: v for k, v in item.items() if k not in ENVELOPE}, envelope, where)
    body = item["body"]
    entry = Entry(body, envelope | {"metadata": item.get("metadata")}, where)
    if not isinstance(body, dict):
        raise entry.wrong("body", "must be an object: the body of the request")
    if unknown := sorted(set(item) - ENVELOPE - {"body", "metadata"}):
        raise entry.wrong(unknown[0][:100], "does not belong beside body; write it into the body")
    return entry


def _asked(
    entry: Entry, caller: Caller, task_hint: str | None, arrival: Arrival, chunking: str
) -> Asked:
    endpoint = _endpoint(entry)
    body, envelope = entry.body, entry.envelope
    try:
        if endpoint in CHECKS:
            CHECKS[endpoint](body)
        elif not isinstance(body.get("model"), str) or not body["model"]:
            raise CallError(Outcome.INVALID_REQUEST, "model must be a string", param="model")
        placed = _placed(caller, entry)
    except CallError as error:
        raise entry.wrong(error.param or "body", _without(error.param, error.message)) from None
    task = envelope.get("task")
    if task is not None and not isinstance(task, str):
        raise entry.wrong("task", "must be a string")
    call = Call(
        id=arrival.call_id,
        endpoint=endpoint,
        caller=placed,
        model=body["model"],
        body=body,
        body_bytes=len(orjson.dumps(body)),
        started_at_s=arrival.started_at_s,
        received_s=arrival.received_s,
        task_hint=task or task_hint,
        chunking=chunking,
    )
    return Asked(call, _count(entry), _custom_id(entry), entry.where)


def _placed(caller: Caller, entry: Entry) -> Caller:
    """Words beside a body stand for the headers that its call will have: they go first."""
    metadata: dict[str, Any] = {}
    for words in (entry.body.get("metadata"), entry.envelope.get("metadata"), entry.envelope):
        if words is not None and not isinstance(words, Mapping):
            raise CallError(Outcome.INVALID_REQUEST, "metadata must be an object", param="metadata")
        metadata |= {name: words[name] for name in PLACE_WORDS if words and name in words}
    said: dict[str, Any] = {name: entry.body[name] for name in USERS if name in entry.body}
    return attributed(caller, _NOWHERE, {}, {**said, "metadata": metadata})


_NOWHERE = Match("quotes", ("POST",))


def _endpoint(entry: Entry) -> str:
    """What the entry says, else what its fields say."""
    for field in ("endpoint", "url"):
        said = entry.envelope.get(field)
        if said is None:
            continue
        found = ENDPOINTS.get(_path(str(said)))
        if found is None:
            raise entry.wrong(field, f"is {str(said)[:100]!r}; quoted are {', '.join(ENDPOINTS)}")
        return found
    body = entry.body
    if "messages" in body:
        return "chat"
    if "input" in body:
        return "speech" if "voice" in body else "embeddings"
    if "prompt" in body:
        return "video" if body.keys() & VIDEO_FIELDS else "images"
    raise entry.wrong(
        "endpoint",
        "is needed: neither messages, input nor prompt says what kind of request this is",
    )


def _path(url: str) -> str:
    """Without the version and slashes too many; empty for what is no address."""
    try:
        path = urlsplit(url).path
    except ValueError:
        return ""
    return "/".join(without_version([part for part in path.split("/") if part]))


def _count(entry: Entry) -> int:
    count = entry.envelope.get("count", 1)
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= MAX_COUNT:
        raise entry.wrong("count", f"must be a whole number between 1 and {MAX_COUNT}")
    return count


def _custom_id(entry: Entry) -> str | None:
    custom_id = entry.envelope.get("custom_id")
    if custom_id is not None and (not isinstance(custom_id, str) or len(custom_id) > 512):
        raise entry.wrong("custom_id", "must be a string of at most 512 characters")
    return custom_id


def _without(param: str | None, message: str) -> str:
    """A sentence that begins with its field, without it."""
    return message.removeprefix(param).lstrip() if param else f"is wrong: {message}"


def _wrong(where: str, message: str) -> CallError:
    param = None if where == "the body" else where or None
    return CallError(Outcome.INVALID_REQUEST, f"{where or 'the request'} {message}", param=param)
