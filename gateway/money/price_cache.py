"""What ``genai-prices`` said of the configured models, kept in the state folder as JSON.

Importing and asking the package takes a tenth of a second; reading this file takes milliseconds.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter

from gateway.schema import TOKEN_CLASSES

from .genai import GenaiRef, compile_model
from .token_price import TokenPrice


@dataclass(frozen=True, slots=True)
class CachedPrices:
    """The file in the state folder. It serves as long as its first three fields still hold."""

    genai_prices_version: str
    token_classes: tuple[str, ...]
    refs: tuple[GenaiRef, ...]
    prices: tuple[TokenPrice | None, ...]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """How a set of prices was come by, worth a line in the log."""

    origin: Literal["nothing to do", "cache", "compiled"]
    models: int
    problem: str | None = None
    """A cache file that could not be read or written; the prices are right all the same."""


def load_or_compile(
    refs: Iterable[GenaiRef], cache_path: Path | None
) -> tuple[dict[GenaiRef, TokenPrice | None], Snapshot]:
    """The prices of all ``refs``, from the cache file if it fits, else compiled and written to it.

    A cache file that is damaged or cannot be written is reported, never raised.
    """
    wanted = tuple(sorted(set(refs), key=lambda ref: (ref.provider, ref.model, ref.base_url or "")))
    if not wanted:
        return {}, Snapshot("nothing to do", 0)
    cached, problem = _read(cache_path) if cache_path else (None, None)
    expected = (version("genai-prices"), TOKEN_CLASSES, wanted)
    if cached and expected == (cached.genai_prices_version, cached.token_classes, cached.refs):
        return dict(zip(wanted, cached.prices, strict=True)), Snapshot("cache", len(wanted))
    prices = tuple(compile_model(ref) for ref in wanted)
    if cache_path:
        problem = _write(cache_path, CachedPrices(*expected, prices)) or problem
    return dict(zip(wanted, prices, strict=True)), Snapshot("compiled", len(wanted), problem)


def _read(path: Path) -> tuple[CachedPrices | None, str | None]:
    try:
        cached = TypeAdapter(CachedPrices).validate_json(path.read_bytes(), strict=True)
    except FileNotFoundError:
        return None, None
    except (OSError, ValueError) as error:
        return None, f"the price cache {path} was ignored: {' '.join(str(error).split())}"
    if len(cached.prices) != len(cached.refs):
        return None, f"the price cache {path} was ignored: it is not complete"
    return cached, None


def _write(path: Path, cached: CachedPrices) -> str | None:
    """Whole or not at all: a reader never sees half a file."""
    data = TypeAdapter(CachedPrices).dump_json(cached)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, path)
        finally:
            Path(name).unlink(missing_ok=True)
    except OSError as error:
        return f"the price cache {path} was not written: {error}"
    return None
