"""``GET /v1/models``: the tasks and models that are served, with what a client may want to know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.errors import CallError, Outcome

Listing = Mapping[str, Mapping[str, Any]]
"""Name → the OpenAI model object with its ``daobo`` metadata."""


def list_models(listing: Listing) -> dict[str, Any]:
    return {"object": "list", "data": list(listing.values())}


def get_model(listing: Listing, name: str) -> Mapping[str, Any]:
    """Raises CallError(UNKNOWN_MODEL)."""
    if name not in listing:
        raise CallError(
            Outcome.UNKNOWN_MODEL,
            f"no task or model is called {name[:100]!r}; GET /v1/models lists what there is",
            param="model",
        )
    return listing[name]
