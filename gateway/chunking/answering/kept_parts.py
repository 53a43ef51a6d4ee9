"""Answers to parts that are kept for a while: whoever asks again pays only for what is missing.

They are found by a hash of all that is asked, the tenant included. Only text that passed the check
without a doubt is kept, and nothing that a stand-in wrote.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import orjson

from gateway.schema import Target

VERSION = 1

Text = tuple[int, int, str]
"""Where a stretch begins and ends, in characters from the beginning of its part, and its answer."""


class PartStore(Protocol):
    """Where they are kept. It may forget."""

    async def get(self, key: str) -> bytes | None: ...

    async def put(self, key: str, value: bytes, ttl_s: float) -> None: ...


class KeptPart(NamedTuple):
    """What is known of a part's answer: all of it, or some stretches."""

    target: Target
    """Which answered last."""
    model: str
    """What the answer said that it is from."""
    texts: tuple[Text, ...]
    """In order, none empty; what lies between them is missing."""


class KeptParts:
    """One call's view of the store. No failure of the store is the call's."""

    def __init__(
        self,
        store: PartStore | None,
        ttl_s: float,
        report_failure: Callable[[str, BaseException], None],
    ) -> None:
        """Without a store nothing is found and nothing is kept."""
        self._store = store if ttl_s > 0 else None
        self._ttl_s = ttl_s
        self._report_failure = report_failure

    async def find(self, key: str, chars: int) -> KeptPart | None:
        """``chars``: how long the part is."""
        if self._store is None:
            return None
        try:
            value = await self._store.get(key)
        except Exception as error:
            self._report_failure("an answer to a part could not be looked for", error)
            return None
        return unpack(value, chars) if value is not None else None

    async def keep(self, key: str, part: KeptPart) -> None:
        if self._store is None or part.target.rehearsal or not part.texts:
            return
        try:
            await self._store.put(key, pack(part), self._ttl_s)
        except Exception as error:
            self._report_failure("an answer to a part could not be kept", error)


def pack(part: KeptPart) -> bytes:
    target = part.target
    return orjson.dumps(
        [VERSION, [target.provider, target.model, target.public_model], part.model, part.texts]
    )


def unpack(value: bytes, chars: int) -> KeptPart | None:
    """None for bytes that another version wrote, or that do not fit a part of so many ``chars``."""
    try:
        version, (provider, upstream_model, public_model), model, found = orjson.loads(value)
        texts = tuple((int(start), int(end), str(text)) for start, end, text in found)
    except (orjson.JSONDecodeError, TypeError, ValueError):
        return None
    at = 0
    for start, end, _ in texts:
        if not at <= start < end <= chars:
            return None
        at = end
    if version != VERSION:
        return None
    return KeptPart(Target(provider, upstream_model, public_model), model, texts)
