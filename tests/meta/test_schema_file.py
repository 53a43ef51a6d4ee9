"""What editors are told about the configuration, and what the bundled one says itself."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.assembly import configured_prices
from gateway.config_file import load_config
from gateway.config_schema import config_schema
from gateway.contracts import EmbeddedProvider, ProviderSettings
from gateway.money.prices import PriceBook
from gateway.plugins import GROUP, Registry, discover
from gateway.routing.strategies import register_strategies
from gateway.schema import Capability, Target

from .source_tree import ROOT

CONFIG = ROOT / "config" / "gateway.yaml"
SCHEMA = ROOT / "config" / "gateway.schema.json"

PRICED_BY_TOKENS = frozenset({Capability.CHAT, Capability.EMBEDDINGS})


@pytest.fixture(scope="module")
def bundled() -> Registry:
    """The bundled plugins alone, whatever else is installed."""
    points = distribution("daobo").entry_points
    return discover(found=[point for point in points if point.group == GROUP])


@pytest.fixture(scope="module")
def settings_of(bundled: Registry) -> dict[str, type[ProviderSettings]]:
    return {name: settings for name, (settings, _) in bundled.providers.items()}


def test_the_schema_file_is_what_the_models_say(
    settings_of: dict[str, type[ProviderSettings]],
) -> None:
    assert orjson.loads(SCHEMA.read_bytes()) == config_schema(settings_of), "run: make schema"


def test_the_command_prints_a_schema_that_knows_every_installed_type() -> None:
    command = [sys.executable, "-m", "gateway.cli", "schema"]
    printed = orjson.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert set(printed["properties"]["providers"]["properties"]) == set(discover().providers)


def test_editors_find_the_schema_from_the_bundled_configuration() -> None:
    first = CONFIG.read_text(encoding="utf-8").splitlines()[0]
    name = first.removeprefix("# yaml-language-server: $schema=")
    assert (CONFIG.parent / name).resolve() == SCHEMA.resolve()


def test_the_schema_describes_the_settings_of_each_type(
    settings_of: dict[str, type[ProviderSettings]],
) -> None:
    schema = config_schema(settings_of)
    told_apart = schema["$defs"]["AnyProvider"]["oneOf"]
    for choice in told_apart:
        kind = choice["properties"]["type"]["const"]
        described = _resolved(schema, choice["$ref"])
        assert set(described["properties"]) == set(settings_of[kind].model_fields)
        assert described["additionalProperties"] is False
    assert len(told_apart) == len(settings_of)


def test_the_schema_lets_a_number_come_from_the_environment(
    settings_of: dict[str, type[ProviderSettings]],
) -> None:
    schema = config_schema({"one": ProviderSettings})
    field = _resolved(schema, "#/$defs/ProviderSettings")["properties"]["max_connections"]
    assert {"type": "string", "pattern": r"\$\{"} in field["anyOf"]


def _resolved(schema: dict[str, Any], ref: str) -> dict[str, Any]:
    found: Any = schema
    for step in ref.removeprefix("#/").split("/"):
        found = found[step]
    assert isinstance(found, dict)
    return found


# The bundled configuration


def test_the_bundled_configuration_is_in_order_without_any_key(
    bundled: Registry, settings_of: dict[str, type[ProviderSettings]]
) -> None:
    strategies: dict[str, object] = dict(bundled.strategies)
    register_strategies(strategies.__setitem__)
    loaded = load_config(CONFIG, settings_of, frozenset(strategies), {})
    assert set(loaded.providers) | set(loaded.dormant) == set(loaded.config.providers)


def test_every_target_of_the_bundled_configuration_has_a_price(
    bundled: Registry,
    settings_of: dict[str, type[ProviderSettings]],
) -> None:
    environ = dict.fromkeys(_variables(CONFIG), "set")
    loaded = load_config(CONFIG, settings_of, frozenset({"priority"}), environ)
    made = {n: bundled.providers[s.type][1](s) for n, s in loaded.providers.items()}
    book = PriceBook.load(
        overrides=configured_prices(loaded),
        base_urls={name: provider.root for name, provider in made.items()},
    )
    targets = [
        Target(provider, upstream_model, public_model=name)
        for name, model in loaded.config.models.items()
        for provider, _, upstream_model in (target.partition("/") for target in model.targets)
        if model.capabilities & PRICED_BY_TOKENS
        and not isinstance(made[provider], EmbeddedProvider)
    ]
    assert {target.name for target in book.missing(targets)} == set()


def _variables(path: Path) -> set[str]:
    text = path.read_text(encoding="utf-8")
    return {part.partition("}")[0].partition(":")[0] for part in text.split("${")[1:]}
