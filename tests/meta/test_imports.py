"""Who may import whom: the table of ``docs/architecture.md``, walked module by module."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from .source_tree import (
    Import,
    Module,
    bundled_plugins,
    example_plugins,
    gateway_modules,
    imports_of,
)

ROOMS = frozenset(
    {"answers", "routing", "chunking", "limits", "money", "upstream", "jobs", "telemetry", "stores"}
)
CONTRACTS = ("contracts", "hookspecs", "openai_compatible", "openai_wire", "rate_headers")
ROOT = ("vocabulary",)
WIRE = ("chunk_mending", "folded", "folding", "framing", "thinking_tags", "tool_deltas")
CONFIGURATION = (
    "config",
    "config_chunking",
    "config_prices",
    "config_limits",
    "config_media_prices",
    "config_price_tables",
    "config_yaml",
    "config_report",
    "config_providers",
    "config_file",
    "config_schema",
    "budget_words",
)
LAYER_OF = {
    **dict.fromkeys(["schema", "journey", "errors", "ledger", "budget", "quote"], 0),
    **dict.fromkeys(["report", "report_text", "kept"], 0),
    **dict.fromkeys([*CONTRACTS, *ROOT, *WIRE, *CONFIGURATION], 1),
    **dict.fromkeys(ROOMS, 2),
    "pipeline": 3,
    "server": 4,
    **dict.fromkeys(["plugins", "app", "assembly", "cli", "greeting", "lifetime", "workers"], 5),
    **dict.fromkeys(["cli_prices", "cli_quote", "cli_budgets", "price_report", "price_words"], 5),
    **dict.fromkeys(["cli_options", "cli_reports", "report_table"], 5),
    **dict.fromkeys(["cli_check", "cli_keys", "cli_serve", "one_process"], 5),
    **dict.fromkeys(["budget_table", "quote_file", "quote_table"], 5),
    **dict.fromkeys(["cli_split", "script_file", "split_plan", "split_table"], 5),
    "money_watch": 5,
    **dict.fromkeys(["target_watch", "provider_watch", "connecting"], 5),
    "answer_archive": 5,
    "limit_stores": 5,
}
"""The first name below ``gateway`` → its layer."""
WORDS_AND_CONTRACTS = frozenset(name for name, layer in LAYER_OF.items() if layer <= 1)
THIRD_PARTY = {0: frozenset[str](), 1: frozenset({"pydantic", "pluggy", "orjson"})}
"""What a layer may import besides the standard library; layers that are not here: anything."""
THIRD_PARTY_OF = {"config_yaml": frozenset({"yaml"})}
PLUGINS_MAY_IMPORT = frozenset({"pydantic", "orjson"})

CORE = {module.name for module in gateway_modules()}


def area(module: str) -> str:
    """``gateway.routing.router`` → ``routing``; the package itself → an empty string."""
    return module.partition(".")[2].partition(".")[0]


def target(imported: Import) -> str:
    """The module that an import means, where ``from package import x`` may mean either."""
    submodule = f"{imported.module}.{imported.member}"
    return submodule if submodule in CORE else imported.module


def core_faults(name: str, imports: Iterable[Import]) -> Iterator[str]:
    """What a module of the core must not import."""
    here = area(name)
    layer = LAYER_OF[here] if here else 1
    for imported in imports:
        module = target(imported)
        if module.partition(".")[0] == "gateway":
            if not _may_import(here, layer, area(module)):
                yield f"line {imported.line}: {here or 'gateway'} must not import {module}"
        elif not _known_library(here, layer, module):
            yield f"line {imported.line}: layer {layer} must not import {module}"
        if imported.level > 1 or (imported.level and here in ROOMS and area(module) != here):
            yield f"line {imported.line}: write {module} in full; dots are for siblings"


def _may_import(here: str, layer: int, there: str) -> bool:
    if layer == 5:
        return True
    if not there:
        return False  # the root is the plugins' door; the core goes to the module itself
    if layer == 0:
        return LAYER_OF[there] == 0
    if layer in (1, 2):
        return there in WORDS_AND_CONTRACTS or there == here
    if layer == 3:
        return LAYER_OF[there] <= 2
    return there in WORDS_AND_CONTRACTS | {"pipeline", here}


def _known_library(here: str, layer: int, module: str) -> bool:
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names or layer not in THIRD_PARTY:
        return True
    return top in THIRD_PARTY[layer] | THIRD_PARTY_OF.get(here, frozenset())


def plugin_faults(name: str, imports: Iterable[Import]) -> Iterator[str]:
    """What a bundled plugin must not import."""
    own = name.partition(".")[0]
    for imported in imports:
        module = target(imported)
        top = module.partition(".")[0]
        if module != "gateway" and top not in {own} | PLUGINS_MAY_IMPORT | sys.stdlib_module_names:
            yield f"line {imported.line}: a plugin must not import {module}"


def shown(module: Module) -> str:
    return module.shown


@pytest.mark.parametrize("module", gateway_modules(), ids=shown)
def test_a_module_of_the_core_keeps_to_its_layer(module: Module) -> None:
    assert not area(module.name) or area(module.name) in LAYER_OF, "give it a layer in the table"
    assert list(core_faults(module.name, module.imports())) == []


@pytest.mark.parametrize("module", bundled_plugins(), ids=shown)
def test_a_plugin_imports_only_the_vocabulary(module: Module) -> None:
    assert list(plugin_faults(module.name, module.imports())) == []


@pytest.mark.parametrize("module", example_plugins(), ids=shown)
def test_a_plugin_of_somebody_else_needs_no_more_of_the_gateway(module: Module) -> None:
    ours = {target(i) for i in module.imports() if i.module.partition(".")[0] == "gateway"}
    assert ours <= {"gateway"}


def test_the_vocabulary_brings_in_neither_a_room_nor_aiohttp() -> None:
    program = "import sys; from gateway import *; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    loaded = done.stdout.decode().split()
    ours = {area(name) for name in loaded if name.startswith("gateway.")}
    assert ours <= WORDS_AND_CONTRACTS
    assert not {"aiohttp", "yaml", "yarl", "typer"} & set(loaded)


@pytest.mark.parametrize(
    ("name", "line", "fault"),
    [
        ("gateway.schema", "import pydantic", "layer 0 must not import pydantic"),
        ("gateway.errors", "from .contracts import X", "errors must not import gateway.contracts"),
        ("gateway.contracts", "import aiohttp", "layer 1 must not import aiohttp"),
        ("gateway.config", "import yaml", "layer 1 must not import yaml"),
        ("gateway", "from .pipeline import Pipeline", "gateway must not import gateway.pipeline"),
        ("gateway.routing.router", "from gateway import pipeline", "must not import"),
        ("gateway.routing.router", "from gateway import Target", "must not import gateway"),
        ("gateway.routing.router", "def f():\n  import gateway.money.prices", "must not import"),
        ("gateway.routing.router", "from ..schema import X", "dots are for siblings"),
        ("gateway.pipeline", "from .server.door import Door", "must not import gateway.server"),
        ("gateway.server.door", "from gateway.money.prices import X", "must not import"),
        ("gateway.pipeline", "from . import app", "pipeline must not import gateway.app"),
    ],
)
def test_a_breach_of_the_table_is_noticed(name: str, line: str, fault: str) -> None:
    (found, *_) = core_faults(name, imports_of(ast.parse(line), name, name == "gateway"))
    assert fault in found


@pytest.mark.parametrize(
    "line",
    [
        "import aiohttp",
        "from gateway.schema import Usage",
        "from gateway import schema",
        "import gateway_other",
    ],
)
def test_a_plugin_that_reaches_too_far_is_noticed(line: str) -> None:
    assert list(plugin_faults("gateway_own", imports_of(ast.parse(line), "gateway_own", True)))


def test_the_walk_sees_the_whole_tree() -> None:
    assert {"gateway", "gateway.pipeline", "gateway.routing.router"} <= CORE
    files = Path(gateway_modules()[0].path).parent.rglob("*.py")
    assert len(CORE) == len(list(files))
    assert len(bundled_plugins()) > 5
