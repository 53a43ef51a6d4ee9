"""The commands ``daobo check``, ``daobo plugins`` and ``daobo schema``: what a start would find."""

from __future__ import annotations

import sys

from .cli_options import DEFAULT_STATE, Config, State, printer, silent_gateway


def check(config: Config = None, state: State = DEFAULT_STATE) -> None:
    """Validate the configuration, list every route and what is missing."""
    from .greeting import cutting_tasks, route_table, without_effect

    gateway = silent_gateway(config, state)
    out = printer()
    loaded = gateway.rooms.loaded
    out.print(f"{loaded.source}: in order (version {loaded.version})\n", markup=False)
    out.print(route_table(gateway))
    if cutting := cutting_tasks(gateway):
        out.print(f"tasks that cut long scripts: {', '.join(cutting)}")
    for name, dormant in sorted(loaded.dormant.items()):
        out.print(f"provider {name} ({dormant.type}) waits for {dormant.waits_for}", markup=False)
    for note in loaded.notes:
        out.print(note, markup=False)
    for path in without_effect(gateway):
        out.print(f"{path} has no effect in this version", markup=False)


def plugins(config: Config = None, state: State = DEFAULT_STATE) -> None:
    """List plugins: name, distribution, version, and what each registered."""
    from rich.table import Table

    gateway = silent_gateway(config, state)
    table = Table("plugin", "distribution", "version", "registered", box=None, pad_edge=False)
    for plugin in gateway.registry.plugins:
        table.add_row(
            plugin.name, plugin.distribution, plugin.version, ", ".join(plugin.registered)
        )
    printer().print(table)


def schema() -> None:
    """Print the JSON Schema of the configuration, with every provider that is installed."""
    import orjson

    from .config_schema import config_schema
    from .plugins import discover

    found = {name: settings for name, (settings, _) in discover().providers.items()}
    text = orjson.dumps(config_schema(found), option=orjson.OPT_INDENT_2)
    sys.stdout.buffer.write(text + b"\n")
