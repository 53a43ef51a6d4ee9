"""The commands ``daobo report``, ``daobo export`` and ``daobo ledger verify``.

They read what gateways have written, while those run or not, and change nothing.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .cli_options import DEFAULT_STATE, Config, State, checked_config, printer, sentences

if TYPE_CHECKING:
    from .report import ReportQuery, ReportResult, ReportTerms

NOTHING_YET = "nothing was spent yet: there is no ledger at {where}"

ledger_app = typer.Typer(help="The ledger itself.", no_args_is_help=True)

Since = Annotated[
    str | None,
    typer.Option("--since", help="2026-11-01, 2026-11, a time in ISO 8601, or 24h, 7d ago."),
]
Until = Annotated[
    str | None, typer.Option("--until", help="As --since; a day or a month counts whole.")
]
Values = list[str] | None


class ReportFormat(StrEnum):
    TABLE = "table"
    CSV = "csv"
    JSON = "json"


class ExportFormat(StrEnum):
    FOCUS = "focus"
    CSV = "csv"
    JSONL = "jsonl"


def _filter(word: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(
        f"--{word}", help=f"Only calls of this {word}; '' is those that name none."
    )
    return option


def report(
    by: Annotated[
        str, typer.Option("--by", help="What to group by: project,episode,task,model,day …")
    ] = "project,task",
    since: Since = None,
    until: Until = None,
    tenant: Annotated[Values, _filter("tenant")] = None,
    project: Annotated[Values, _filter("project")] = None,
    season: Annotated[Values, _filter("season")] = None,
    episode: Annotated[Values, _filter("episode")] = None,
    scene: Annotated[Values, _filter("scene")] = None,
    shot: Annotated[Values, _filter("shot")] = None,
    key: Annotated[Values, _filter("key")] = None,
    user: Annotated[Values, _filter("user")] = None,
    task: Annotated[Values, _filter("task")] = None,
    model: Annotated[Values, _filter("model")] = None,
    provider: Annotated[Values, _filter("provider")] = None,
    outcome: Annotated[Values, _filter("outcome")] = None,
    form: Annotated[
        ReportFormat | None,
        typer.Option("--format", help="Default: a table on a terminal, CSV elsewhere."),
    ] = None,
    config: Config = None,
    state: State = DEFAULT_STATE,
) -> None:
    """What was spent, by anything, with what is held, wasted, rehearsed and saved."""
    filters: Mapping[str, Values] = {
        "tenant": tenant, "project": project, "season": season, "episode": episode,
        "scene": scene, "shot": shot, "key": key, "user": user, "task": task, "model": model,
        "provider": provider, "outcome": outcome,
    }  # fmt: skip
    query = _query(by, since, until, filters)
    url = _ledger(state)
    if url is None:
        return
    from .stores.reports import report as read

    with sentences():
        _print(read(url, query, _terms(config)), form)


def _print(result: ReportResult, form: ReportFormat | None) -> None:
    from .report_text import to_csv, to_json

    out = printer()
    if form is ReportFormat.TABLE or (form is None and out.is_terminal):
        from .report_table import report_table

        out.print(report_table(result, out))
    elif form is ReportFormat.JSON:
        import orjson

        sys.stdout.write(orjson.dumps(to_json(result), option=orjson.OPT_INDENT_2).decode() + "\n")
    else:
        sys.stdout.write(to_csv(result))
    sys.stdout.flush()  # what does not fit on a full disk is told while somebody listens


def export(
    form: Annotated[
        ExportFormat,
        typer.Option("--format", help="FOCUS 1.2, ledger rows, or a JSON object for each request."),
    ] = ExportFormat.FOCUS,
    since: Since = None,
    until: Until = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The file to write; default: the output.")
    ] = None,
    config: Config = None,
    state: State = DEFAULT_STATE,
) -> None:
    """Write the ledger as a file for other programs."""
    url = _ledger(state)
    if url is None:
        return
    from .report import period_us
    from .stores.exports import export as write

    terms = _terms(config)
    with sentences():
        times = period_us(since, until, terms)
        if output is None:
            write(url, sys.stdout, form.value, *times)
            return
        with output.open("w", encoding="utf-8", newline="") as file:
            rows = write(url, file, form.value, *times)
    said = f"{rows:,} rows are in {output}"
    printer(stderr=True).print(said, markup=False, soft_wrap=True)


@ledger_app.command("verify")
def verify_ledger(state: State = DEFAULT_STATE) -> None:
    """Work out everything again from the rows; the difference has to be 0."""
    url = _ledger(state)
    if url is None:
        raise typer.Exit(1)  # a mistyped folder must not pass for a sound ledger
    from .report_table import findings_table
    from .stores.connections import connect
    from .stores.verify import verify

    with sentences():
        connection = connect(url)
        try:
            found = verify(connection, int(time.time()))
        finally:
            connection.close()
    printer().print(findings_table(found), soft_wrap=True)
    if found.faults:
        raise typer.Exit(1)


def _query(
    by: str, since: str | None, until: str | None, filters: Mapping[str, Values]
) -> ReportQuery:
    from .report import BOUNDS, parse_query

    pairs = [(word, value) for word, values in filters.items() for value in values or ()]
    times = [(bound, text) for bound, text in zip(BOUNDS, (since, until), strict=True) if text]
    with sentences():
        return parse_query([("by", by), *times, *pairs])


def _terms(config: Path | None) -> ReportTerms:
    """Time zone and currency of the configuration."""
    from .report import ReportTerms

    money = checked_config(config).config.money
    return ReportTerms(money.time_zone, money.currency, int(time.time()))


def _ledger(state: Path) -> str | None:
    """The address of the ledger; None, after saying so, if there is none yet."""
    from .stores.opening import database_url
    from .stores.queries import has_ledger

    url = database_url(os.environ, state)
    with sentences():
        if has_ledger(url):
            return url
    where = "DAOBO_DATABASE_URL" if os.environ.get("DAOBO_DATABASE_URL") else str(state)
    printer(stderr=True).print(NOTHING_YET.format(where=where), markup=False, soft_wrap=True)
    return None
