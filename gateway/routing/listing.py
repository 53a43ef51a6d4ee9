"""The catalog as ``GET /v1/models`` shows it: OpenAI model objects with ``daobo`` metadata."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gateway.config import GatewayConfig
from gateway.schema import Target

from .catalog import Catalog, Route

OWNER = "daobo"


def build_listing(
    config: GatewayConfig,
    catalog: Catalog,
    prices_of: Callable[[Target], Mapping[str, Any] | None],
    created_s: int,
) -> dict[str, dict[str, Any]]:
    """Name → model object: tasks first, then models, then ``auto``."""
    listing = {}
    for name, task in config.tasks.items():
        details = _details(catalog.tasks[name], prices_of, "task", task.description)
        details["models"] = list(task.models)
        details["chunking"] = task.chunking.mode
        details["max_output_tokens"] = task.max_output_tokens or details["max_output_tokens"]
        listing[name] = _entry(name, created_s, details)
    for name, model in config.models.items():
        details = _details(catalog.models[name], prices_of, "model", model.description)
        listing[name] = _entry(name, created_s, details)
    listing["auto"] = _entry(
        "auto",
        created_s,
        {
            "kind": "auto",
            "description": "The task is told from X-Daobo-Task, metadata.task or the prompt.",
            "tasks": list(catalog.tasks),
            "default_task": catalog.default_task,
        },
    )
    return listing


def _entry(name: str, created_s: int, details: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": name,
        "object": "model",
        "created": created_s,
        "owned_by": OWNER,
        "daobo": details,
    }


def _details(
    route: Route,
    prices_of: Callable[[Target], Mapping[str, Any] | None],
    kind: str,
    description: str,
) -> dict[str, Any]:
    first = route.targets[0] if route.targets else None
    configured = [*route.targets, *route.dormant]
    contexts = [t.context_tokens for t in route.targets if t.context_tokens]
    return {
        "kind": kind,
        "description": description,
        "resolves_to": first.name if first else None,
        "rehearsal": bool(first and first.rehearsal),
        "context_tokens": max(contexts) if contexts else None,
        "max_output_tokens": first.max_output_tokens if first else None,
        "capabilities": sorted({c for t in configured for c in t.capabilities}),
        "ladder": [
            {"target": t.name, "live": live, "rehearsal": t.rehearsal, "price": prices_of(t)}
            for live, targets in ((True, route.targets), (False, route.dormant))
            for t in targets
        ],
    }
