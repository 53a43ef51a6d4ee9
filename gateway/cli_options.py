"""What several commands have in common: options, formats, a gateway that serves nobody."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from .app import Gateway, Options
from .config_file import default_config_path
from .errors import CallError, ConfigError
from .stores.connections import StoreUnavailable
from .telemetry.logs import CallLog

Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        envvar="DAOBO_CONFIG",
        help="The configuration file; default: the one that comes with the gateway.",
    ),
]
State = Annotated[
    Path, typer.Option("--state", envvar="DAOBO_STATE", help="Folder for keys and other state.")
]
DEFAULT_STATE = Path(".state")


def silent_gateway(config: Path | None, state: Path) -> Gateway:
    """The gateway of this configuration, for commands that answer no calls. Raises ConfigError."""
    return Gateway(Options(config or default_config_path(), state), CallLog(_nowhere))


def bytes_of(file: str) -> bytes:
    """A file that a command is given; ``-`` is the standard input. Raises ConfigError."""
    if file == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from None


def _nowhere(line: bytes) -> None:
    """Nobody calls, so there is nothing to log."""


@contextmanager
def sentences() -> Iterator[None]:
    """Whatever was written wrongly or cannot be done, as the command reports it."""
    try:
        yield
    except CallError as error:
        raise ConfigError(error.message) from None
    except StoreUnavailable as error:
        raise ConfigError(f"the ledger's database cannot be used: {error}") from None
    except BrokenPipeError:
        raise  # who read the output has seen enough
    except OSError as error:
        raise ConfigError(f"the file cannot be written: {error}") from None
    except ValueError as error:
        raise ConfigError(str(error)) from None
