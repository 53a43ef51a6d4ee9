"""``curl`` as a client: what is on the wire, with nothing in between that could be kind to it."""

import base64
import json
import struct
import subprocess
from dataclasses import dataclass
from typing import Any

from .drivers import Client, Report
from .gateway_process import quiet_environment

TIMEOUT_S = 60


@dataclass(frozen=True)
class Reply:
    """An HTTP answer. ``cut`` if the connection ended before the body was complete."""

    status: int
    headers: dict[str, str]
    body: bytes
    cut: bool = False

    def json(self) -> Any:
        return json.loads(self.body)


def curl(url: str, key: str | None, body: Any = None, *arguments: str) -> Reply:
    """One request; a ``body`` that is not bytes is sent as JSON."""
    command = ["curl", "-sS", "-N", "-i", "--max-time", str(TIMEOUT_S), *arguments]
    if key is not None:
        command += ["-H", f"Authorization: Bearer {key}"]
    data = b""
    if body is not None:
        data = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
        command += ["-H", "Content-Type: application/json", "--data-binary", "@-"]
    done = subprocess.run(
        [*command, url], input=data, capture_output=True, env=quiet_environment(), check=False
    )
    assert done.stdout, f"curl said {done.stderr.decode()!r}"
    head, _, rest = done.stdout.partition(b"\r\n\r\n")
    if head.startswith(b"HTTP/1.1 100"):  # to the question whether a large body may be sent
        head, _, rest = rest.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    fields = (line.partition(":") for line in lines)
    headers = {name.lower(): value.strip() for name, _, value in fields}
    return Reply(int(status.split()[1]), headers, rest, cut=done.returncode != 0)


def connections_made(*urls: str, key: str, body: Any) -> list[int]:
    """Post ``body`` to one URL after the other: how many connections each of them needed."""
    command = ["curl", "-sS", "-w", "%{num_connects} ", "-H", f"Authorization: Bearer {key}"]
    command += ["-H", "Content-Type: application/json", "-d", json.dumps(body)]
    command += [word for _ in urls for word in ("-o", "/dev/null")]
    done = subprocess.run(
        [*command, *urls], capture_output=True, env=quiet_environment(), check=True
    )
    return [int(word) for word in done.stdout.split()]


def events_of(body: bytes) -> list[bytes]:
    """The data of each server-sent event. Every event must end with a blank line."""
    assert body.endswith(b"\n\n"), "the last event has no blank line after it"
    events = []
    for block in body[:-2].split(b"\n\n"):
        lines = [line for line in block.split(b"\n") if not line.startswith(b":")]
        assert all(line.startswith(b"data: ") for line in lines), block
        if lines:
            events.append(b"\n".join(line.removeprefix(b"data: ") for line in lines))
    return events


class Curl(Client):
    """Does in shell terms what the SDKs do."""

    def perform(self, request: Report) -> Report:
        operation, options = request["operation"], request["options"]
        post, get = POSTS.get(operation), GETS.get(operation)
        base = options["root"] + options["path"]
        parameters = dict(request["parameters"])
        parameters |= parameters.pop("extra_body", {})
        results = parameters.pop("results", None)
        headers = [text for pair in options["headers"].items() for text in ("-H", ": ".join(pair))]

        def send(body: Any = None) -> Reply:
            path = get.format(**parameters) if get else post
            return curl(base + str(path), options["api_key"], body, *headers)

        if get:
            return _report(operation, send())
        if operation in ("stream", "streamed_tool_loop"):
            parameters["stream"] = True
        first = _report(operation, send(parameters))
        if results is None or "error" in first:
            return first
        return _report(
            operation, send({**parameters, "messages": _turns(parameters, first, results)})
        )

    def close(self) -> None:
        pass  # it holds nothing between two requests


POSTS = {
    "chat": "/chat/completions",
    "stream": "/chat/completions",
    "tool_loop": "/chat/completions",
    "streamed_tool_loop": "/chat/completions",
    "embed": "/embeddings",
}
GETS = {"models": "/models", "model": "/models/{id}"}


def _turns(parameters: Report, first: Report, results: dict[str, str]) -> list[Report]:
    calls = [
        {
            "id": call["id"],
            "type": "function",
            "function": {"name": call["name"], "arguments": call["arguments"]},
        }
        for call in first["calls"]
    ]
    told = [
        {"role": "tool", "tool_call_id": call["id"], "content": results[call["name"]]}
        for call in first["calls"]
    ]
    said = {"role": "assistant", "content": first["text"] or None, "tool_calls": calls}
    return [*parameters["messages"], said, *told]


def _report(operation: str, reply: Reply) -> Report:
    if reply.status != 200:
        error = reply.json()["error"]
        told = {"error": f"HTTP {reply.status}", "status_code": reply.status, **error}
        return {**told, "request_id": reply.headers.get("x-request-id")}
    common = {"request_id": reply.headers.get("x-request-id"), "headers": reply.headers}
    if operation in ("stream", "streamed_tool_loop"):
        assert reply.headers["content-type"].startswith("text/event-stream")
        *events, last = events_of(reply.body)
        assert last == b"[DONE]"
        return {**_folded([json.loads(event) for event in events]), **common}
    answer = reply.json()
    if operation == "embed":
        vectors = [_floats(item["embedding"]) for item in answer["data"]]
        return {"vectors": vectors, "usage": answer["usage"], "model": answer["model"], **common}
    if operation == "models":
        return {"models": answer["data"]}
    if operation == "model":
        return {"model": answer}
    return {**_completed(answer), **common}


def _completed(answer: Report) -> Report:
    choice = answer["choices"][0]
    message = choice["message"]
    return {
        "text": message["content"],
        "reasoning": message.get("reasoning_content"),
        "calls": [
            {"id": call["id"], **call["function"]} for call in message.get("tool_calls") or ()
        ],
        "finish_reason": choice["finish_reason"],
        "usage": answer["usage"],
        "model": answer["model"],
    }


def _folded(chunks: list[Report]) -> Report:
    report: Report = {"text": "", "reasoning": "", "calls": [], "usage": None, "chunks": chunks}
    for chunk in chunks:
        report["usage"] = chunk.get("usage")
        for choice in chunk["choices"]:
            report["finish_reason"] = choice["finish_reason"]
            report["text"] += choice["delta"].get("content") or ""
            report["reasoning"] += choice["delta"].get("reasoning_content") or ""
            for fragment in choice["delta"].get("tool_calls", ()):
                if "id" in fragment:
                    name = fragment["function"]["name"]
                    report["calls"].append({"id": fragment["id"], "name": name, "arguments": ""})
                call = report["calls"][fragment["index"]]
                call["arguments"] += fragment["function"]["arguments"]
    return report


def _floats(embedding: list[float] | str) -> list[float]:
    if isinstance(embedding, list):
        return embedding
    packed = base64.b64decode(embedding)
    return list(struct.unpack(f"<{len(packed) // 4}f", packed))
