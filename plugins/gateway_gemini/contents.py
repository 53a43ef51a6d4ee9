"""The conversation: OpenAI messages to Gemini's ``systemInstruction`` and ``contents``.

https://ai.google.dev/api/caching#Content and
https://ai.google.dev/gemini-api/docs/thought-signatures (read 2026-11-22).
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

import orjson

from gateway import CallError, Outcome

Part = dict[str, Any]

SKIP_SIGNATURE = "skip_thought_signature_validator"
"""Google's documented stand-in for a thought signature that was lost or never was."""

_MIME_TYPES = {
    ".aac": "audio/aac",
    ".avi": "video/avi",
    ".csv": "text/csv",
    ".flac": "audio/flac",
    ".gif": "image/gif",
    ".heic": "image/heic",
    ".heif": "image/heif",
    ".html": "text/html",
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".md": "text/markdown",
    ".mov": "video/quicktime",
    ".mp3": "audio/mp3",
    ".mp4": "video/mp4",
    ".mpeg": "video/mpeg",
    ".ogg": "audio/ogg",
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".txt": "text/plain",
    ".wav": "audio/wav",
    ".webm": "video/webm",
    ".webp": "image/webp",
}


def write_contents(
    messages: Iterable[Mapping[str, Any]], skip_lost_signatures: bool, dropped: list[str]
) -> tuple[list[Part], list[dict[str, Any]]]:
    """The parts of the system instruction, and the turns.

    Neighbours of the same role become one turn; tool results stay apart from what the user says
    next. A prompt of nothing but instructions is sent as the user's, since a call needs a turn.
    """
    system: list[Part] = []
    turns: list[tuple[str, list[Part]]] = []
    names: dict[str, str] = {}
    for message in messages:
        role = message.get("role")
        if role == "assistant":
            parts = _model_parts(message, skip_lost_signatures, names)
        elif role == "tool":
            parts = [_function_response(message, names)]
        elif role in ("user", "system", "developer"):
            parts = _parts(message.get("content"), dropped)
        else:
            raise CallError(Outcome.UNSUPPORTED, f"Gemini knows no role {role!r}", param="messages")
        if message.get("name") and role != "tool":
            dropped.append("messages.name")
        if role in ("system", "developer"):
            system += parts
        elif turns and turns[-1][0] == role:
            turns[-1][1].extend(parts)
        elif parts:
            turns.append((str(role), parts))
    if not turns and system:
        turns, system = [("user", system)], []
    return system, [
        {"role": "model" if role == "assistant" else "user", "parts": parts}
        for role, parts in turns
    ]


def _model_parts(
    message: Mapping[str, Any], skip_lost_signatures: bool, names: dict[str, str]
) -> list[Part]:
    parts = _signed_text(message)
    calls = message.get("tool_calls") or []
    for position, call in enumerate(calls):
        function = call["function"]
        names[call["id"]] = function["name"]
        part: Part = {
            "functionCall": {
                "id": call["id"],
                "name": function["name"],
                "args": _arguments(function.get("arguments")),
            }
        }
        signature = _google_extra(call).get("thought_signature")
        # Of parallel calls Gemini signs, and checks, the first only.
        if signature is None and position == 0 and skip_lost_signatures:
            signature = SKIP_SIGNATURE
        if signature is not None:
            part["thoughtSignature"] = signature
        parts.append(part)
    return parts


def _signed_text(message: Mapping[str, Any]) -> list[Part]:
    """The text, cut where it came in parts of which only one bears the signature."""
    text = _text(message.get("content"))
    extra = _google_extra(message)
    signature = extra.get("thought_signature")
    if signature is None:
        return [{"text": text}] if text else []
    start, end = extra.get("signed_text") or (0, len(text))
    if not 0 <= start <= end <= len(text):
        start, end = 0, len(text)
    parts: list[Part] = [{"text": text[:start]}] if start else []
    parts.append({"text": text[start:end], "thoughtSignature": signature})
    return parts + ([{"text": text[end:]}] if text[end:] else [])


def _google_extra(carrier: Mapping[str, Any]) -> Mapping[str, Any]:
    return (carrier.get("extra_content") or {}).get("google") or {}


def _arguments(arguments: Any) -> dict[str, Any]:
    try:
        value = orjson.loads(arguments or "{}")
    except (orjson.JSONDecodeError, TypeError):
        value = None
    if not isinstance(value, dict):
        raise CallError(
            Outcome.INVALID_REQUEST,
            "the arguments of a tool call in the conversation are no JSON object",
            param="messages",
        )
    return value


def _function_response(message: Mapping[str, Any], names: Mapping[str, str]) -> Part:
    """A JSON object is the response as it is; anything else goes under ``output``."""
    call_id = str(message.get("tool_call_id"))
    if call_id not in names:
        raise CallError(
            Outcome.INVALID_REQUEST,
            f"a tool message answers {call_id!r}, which no earlier assistant message called",
            param="messages",
        )
    text = _text(message.get("content"))
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        value = None
    response = value if isinstance(value, dict) else {"output": text}
    return {"functionResponse": {"id": call_id, "name": names[call_id], "response": response}}


def _text(content: Any) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    return "".join(part.get("text") or part.get("refusal") or "" for part in content)


def _parts(content: Any, dropped: list[str]) -> list[Part]:
    if content is None or isinstance(content, str):
        return [{"text": content or ""}]
    return [_part(part, dropped) for part in content]


def _part(part: Mapping[str, Any], dropped: list[str]) -> Part:
    match part:
        case {"type": "text", "text": text}:
            return {"text": text}
        case {"type": "image_url", "image_url": {"url": url, **rest}}:
            if rest.get("detail") not in (None, "auto"):
                dropped.append("messages.content.image_url.detail")
            return _media(url, "image/jpeg")
        case {"type": "video_url", "video_url": {"url": url}}:
            return _media(url, "video/mp4")
        case {"type": "input_audio", "input_audio": {"data": data, "format": suffix}}:
            mime_type = _MIME_TYPES.get(f".{suffix}", f"audio/{suffix}")
            return {"inlineData": {"mimeType": mime_type, "data": data}}
        case {"type": "file", "file": {"file_data": data, **rest}}:
            mime_type = _mime_type(str(rest.get("filename") or ""), "application/pdf")
            return _media(data if data.startswith("data:") else f"data:;base64,{data}", mime_type)
        case {"type": "file", "file": {"file_id": uri}} if "://" in uri:
            return _media(uri, "")
    raise CallError(
        Outcome.UNSUPPORTED,
        f"Gemini cannot be sent a content part of type {part.get('type')!r} in this form",
        param="messages",
    )


def _media(url: str, default_mime_type: str) -> Part:
    """A data URL's bytes, or the address of something that Google is to fetch."""
    if not url.startswith("data:"):
        mime_type = _mime_type(urlsplit(url).path, default_mime_type)
        # Google knows the type of what was uploaded to it, and a wrong guess would be an error.
        known = {"mimeType": mime_type} if mime_type else {}
        return {"fileData": {**known, "fileUri": url}}
    head, _, data = url.removeprefix("data:").partition(",")
    mime_type, *parameters = head.split(";")
    if "base64" not in parameters:
        data = b64encode(unquote_to_bytes(data)).decode()
    return {"inlineData": {"mimeType": mime_type or default_mime_type, "data": data}}


def _mime_type(path: str, default: str) -> str:
    return _MIME_TYPES.get(PurePosixPath(path).suffix.lower(), default)
