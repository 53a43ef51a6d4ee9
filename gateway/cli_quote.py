"""The command ``daobo quote``: what a file of requests will cost, before a cent is spent."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated

import typer

from .cli_options import DEFAULT_STATE, Config, State, bytes_of, printer, silent_gateway
from .errors import CallError, ConfigError


class Format(StrEnum):
    TABLE = "table"
    JSON = "json"


def quote(
    file: Annotated[
        str,
        typer.Argument(
            help="JSON or JSON Lines: a request's body, a list of them, {requests: [...]}, or an "
            "OpenAI batch file; - reads the standard input.",
        ),
    ],
    config: Config = None,
    state: State = DEFAULT_STATE,
    shape: Annotated[Format, typer.Option("--format")] = Format.TABLE,
) -> None:
    """Say what requests will cost at least, likely and at most. Asks nobody, sends nothing."""
    import orjson

    from .quote_file import quote_document, read_document
    from .quote_table import show
    from .server.quote_answer import quote_object

    gateway = silent_gateway(config, state)
    try:
        quoted = quote_document(gateway.rooms, read_document(bytes_of(file)))
    except CallError as error:
        raise ConfigError(f"{file}: {error.message}") from None
    if shape is Format.JSON:
        text = orjson.dumps(quote_object(quoted), option=orjson.OPT_INDENT_2)
        sys.stdout.buffer.write(text + b"\n")
    else:
        show(printer(), quoted)
