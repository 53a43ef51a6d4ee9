"""The commands ``daobo keys``: create, list, revoke. They work while gateways run."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .cli_options import DEFAULT_STATE, State, printer

if TYPE_CHECKING:
    from .stores.keys import Key, KeyFile

keys_app = typer.Typer(help="API keys of this gateway.", no_args_is_help=True)


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
    from rich.markup import escape

    key, text = _key_file(state).create(
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
    out = printer()
    out.print(f"{key.id} ({escape(name)}): [bold]{text}[/bold]", soft_wrap=True)
    out.print("Keep it now: it is not shown again. A running gateway takes it within a second.")


@keys_app.command("list")
def list_keys(state: State = DEFAULT_STATE) -> None:
    """List the keys there are, without the keys themselves."""
    from rich.markup import escape
    from rich.table import Table

    table = Table("id", "name", "project", "more", "created", "revoked", box=None, pad_edge=False)
    for key in _key_file(state).read().values():
        table.add_row(
            key.id,
            escape(key.name),
            escape(key.project or ""),
            escape(_more(key)),
            _date(key.created_at_s),
            _date(key.revoked_at_s),
        )
    printer().print(table)


@keys_app.command("revoke")
def revoke_key(
    key_id: Annotated[str, typer.Argument(metavar="ID")], state: State = DEFAULT_STATE
) -> None:
    """Revoke a key by its id. A running gateway refuses it within a second."""
    key = _key_file(state).revoke(key_id, time.time())
    printer().print(f"{key.id} ({key.name}) is revoked", markup=False)


def _key_file(state: Path) -> KeyFile:
    from .stores.keys import KeyFile

    return KeyFile(state)


def _more(key: Key) -> str:
    """What a key says besides its project, and whether it may administer."""
    from .budget import scope_text
    from .ledger import LEVELS

    named = [(level, value) for level in LEVELS if (value := getattr(key, level, None))]
    others = tuple(pair for pair in named if pair[0] != "project")
    return ", ".join([scope_text(others)] * bool(others) + ["admin"] * key.admin)


def _word(text: str | None) -> str | None:
    """A default of a key as calls would name it."""
    return (text or "").strip() or None


def _date(at_s: int | None) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at_s)) if at_s else ""
