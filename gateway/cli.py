"""The command ``daobo``. Errors are sentences, not tracebacks.

Here and in the modules ``cli_…`` stand names, options and help. What does a command's work is
imported by the command when it runs: ``daobo keys list`` does not wait for a web server's modules.
"""

from __future__ import annotations

import errno
import os
import sys

import typer

from .cli_budgets import budgets_app
from .cli_check import check, plugins, schema
from .cli_keys import keys_app
from .cli_prices import prices
from .cli_quote import quote
from .cli_reports import export, ledger_app, report
from .cli_serve import serve
from .cli_split import split
from .errors import ConfigError

app = typer.Typer(
    name="daobo",
    help="Daobo (导播): a model-router gateway for studios that make AI short dramas.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (serve, check, prices, quote, split, report, export, plugins, schema):
    app.command()(command)
app.add_typer(keys_app, name="keys")
app.add_typer(budgets_app, name="budgets")
app.add_typer(ledger_app, name="ledger")


FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def main() -> None:
    """Entry point: every expected failure ends in sentences and exit code 1."""
    try:
        app()
    except ConfigError as error:
        for problem in error.problems:
            print(f"daobo: {problem}", file=sys.stderr)
        _drop_unwritten_output()
        sys.exit(1)
    except OSError as error:
        if error.errno not in FULL:
            raise
        print(f"daobo: the output cannot be written: {error.strerror}", file=sys.stderr)
        _drop_unwritten_output()
        sys.exit(1)


def _drop_unwritten_output() -> None:
    """What a full disk has refused once would be tried again at the end, and end in a traceback."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
