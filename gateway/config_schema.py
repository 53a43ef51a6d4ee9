"""The configuration as a JSON Schema, for editors that complete and check while one types."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from .config import GatewayConfig
from .contracts import ProviderSettings

DIALECT = "https://json-schema.org/draft/2020-12/schema"
ANY_PROVIDER = "AnyProvider"
REFERENCE = {"type": "string", "pattern": r"\$\{"}


def config_schema(settings_of: Mapping[str, type[ProviderSettings]]) -> dict[str, Any]:
    """The schema; ``settings_of`` are the registered provider types, told apart by ``type``."""
    kinds = sorted(settings_of.items())
    classes = sorted({settings for _, settings in kinds}, key=_qualified_name)
    models: list[type[BaseModel]] = [GatewayConfig, *classes]
    refs, shared = models_json_schema([(model, "validation") for model in models], title="Daobo")
    definitions = shared["$defs"]
    place = {settings: refs[settings, "validation"]["$ref"] for settings in classes}
    for ref in place.values():
        _allow_references(definitions[ref.rpartition("/")[2]])
    definitions[ANY_PROVIDER] = {
        "type": "object",
        "required": ["type"],
        "oneOf": [_of_type(kind, place[settings]) for kind, settings in kinds],
    }
    schema = definitions.pop(refs[GatewayConfig, "validation"]["$ref"].rpartition("/")[2])
    providers = schema["properties"]["providers"]
    (name_pattern,) = providers.pop("patternProperties")
    providers |= {
        "propertyNames": {"pattern": name_pattern},
        "properties": {kind: _entry(kind, place[settings]) for kind, settings in kinds},
        "additionalProperties": {"$ref": f"#/$defs/{ANY_PROVIDER}"},
    }
    return {"$schema": DIALECT, **schema, "$defs": dict(sorted(definitions.items()))}


def _qualified_name(settings: type) -> str:
    return f"{settings.__module__}.{settings.__qualname__}"


def _entry(kind: str, ref: str) -> dict[str, Any]:
    """An entry with the name of a type is of that type unless it says otherwise."""
    return {
        "if": {"required": ["type"]},
        "then": {"$ref": f"#/$defs/{ANY_PROVIDER}"},
        "else": _of_type(kind, ref),
    }


def _of_type(kind: str, ref: str) -> dict[str, Any]:
    return {"$ref": ref, "properties": {"type": {"const": kind}}}


def _allow_references(settings: dict[str, Any]) -> None:
    """``${NAME}`` may stand for a number or a boolean too; ``type`` follows from the name."""
    settings["required"] = [name for name in settings.get("required", ()) if name != "type"]
    for name, field in settings["properties"].items():
        kinds = {field.get("type"), *(choice.get("type") for choice in field.get("anyOf", ()))}
        if kinds & {"integer", "number", "boolean"}:
            described = {key: field.pop(key) for key in ("title", "default") if key in field}
            choices = field.get("anyOf") or [field]
            settings["properties"][name] = {**described, "anyOf": [*choices, REFERENCE]}
