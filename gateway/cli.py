"""The command ``daobo``. Errors are sentences, not tracebacks."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path
from typing import Annotated

import orjson
import typer
import uvloop
from rich.console import Console
from rich.table import Table

from .app import Gateway, Options
from .budget import scope_text
from .cli_budgets import budgets_app
from .cli_options import DEFAULT_STATE, Config, State, silent_gateway
from .cli_prices import prices
from .cli_quote import quote
from .cli_reports import export, ledger_app, report
from .cli_split import split
from .config_file import default_config_path
from .config_schema import config_schema
from .errors import ConfigError
from .greeting import cutting_tasks, greet, route_table, without_effect
from .ledger import LEVELS
from .lifetime import Listen, calm_garbage_collector, run
from .plugins import discover
from .stores.keys import Key, KeyFile
from .stores.opening import prepare_ledger
from .telemetry.logs import configure_logging
from .telemetry.workers import clear
from .workers import supervise

app = typer.Typer(
    name="daobo",
    help="Daobo (导播): a model-router gateway for studios that make AI short dramas.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
keys_app = typer.Typer(help="API keys of this gateway.", no_args_is_help=True)
app.add_typer(keys_app, name="keys")
app.add_typer(budgets_app, name="budgets")
out = Console(highlight=False)

Host = Annotated[str, typer.Option("--host", envvar="DAOBO_HOST", help="Address to listen on.")]
Port = Annotated[int, typer.Option("--port", envvar="DAOBO_PORT", min=1, max=65535)]
AdminHost = Annotated[
    str, typer.Option("--admin-host", envvar="DAOBO_ADMIN_HOST", help="Address for /metrics.")
]
AdminPort = Annotated[
    int, typer.Option("--admin-port", envvar="DAOBO_ADMIN_PORT", min=1, max=65535)
]
Workers = Annotated[
    int,
    typer.Option(
        "--workers", envvar="DAOBO_WORKERS", min=1, max=64, help="Processes that share the port."
    ),
]


def main() -> None:
    """Entry point: every expected failure ends in sentences and exit code 1."""
    try:
        app()
    except ConfigError as error:
        for problem in error.problems:
            print(f"daobo: {problem}", file=sys.stderr)
        _drop_unwritten_output()
        sys.exit(1)


def _drop_unwritten_output() -> None:
    """What a full disk has refused once would be tried again at the end, and end in a traceback."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@app.command()
def serve(
    config: Config = None,
    host: Host = "127.0.0.1",
    port: Port = 8080,
    admin_host: AdminHost = "127.0.0.1",
    admin_port: AdminPort = 8081,
    state: State = DEFAULT_STATE,
    workers: Workers = 1,
) -> None:
    """Start the gateway."""
    worker = os.environ.get("DAOBO_WORKER")
    if workers > 1 and worker is None:
        _clear_counts(state / "workers")
        sys.exit(supervise(workers, [sys.executable, "-m", "gateway.cli", *sys.argv[1:]]))
    listen = Listen(host, port, admin_host, admin_port, reuse_port=worker is not None)
    logging = configure_logging(fd=sys.stderr.fileno())
    siblings = state / "workers" if worker is not None else None
    options = Options(config or default_config_path(), state, siblings=siblings)
    gateway = Gateway(options, logging.calls)
    prepare_ledger(gateway.database_url)
    in_flight, writer = gateway.permanent.in_flight, logging.writer
    gateway.metrics.watch_gateway(lambda: in_flight.total, lambda: writer.dropped_lines)
    is_first = worker in (None, "0")

    def started() -> None:
        if is_first:
            # Made only now: a key from a start that failed would never be shown.
            greet(out, gateway, listen, _first_key(gateway))

    async def serve_and_log() -> None:
        logging.writer.start()
        try:
            async with gateway.counted_by_siblings():
                await run(gateway, listen, started)
        finally:
            await logging.writer.close()

    calm_garbage_collector()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve_and_log())


@app.command()
def check(config: Config = None, state: State = DEFAULT_STATE) -> None:
    """Validate the configuration, list every route and what is missing."""
    gateway = silent_gateway(config, state)
    loaded = gateway.rooms.loaded
    out.print(f"{loaded.source}: in order (version {loaded.version})\n")
    out.print(route_table(gateway))
    if cutting := cutting_tasks(gateway):
        out.print(f"tasks that cut long scripts: {', '.join(cutting)}")
    for name, dormant in sorted(loaded.dormant.items()):
        out.print(f"provider {name} ({dormant.type}) waits for {dormant.waits_for}")
    for note in loaded.notes:
        out.print(note)
    for path in without_effect(gateway):
        out.print(f"{path} has no effect in this version")


