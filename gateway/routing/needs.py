"""What a request needs of a target, read off its body."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.schema import Capability

_PART_NEEDS = {
    "image_url": Capability.VISION,
    "input_image": Capability.VISION,
    "input_audio": Capability.AUDIO_INPUT,
}
_FORMAT_NEEDS = {
    "json_object": Capability.JSON_OBJECT,
    "json_schema": Capability.JSON_SCHEMA,
}


def chat_needs(body: Mapping[str, Any]) -> set[str]:
    """The capabilities without which a target cannot answer this chat completion."""
    needs: set[str] = {Capability.CHAT}
    if body.get("tools") or body.get("functions"):
        needs.add(Capability.TOOLS)
    response_format = body.get("response_format")
    if isinstance(response_format, dict):
        need = _FORMAT_NEEDS.get(str(response_format.get("type")))
        if need:
            needs.add(need)
    for message in body["messages"]:
        content = message.get("content")
        if isinstance(content, list):
            for part in content:
                if (need := _PART_NEEDS.get(part.get("type"))) is not None:
                    needs.add(need)
    return needs
