"""What a client got, read from the wire."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson


@dataclass(frozen=True)
class Reply:
    """What a client got, whichever way it asked."""

    status: int
    headers: dict[str, str]
    text: str
    finish_reason: str | None = None
    usage: dict[str, Any] | None = None
    daobo: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    """A refusal's, or the last event's of a stream."""
    ended: bool = True
    """Of a stream: it came to its ``[DONE]``."""

    @property
    def parts(self) -> list[dict[str, Any]]:
        assert self.daobo is not None, "the answer says nothing of parts"
        return list(self.daobo["parts"])

    @property
    def flagged(self) -> list[dict[str, Any]]:
        assert self.daobo is not None, "the answer says nothing of parts"
        return list(self.daobo["flagged"])

    @property
    def results(self) -> list[str]:
        """What became of each part, in order."""
        return [str(part["result"]) for part in self.parts]


def read_answer(raw: bytes, headers: dict[str, str]) -> Reply:
    body = orjson.loads(raw)
    [choice] = body["choices"]
    return Reply(
        200,
        headers,
        choice["message"]["content"],
        choice["finish_reason"],
        body.get("usage"),
        body.get("daobo"),
    )


def read_stream(raw: bytes, headers: dict[str, str]) -> Reply:
    texts: list[str] = []
    facts: dict[str, Any] = {}
    reason = None
    for data in events_in(raw):
        if "error" in data:
            facts["error"] = data["error"]
        for choice in data.get("choices") or ():
            texts.append(choice["delta"].get("content") or "")
            reason = choice.get("finish_reason") or reason
        facts |= {name: data[name] for name in ("usage", "daobo") if data.get(name)}
    ended = raw.endswith(b"data: [DONE]\n\n")
    return Reply(200, headers, "".join(texts), reason, ended=ended, **facts)


def events_in(raw: bytes) -> Iterator[dict[str, Any]]:
    for line in raw.split(b"\n"):
        if line.startswith(b"data: {"):
            yield orjson.loads(line[len(b"data: ") :])