app.command()(prices)
app.command()(quote)
app.command()(split)
app.command()(report)
app.command()(export)
app.add_typer(ledger_app, name="ledger")


@app.command()
def plugins(config: Config = None, state: State = DEFAULT_STATE) -> None:
    """List plugins: name, distribution, version, and what each registered."""
    gateway = silent_gateway(config, state)
    table = Table("plugin", "distribution", "version", "registered", box=None, pad_edge=False)
    for plugin in gateway.registry.plugins:
        table.add_row(
            plugin.name, plugin.distribution, plugin.version, ", ".join(plugin.registered)
        )
    out.print(table)


@app.command()
def schema() -> None:
    """Print the JSON Schema of the configuration, with every provider that is installed."""
    found = {name: settings for name, (settings, _) in discover().providers.items()}
    text = orjson.dumps(config_schema(found), option=orjson.OPT_INDENT_2)
    sys.stdout.buffer.write(text + b"\n")


@keys_app.command("create")
def create_key(
    name: Annotated[str, typer.Argument(help="Whose key it is, for the list.")],
    project: Annotated[
        str | None, typer.Option(help="Project of calls that name none themselves.")
    ] = None,
    season: Annotated[str | None, typer.Option(help="Their season, and so on.")] = None,
    episode: Annotated[str | None, typer.Option()] = None,
    scene: Annotated[str | None, typer.Option()] = None,
    shot: Annotated[str | None, typer.Option()] = None,
    tenant: Annotated[
        str | None, typer.Option(help="Who pays for all calls of this key; no call can change it.")
    ] = None,
    admin: Annotated[bool, typer.Option("--admin", help="May use the admin API too.")] = False,
    state: State = DEFAULT_STATE,
) -> None:
    """Make a key. It is shown once; only its hash is kept."""
    key, text = KeyFile(state).create(
        name,
        _word(project),
        time.time(),
        tenant=_word(tenant),
        season=_word(season),
        episode=_word(episode),
        scene=_word(scene),
        shot=_word(shot),
        admin=admin,
    )
    out.print(f"{key.id} ({name}): [bold]{text}[/bold]", soft_wrap=True)
    out.print("Keep it now: it is not shown again. A running gateway takes it within a second.")


@keys_app.command("list")
def list_keys(state: State = DEFAULT_STATE) -> None:
    """List the keys there are, without the keys themselves."""
    table = Table("id", "name", "project", "more", "created", "revoked", box=None, pad_edge=False)
    for key in KeyFile(state).read().values():
        table.add_row(
            key.id,
            key.name,
            key.project or "",
            _more(key),
            _date(key.created_at_s),
            _date(key.revoked_at_s),
        )
    out.print(table)


@keys_app.command("revoke")
def revoke_key(
    key_id: Annotated[str, typer.Argument(metavar="ID")], state: State = DEFAULT_STATE
) -> None:
    """Revoke a key by its id. A running gateway refuses it within a second."""
    key = KeyFile(state).revoke(key_id, time.time())
    out.print(f"{key.id} ({key.name}) is revoked")


def _more(key: Key) -> str:
    """What a key says besides its project, and whether it may administer."""
    named = [(level, value) for level in LEVELS if (value := getattr(key, level, None))]
    others = tuple(pair for pair in named if pair[0] != "project")
    return ", ".join([scope_text(others)] * bool(others) + ["admin"] * key.admin)


def _word(text: str | None) -> str | None:
    """A default of a key as calls would name it."""
    return (text or "").strip() or None


def _options(config: Path | None, state: Path) -> Options:
    return Options(config or default_config_path(), state)


def _clear_counts(folder: Path) -> None:
    try:
        clear(folder)
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be written: {error}") from None


def _first_key(gateway: Gateway) -> str | None:
    """The text of a new key where there is none yet."""
    if gateway.options.environ.get("DAOBO_KEY") or gateway.key_file.read():
        return None
    _, text = gateway.key_file.create("first", None, time.time())
    gateway.ring.refresh()
    return text


def _date(at_s: int | None) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at_s)) if at_s else ""


if __name__ == "__main__":
    main()
