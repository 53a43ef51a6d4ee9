"""The media prices that come with the gateway, and which of them applies to which target."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from gateway.config_media_prices import MediaPriceConfig
from gateway.config_price_tables import MediaPriceRule
from gateway.config_prices import TokenPriceConfig
from gateway.money.media_price import MediaPrice
from gateway.money.media_work import MediaWork
from gateway.money.prices import PriceBook, default_price_dir
from gateway.money.tables import Tables, compile_media_price
from gateway.price_report import sample_work
from gateway.schema import Capability, Target

SHIPPED = Tables.load(default_price_dir())
RULES = [
    pytest.param(rule, id=f"{table.family}/{rule.models[0]}")
    for table in SHIPPED.by_family.values()
    for rule in table.media
]
AT_S = 1_795_000_000
ONE_IMAGE = MediaWork(images=1)


@pytest.mark.parametrize("rule", RULES)
def test_every_media_price_has_a_source_and_a_date_and_prices_a_typical_job(
    rule: MediaPriceRule,
) -> None:
    assert rule.source.startswith("https://")
    assert rule.checked is not None
    assert date(2026, 1, 1) <= rule.checked <= date.today()
    price = compile_media_price(rule)
    assert price.lines(sample_work(price)[1], AT_S)


@pytest.mark.parametrize("rule", RULES)
def test_no_rule_is_hidden_by_one_before_it(rule: MediaPriceRule) -> None:
    """A rule that is reached by no work is a mistake in the table."""
    price = compile_media_price(rule)
    for number, late in enumerate(price.rules):
        chosen = {name: values[0] for name, values in late.wanted}
        selection = MediaWork(**chosen).selection()  # type: ignore[arg-type]
        length_ms = late.up_to_ms or 0
        earlier = [early for early in price.rules[:number] if early.meter == late.meter]
        assert not [str(early) for early in earlier if early.fits(selection, length_ms, AT_S)]


def test_no_shipped_table_prices_the_media_of_a_model_twice() -> None:
    for table in SHIPPED.by_family.values():
        names = [name.casefold() for rule in table.media for name in rule.models]
        assert len(names) == len(set(names)), table.family


# Which price applies


@pytest.fixture
def price_dir(tmp_path: Path) -> Path:
    (tmp_path / "studio.yaml").write_text(
        """
        family: studio
        api_hosts: [api.studio.example]
        otherwise: house
        currency: CNY
        source: https://studio.example/prices
        checked: 2026-11-22
        prices:
          - {models: [both], input_per_mtok: "1", output_per_mtok: "2"}
        media:
          - {models: [both], rules: [{per: image, price: "3"}]}
          - {models: ["paint-*"], rules: [{per: image, price: "4"}]}
        """
    )
    (tmp_path / "house.yaml").write_text(
        """
        family: house
        currency: USD
        source: https://house.example
        checked: 2026-11-22
        media:
          - {models: [other], rules: [{per: image, price: "5"}]}
        """
    )
    return tmp_path


def target(name: str, *capabilities: Capability, rehearsal: bool = False) -> Target:
    provider, _, model = name.partition("/")
    can = frozenset(capabilities or (Capability.IMAGE,))
    return Target(provider, model, "public", capabilities=can, rehearsal=rehearsal)


def yuan(price: MediaPrice | None) -> int:
    assert price is not None
    return price.cost(ONE_IMAGE, AT_S).nano // 10**9


@pytest.mark.parametrize(
    ("name", "amount"), [("studio/both", 3), ("studio/paint-1", 4), ("studio/other", 5)]
)
def test_media_are_priced_by_the_table_of_the_provider(
    price_dir: Path, name: str, amount: int
) -> None:
    assert yuan(PriceBook.load(price_dir).media_price(target(name))) == amount


def test_a_model_may_have_both_kinds_of_price(price_dir: Path) -> None:
    book = PriceBook.load(price_dir)
    assert book.price(target("studio/both")) is not None
    assert book.media_price(target("studio/both")) is not None


def test_the_configuration_goes_before_the_tables_for_both_kinds(price_dir: Path) -> None:
    own = MediaPriceConfig.model_validate({"rules": [{"per": "image", "price": "9"}]})
    book = PriceBook.load(price_dir, overrides={"public": own})
    assert yuan(book.media_price(target("studio/both"))) == 9
    assert book.price(target("studio/both")) is None


def test_a_reference_leads_to_the_media_price_of_another_model(price_dir: Path) -> None:
    book = PriceBook.load(price_dir, overrides={"public": "house/other"})
    assert yuan(book.media_price(target("relay/whatever"))) == 5


def test_free_is_free_whatever_is_made(price_dir: Path) -> None:
    book = PriceBook.load(price_dir, overrides={"public": TokenPriceConfig(free=True)})
    price = book.media_price(target("studio/both"))
    assert price is not None
    assert price.free


def test_a_token_price_of_the_configuration_prices_no_media(price_dir: Path) -> None:
    own = TokenPriceConfig.model_validate({"input_per_mtok": "1", "output_per_mtok": "1"})
    book = PriceBook.load(price_dir, overrides={"public": own})
    assert book.media_price(target("studio/both")) is None


def test_a_rehearsal_has_no_list_price(price_dir: Path) -> None:
    book = PriceBook.load(price_dir)
    assert book.media_price(target("studio/both", rehearsal=True)) is None


@pytest.mark.parametrize(
    ("name", "capability", "is_missing"),
    [
        ("studio/paint-1", Capability.IMAGE, False),
        ("studio/paint-1", Capability.CHAT, True),
        ("studio/unknown", Capability.VIDEO, True),
        ("openai/gpt-image-2", Capability.IMAGE, False),
    ],
)
def test_a_target_needs_the_kind_of_price_that_its_work_is_billed_by(
    price_dir: Path, name: str, capability: Capability, is_missing: bool
) -> None:
    asked = target(name, capability)
    assert PriceBook.load(price_dir).missing([asked]) == ([asked] if is_missing else [])
