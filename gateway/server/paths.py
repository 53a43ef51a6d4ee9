"""Finds the endpoint that a path means, however a client spells its base URL.

With and without ``/v1``, ``/v1/v1``, doubled and trailing slashes, under ``/p/{project}``, and in
Azure's way, ``/openai/deployments/{model}/…``.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from gateway.errors import CallError, Outcome

GET = ("GET", "HEAD")
ENDPOINTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "chat/completions": ("chat", ("POST",)),
    "embeddings": ("embeddings", ("POST",)),
    "models": ("models", GET),
    "quotes": ("quotes", ("POST",)),
    "healthz": ("healthz", GET),
    "readyz": ("readyz", GET),
}
QUOTE = (*GET, "DELETE")
QUOTE_HOLD = ("POST", "DELETE")


class Match(NamedTuple):
    """An endpoint and what its path says besides."""

    endpoint: str
    methods: tuple[str, ...]
    project: str | None = None
    model: str | None = None
    quote: str | None = None


@lru_cache(maxsize=1024)
def match(path: str) -> Match | None:
    """None for a path that means nothing here."""
    segments = [segment for segment in path.split("/") if segment]
    project = None
    if segments[:1] == ["p"] and len(segments) > 2:
        project, segments = segments[1], segments[2:]
    segments = without_version(segments)
    model = None
    if segments[:1] == ["openai"]:
        segments = without_version(segments[1:])
        if segments[:1] == ["deployments"] and len(segments) > 2:
            model, segments = segments[1], segments[2:]
    if segments[:1] == ["models"] and len(segments) > 1:
        return Match("model", GET, project, "/".join(segments[1:]))
    if segments[:1] == ["quotes"] and len(segments) > 1:
        return _of_quote(segments[1:], project)
    found = ENDPOINTS.get("/".join(segments))
    return Match(*found, project, model) if found else None


def _of_quote(segments: list[str], project: str | None) -> Match | None:
    """``{id}`` and ``{id}/admit``."""
    if len(segments) == 1:
        return Match("quote", QUOTE, project, quote=segments[0])
    if segments[1:] == ["admit"]:
        return Match("quote_hold", QUOTE_HOLD, project, quote=segments[0])
    return None


def without_version(segments: list[str]) -> list[str]:
    while segments[:1] == ["v1"]:
        segments = segments[1:]
    return segments


def unknown_path(method: str, path: str, base_url: str) -> CallError:
    """The 404 that names the right base URL."""
    return CallError(
        Outcome.UNKNOWN_PATH,
        f"there is nothing at {method} {path[:200]}. The base URL for OpenAI clients is "
        f"{base_url}/v1 (for Azure clients {base_url}); served are "
        + ", ".join(
            f"{methods[0]} /v1/{name}"
            for name, (_, methods) in ENDPOINTS.items()
            if "z" not in name
        )
        + ".",
    )
