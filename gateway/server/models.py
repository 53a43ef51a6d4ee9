"""``GET /v1/models``: the tasks and models that are served, with what a client may want to know."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gateway.errors import CallError, Outcome

Model = Mapping[str, Any]
Listing = Mapping[str, Model]
"""Name → the OpenAI model object with its ``daobo`` metadata."""
StateOf = Callable[[str], Mapping[str, Any]]
"""A target's name → whether it is called at the moment."""


def list_models(listing: Listing, state_of: StateOf) -> dict[str, Any]:
    return {"object": "list", "data": [_now(model, state_of) for model in listing.values()]}


def get_model(listing: Listing, name: str, state_of: StateOf) -> Model:
    """Raises CallError(UNKNOWN_MODEL)."""
    if name not in listing:
        raise CallError(
            Outcome.UNKNOWN_MODEL,
            f"no task or model is called {name[:100]!r}; GET /v1/models lists what there is",
            param="model",
        )
    return _now(listing[name], state_of)


def _now(model: Model, state_of: StateOf) -> Model:
    """The model with the state of each live target on its ladder."""
    details = model["daobo"]
    if "ladder" not in details:
        return model
    ladder = [
        {**step, **state_of(step["target"])} if step["live"] else step for step in details["ladder"]
    ]
    return {**model, "daobo": {**details, "ladder": ladder}}
