"""What several commands have in common: options, formats, a gateway that serves nobody."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .errors import CallError, ConfigError

if TYPE_CHECKING:
    from rich.console import Console

    from .app import Gateway
    from .config import LoadedConfig

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


def printer(stderr: bool = False) -> Console:
    """Prints text and tables, as wide as the terminal."""
    from rich.console import Console

    return Console(highlight=False, stderr=stderr)


def silent_gateway(config: Path | None, state: Path) -> Gateway:
    """The gateway of this configuration, for commands that answer no calls. Raises ConfigError."""
    from .app import Gateway, Options
    from .config_file import default_config_path
    from .telemetry.logs import CallLog

    return Gateway(Options(config or default_config_path(), state), CallLog(_nowhere))


def checked_config(config: Path | None) -> LoadedConfig:
    """The configuration alone, for commands that neither route nor price. Raises ConfigError."""
    from .config_file import default_config_path, disabled_plugins, load_config
    from .plugins import discover
    from .routing import strategies

    path = config or default_config_path()
    registry = discover(disabled_plugins(path), core=[("core", strategies)])
    types = {name: settings for name, (settings, _) in registry.providers.items()}
    return load_config(path, types, frozenset(registry.strategies), os.environ)


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
    from .stores.connections import StoreUnavailable

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
