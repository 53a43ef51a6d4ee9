"""The parts of OpenAI messages to Anthropic's content blocks."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping

from gateway import CallError, Outcome

from .fields import Object, lost, object_of, objects, text_of

Dropped = set[str]
ReadPart = Callable[[Object, str, Dropped], Object | None]


def read_content(
    message: Object, where: str, dropped: Dropped, readers: Mapping[str, ReadPart]
) -> list[Object]:
    content = message.get("content")
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    blocks = []
    for number, part in enumerate(objects(content, f"{where}.content")):
        kind = part.get("type")
        at = f"{where}.content[{number}]"
        if not isinstance(kind, str) or kind not in readers:
            raise CallError(
                Outcome.UNSUPPORTED,
                f"Anthropic takes no {kind!r} parts in messages of this role",
                param=at,
            )
        dropped.update(
            f"messages.content.{name}" for name in lost(part, {"type", kind, "cache_control"})
        )
        block = readers[kind](part, at, dropped)
        mark = part.get("cache_control")
        if block is not None:
            blocks.append({**block, "cache_control": mark} if mark else block)
    return blocks


def _text(part: Object, where: str, dropped: Dropped) -> Object | None:
    text = text_of(part.get(part["type"]), where)
    # The API refuses blank text, and models leave some in front of their tool calls.
    return {"type": "text", "text": text} if text.strip() else None


def _image(part: Object, where: str, dropped: Dropped) -> Object:
    image = part.get("image_url")
    image = {"url": image} if isinstance(image, str) else object_of(image, f"{where}.image_url")
    if image.get("detail") not in (None, "auto"):
        dropped.add("messages.content.image_url.detail")
    url = text_of(image.get("url"), f"{where}.image_url.url")
    if url.startswith(("https://", "http://")):
        return {"type": "image", "source": {"type": "url", "url": url}}
    media_type, data = _data_url(url, f"{where}.image_url.url")
    source = {"type": "base64", "media_type": media_type, "data": data}
    return {"type": "image", "source": source}


def _document(part: Object, where: str, dropped: Dropped) -> Object:
    file = object_of(part.get("file"), f"{where}.file")
    if not file.get("file_data"):
        raise CallError(
            Outcome.UNSUPPORTED,
            "a file id means nothing to Anthropic; send the file itself as file_data",
            param=f"{where}.file",
        )
    at = f"{where}.file.file_data"
    media_type, data = _data_url(text_of(file["file_data"], at), at)
    if media_type == "application/pdf":
        source = {"type": "base64", "media_type": media_type, "data": data}
    elif media_type == "text/plain":
        source = {"type": "text", "media_type": media_type, "data": _plain(data, at)}
    else:
        raise CallError(
            Outcome.UNSUPPORTED, f"Anthropic reads PDF and plain text, not {media_type}", param=at
        )
    title = {"title": file["filename"]} if file.get("filename") else {}
    return {"type": "document", "source": source, **title}


def _data_url(url: str, where: str) -> tuple[str, str]:
    """Media type and base64 data."""
    head, _, data = url.partition(",")
    if not (head.startswith("data:") and head.endswith(";base64") and data):
        raise CallError(
            Outcome.INVALID_REQUEST, "neither an http(s) URL nor a base64 data URL", param=where
        )
    return head[len("data:") :].split(";")[0].lower(), data


def _plain(data: str, where: str) -> str:
    try:
        return base64.b64decode(data, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise CallError(
            Outcome.INVALID_REQUEST, "not the base64 of UTF-8 text", param=where
        ) from None


WORDS: Mapping[str, ReadPart] = {"text": _text, "refusal": _text}
ANYTHING: Mapping[str, ReadPart] = {"text": _text, "image_url": _image, "file": _document}
