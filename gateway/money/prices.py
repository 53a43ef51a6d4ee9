"""The price book: what do tokens of this target cost, and what the media that it makes?

Three sources, in order: the price that the configuration gives the model, the tables of
``config/prices/``, and, for tokens, the ``genai-prices`` package. A price that nobody knows is
None, never 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from gateway.config_file import bundled_config_dir
from gateway.config_media_prices import AnyPrice, MediaPriceConfig
from gateway.config_prices import TokenPriceConfig
from gateway.errors import ConfigError
from gateway.schema import Capability, Target

from .genai import GenaiRef, compile_model
from .media_price import MediaPrice
from .price_cache import Snapshot, load_or_compile
from .tables import Tables, compile_media_price, compile_price, free_media_price
from .token_price import TokenPrice

_Key = tuple[str, str, str, bool]

BY_TOKEN = frozenset({Capability.CHAT, Capability.EMBEDDINGS})
"""What only a token price can price."""


class Priced(NamedTuple):
    """What the configuration says itself: a price by token, by what is made, or both."""

    tokens: TokenPrice | None
    media: MediaPrice | None


def default_price_dir() -> Path:
    """The tables that come with the gateway."""
    return bundled_config_dir() / "prices"


class PriceBook:
    """Prices of targets, compiled at first sight and kept."""

    def __init__(
        self,
        tables: Tables,
        inline: Mapping[str, Priced],
        references: Mapping[str, tuple[str, str]],
        base_urls: Mapping[str, str],
    ) -> None:
        self._tables = tables
        self._inline = inline
        self._references = references
        self._base_urls = base_urls
        self._genai: dict[GenaiRef, TokenPrice | None] = {}
        self._known: dict[_Key, TokenPrice | None] = {}
        self._known_media: dict[_Key, MediaPrice | None] = {}

    @classmethod
    def load(
        cls,
        price_dir: Path | None = None,
        overrides: Mapping[str, AnyPrice] | None = None,
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
        inline: dict[str, Priced] = {}
        references: dict[str, tuple[str, str]] = {}
        for name, price in (overrides or {}).items():
            if isinstance(price, str):
                references[name] = _family_and_model(name, price)
            else:
                inline[name] = _compiled(price)
        return cls(Tables.load(folder), inline, references, base_urls or {})

    def price(self, target: Target) -> TokenPrice | None:
        """What the target's tokens cost; None if nobody says.

        The first question about a target that ``snapshot`` was not given may import
        ``genai-prices``.
        """
        key = _key(target)
        try:
            return self._known[key]
        except KeyError:
            found = self._known[key] = self._find(target)
            return found

    def media_price(self, target: Target) -> MediaPrice | None:
        """What the images, video or speech of the target cost; None if nobody says."""
        key = _key(target)
        try:
            return self._known_media[key]
        except KeyError:
            found = self._known_media[key] = self._find_media(target)
            return found

    def listed(self) -> Iterator[tuple[str, str]]:
        """Family and model of everything that the tables name; patterns are left out."""
        for family, table in self._tables.by_family.items():
            by_token = [model for rule in table.prices for model in rule.models]
            by_what_is_made = [model for rule in table.media for model in rule.models]
            names = dict.fromkeys([*by_token, *by_what_is_made])
            yield from ((family, model) for model in names if "*" not in model)

    def missing(self, targets: Iterable[Target]) -> list[Target]:
        """The targets that would be billed and have no price; rehearsals bill nothing."""
        return [target for target in targets if not target.rehearsal and self._unpriced(target)]

    def _unpriced(self, target: Target) -> bool:
        by_token = bool(target.capabilities & BY_TOKEN)
        return self.price(target) is None and (by_token or self.media_price(target) is None)

    def snapshot(self, targets: Iterable[Target], cache_path: Path | None = None) -> Snapshot:
        """Settles at start-up what ``genai-prices`` says of all ``targets``.

        With a ``cache_path`` that fits, the package is not even imported.
        """
        sources = [self._source(target) for target in targets]
        refs = [source for source in sources if isinstance(source, GenaiRef)]
        prices, report = load_or_compile(refs, cache_path)
        self._genai.update(prices)
        return report

    def _find(self, target: Target) -> TokenPrice | None:
        source = self._source(target)
        if not isinstance(source, GenaiRef):
            return source
        if source not in self._genai:
            self._genai[source] = compile_model(source)
        return self._genai[source]

    def _source(self, target: Target) -> TokenPrice | GenaiRef | None:
        """The price, or what to ask ``genai-prices`` for. No list prices a rehearsal."""
        for name in (target.name, target.public_model):
            if name in self._inline:
                return self._inline[name].tokens
            if name in self._references:
                family, model = self._references[name]
                return self._tables.price(family, model) or GenaiRef(family, model)
        if target.rehearsal:
            return None
        listed = self._tables.price(self._family(target), target.model)
        return listed or GenaiRef(
            target.provider, target.model, self._base_urls.get(target.provider)
        )

    def _find_media(self, target: Target) -> MediaPrice | None:
        for name in (target.name, target.public_model):
            if name in self._inline:
                return self._inline[name].media
            if name in self._references:
                return self._tables.media_price(*self._references[name])
        if target.rehearsal:
            return None
        return self._tables.media_price(self._family(target), target.model)

    def _family(self, target: Target) -> str | None:
        return self._tables.family_of(target.provider, self._base_urls.get(target.provider))


def _key(target: Target) -> _Key:
    return target.provider, target.model, target.public_model, target.rehearsal


def _compiled(price: TokenPriceConfig | MediaPriceConfig) -> Priced:
    if isinstance(price, MediaPriceConfig):
        return Priced(None, compile_media_price(price))
    return Priced(compile_price(price), free_media_price(price) if price.free else None)


def _family_and_model(name: str, price_ref: str) -> tuple[str, str]:
    family, _, model = price_ref.partition("/")
    if not (family and model):
        raise ConfigError(
            f"the price of {name!r} refers to {price_ref!r}, which is not of the form family/model"
        )
    return family, model
