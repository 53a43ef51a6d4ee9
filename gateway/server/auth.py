"""Who is calling: finds the key in a request and the caller behind the key.

Keys are random, kept only as SHA-256, and never repeated in an answer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Protocol

from gateway.errors import CallError, Outcome
from gateway.schema import Caller


class KeyRing(Protocol):
    """The valid keys, by the SHA-256 of their text."""

    def find(self, digest: bytes) -> Caller | None:
        """None for a key that does not exist or was revoked."""


class AdminKeyRing(KeyRing, Protocol):
    """The same, and which of them may use the admin API."""

    def find_admin(self, digest: bytes) -> Caller | None:
        """None for a key that may not, too."""


def authenticate(headers: Mapping[str, str], ring: KeyRing) -> Caller:
    """Raises CallError(UNAUTHENTICATED) that says what is wrong, never what was sent."""
    caller = ring.find(_digest_in(headers))
    if caller is None:
        raise _unknown_key()
    return caller


def authenticate_admin(headers: Mapping[str, str], ring: AdminKeyRing) -> Caller:
    """Raises CallError: UNAUTHENTICATED, or FORBIDDEN for a key that is good for calls only."""
    digest = _digest_in(headers)
    caller = ring.find_admin(digest)
    if caller is not None:
        return caller
    if ring.find(digest) is None:
        raise _unknown_key()
    raise CallError(
        Outcome.FORBIDDEN,
        "this API key may make calls and not use the admin API; "
        "'daobo keys create NAME --admin' makes one that may",
    )


def _unknown_key() -> CallError:
    return CallError(
        Outcome.UNAUTHENTICATED,
        "this API key is not known here, or was revoked. "
        "'daobo keys list' shows the keys there are, 'daobo keys create' makes one.",
    )


def _digest_in(headers: Mapping[str, str]) -> bytes:
    # Looking up a hash leaks no timing that tells anything about a key's text.
    return hashlib.sha256(_key_in(headers).encode("utf-8", "surrogateescape")).digest()


def _key_in(headers: Mapping[str, str]) -> str:
    authorization = headers.get("Authorization")
    if authorization is None:
        key = headers.get("api-key") or headers.get("x-api-key") or headers.get("x-goog-api-key")
        if key:
            return key
        raise CallError(
            Outcome.UNAUTHENTICATED,
            "no API key was sent; send the header 'Authorization: Bearer <key>' "
            "(Azure clients: 'api-key: <key>')",
        )
    scheme, _, key = authorization.partition(" ")
    if scheme.lower() == "bearer" and key.strip():
        return key.strip()
    if not key:
        raise CallError(
            Outcome.UNAUTHENTICATED,
            "the Authorization header has no scheme; put 'Bearer ' before the key",
        )
    raise CallError(
        Outcome.UNAUTHENTICATED,
        "the Authorization header must be 'Bearer <key>'",
    )
