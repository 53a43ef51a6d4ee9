"""The calls that the load clients make: the same bytes to every server under measurement."""

from __future__ import annotations

import json

_SYSTEM = "You write short dramas: one hook in the first ten seconds, one turn a minute. "
_SCRIPT = (
    "第一场 夜 内 出租屋。林夏把手机扣在桌上，雨声盖过了门铃。\n"
    "INT. RENTED ROOM - NIGHT. Lin Xia puts the phone face down; rain drowns the doorbell.\n"
)


def chat_body(size_bytes: int = 1024, stream_chunks: int = 0) -> bytes:
    """A chat call of about ``size_bytes``, for one answer or for a stream of so many chunks."""
    call = {
        "model": "draft",
        "messages": [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": ""}],
        "temperature": 0.7,
        "max_tokens": stream_chunks or 256,
    }
    if stream_chunks:
        call |= {"stream": True, "stream_options": {"include_usage": True}}
    room = size_bytes - len(_encoded(call))
    script = (_SCRIPT * (room // len(_SCRIPT.encode()) + 1)).replace("\n", " ")
    call["messages"] = [
        {"role": "system", "content": _SYSTEM},
        {"role": "user", "content": script.encode()[:room].decode(errors="ignore")},
    ]
    return _encoded(call)


def _encoded(call: object) -> bytes:
    # The official SDKs send UTF-8, not escapes.
    return json.dumps(call, ensure_ascii=False, separators=(",", ":")).encode()


def http_request(port: int, key: str, body: bytes) -> bytes:
    """The call as the bytes of an HTTP/1.1 request to a server on the loopback address."""
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\n"
        f"Host: 127.0.0.1:{port}\r\n"
        f"Authorization: Bearer {key}\r\n"
        "Content-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n"
        "\r\n"
    )
    return head.encode() + body
