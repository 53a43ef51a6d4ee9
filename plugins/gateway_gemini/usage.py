"""``usageMetadata`` as disjoint token classes.

https://ai.google.dev/api/generate-content#UsageMetadata (read 2026-11-22, against
google-genai 3.4): ``totalTokenCount`` is the prompt, what server-side tools fed back, the
candidates and the thoughts. The prompt includes what was read from the cache, and the lists of
details split prompt, cache, tools and candidates by modality, each on its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from gateway import Usage, read_count


def read_usage_metadata(usage: Any) -> Usage | None:
    """None if there is none. Video and documents count as text, as Google bills them."""
    if not isinstance(usage, dict):
        return None
    prompt = _count(usage, "promptTokenCount")
    cached = min(_count(usage, "cachedContentTokenCount"), prompt)
    fresh = prompt - cached + _count(usage, "toolUsePromptTokenCount")
    given = _by_modality(usage, "promptTokensDetails")
    given.subtract(_by_modality(usage, "cacheTokensDetails"))
    given.update(_by_modality(usage, "toolUsePromptTokensDetails"))
    image, audio = _split(fresh, given)
    candidates = _count(usage, "candidatesTokenCount")
    image_out, audio_out = _split(candidates, _by_modality(usage, "candidatesTokensDetails"))
    return Usage(
        input_tokens=fresh - image - audio,
        cache_read_tokens=cached,
        image_input_tokens=image,
        audio_input_tokens=audio,
        output_tokens=candidates - image_out - audio_out,
        reasoning_tokens=_count(usage, "thoughtsTokenCount"),
        image_output_tokens=image_out,
        audio_output_tokens=audio_out,
    )


def _split(total: int, details: Mapping[str, int]) -> tuple[int, int]:
    """Image and audio tokens, never more than ``total`` whatever the details claim."""
    image = min(max(0, details["IMAGE"]), total)
    audio = min(max(0, details["AUDIO"]), total - image)
    return image, audio


def _by_modality(usage: Mapping[str, Any], name: str) -> Counter[str]:
    counts: Counter[str] = Counter()
    for detail in usage.get(name) or ():
        counts[str(detail.get("modality"))] += _count(detail, "tokenCount")
    return counts


def _count(fields: Mapping[str, Any], name: str) -> int:
    return read_count(fields.get(name))
