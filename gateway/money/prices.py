"""The price book: one question, what do a million tokens of this target cost, and three sources.

In order: the price that the configuration gives the model, the tables of ``config/prices/``, and
the ``genai-prices`` package. A price that nobody knows is None, never 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from gateway.config_prices import TokenPriceConfig
from gateway.errors import ConfigError
from gateway.schema import Target

from .genai import GenaiRef, compile_model
from .price_cache import Snapshot, load_or_compile
from .tables import Tables, compile_price
from .token_price import TokenPrice

__all__ = ["PriceBook", "TokenPrice", "TokenPriceConfig", "default_price_dir"]


def default_price_dir() -> Path:
    """The tables that come with the gateway, in an installed wheel as in a checkout.

    Raises ConfigError if there are none.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "_config" / "prices", package.parent / "config" / "prices"):
        if folder.is_dir():
            return folder
    raise ConfigError("the price tables that come with the gateway are missing: install it anew")


class PriceBook:
    """Prices of targets, compiled at first sight and kept."""

    def __init__(
        self,
        tables: Tables,
        inline: Mapping[str, TokenPrice],
        references: Mapping[str, str],
        base_urls: Mapping[str, str],
    ) -> None:
        self._tables = tables
        self._inline = inline
        self._references = references
        self._base_urls = base_urls
        self._genai: dict[GenaiRef, TokenPrice | None] = {}
        self._known: dict[tuple[str, str, str, bool, str | None], TokenPrice | None] = {}

    @classmethod
    def load(
        cls,
        price_dir: Path | None = None,
        overrides: Mapping[str, TokenPriceConfig | str] | None = None,
        base_urls: Mapping[str, str] | None = None,
    ) -> PriceBook:
        """Reads the tables of ``price_dir``, or those that come with the gateway.

        ``overrides`` are the configuration's prices, by target (``provider/model``) or by public
        model: a price, or ``family/model`` to take that model's price. ``base_urls`` say where
        the configured providers are, since the host decides whose list applies. Raises
        ConfigError.
        """
        folder = price_dir or default_price_dir()
        if not folder.is_dir():
            raise ConfigError(f"the folder for price tables {folder} does not exist")
        inline: dict[str, TokenPrice] = {}
        references: dict[str, str] = {}
        for name, price in (overrides or {}).items():
            if isinstance(price, str):
                _split(price, f"the price of {name!r}")
                references[name] = price
            else:
                inline[name] = compile_price(price)
        return cls(Tables.load(folder), inline, references, base_urls or {})

    def price(self, target: Target, price_ref: str | None = None) -> TokenPrice | None:
        """What the target costs; None if nobody says.

        ``price_ref`` (``family/model``) asks for another model's price in its place. The first
        question about a target that ``snapshot`` was not given may import ``genai-prices``.
        """
        key = (target.provider, target.model, target.public_model, target.rehearsal, price_ref)
        try:
            return self._known[key]
        except KeyError:
            found = self._known[key] = self._find(target, price_ref)
            return found

    def missing(self, targets: Iterable[Target]) -> list[Target]:
        """The targets that would be billed and have no price; rehearsals bill nothing."""
        return [t for t in targets if not t.rehearsal and self.price(t) is None]

    def snapshot(self, targets: Iterable[Target], cache_path: Path | None = None) -> Snapshot:
        """Settles at start-up what ``genai-prices`` says of all ``targets``.

        With a ``cache_path`` that fits, the package is not even imported.
        """
        sources = [self._source(target, None) for target in targets]
        refs = [source for source in sources if isinstance(source, GenaiRef)]
        prices, report = load_or_compile(refs, cache_path)
        self._genai.update(prices)
        return report

    def _find(self, target: Target, price_ref: str | None) -> TokenPrice | None:
        source = self._source(target, price_ref)
        if not isinstance(source, GenaiRef):
            return source
        if source not in self._genai:
            self._genai[source] = compile_model(source)
        return self._genai[source]

    def _source(self, target: Target, price_ref: str | None) -> TokenPrice | GenaiRef | None:
        """The price, or what to ask ``genai-prices`` for. No list prices a rehearsal."""
        if price_ref is None:
            for name in (target.name, target.public_model):
                if name in self._inline:
                    return self._inline[name]
                if name in self._references:
                    price_ref = self._references[name]
                    break
        if price_ref is not None:
            family, model = _split(price_ref, "a price")
            return self._tables.price(family, model) or GenaiRef(family, model)
        if target.rehearsal:
            return None
        base_url = self._base_urls.get(target.provider)
        listed = self._tables.price(self._tables.family_of(target.provider, base_url), target.model)
        return listed or GenaiRef(target.provider, target.model, base_url)


def _split(price_ref: str, what: str) -> tuple[str, str]:
    family, slash, model = price_ref.partition("/")
    if not (family and slash and model):
        raise ConfigError(f"{what} refers to {price_ref!r}, which is not of the form family/model")
    return family, model
