"""Which price applies to which target."""

from datetime import date, datetime
from textwrap import dedent
from zoneinfo import ZoneInfo

import pytest

from gateway.config_prices import TokenPriceConfig
from gateway.errors import ConfigError
from gateway.money.genai import GenaiRef, compile_model
from gateway.money.prices import PriceBook, default_price_dir
from gateway.money.tables import Tables
from gateway.schema import Target, Usage

NIGHT_S = datetime(2026, 11, 23, tzinfo=ZoneInfo("Asia/Shanghai")).timestamp()  # a Monday


def target(provider: str, model: str, public_model: str = "public", **fields) -> Target:
    return Target(provider, model, public_model, **fields)


def nano_of_input(price) -> int:
    return price.cost(Usage(input_tokens=1), NIGHT_S).nano


@pytest.fixture
def price_dir(tmp_path):
    (tmp_path / "studio.yaml").write_text(
        dedent("""
        family: studio
        aliases: [mine]
        api_hosts: [api.studio.example, "*.eu.studio.example"]
        otherwise: house
        currency: CNY
        source: https://studio.example/prices
        checked: 2026-11-22
        prices:
          - {models: ["draft-*"], input_per_mtok: "1", output_per_mtok: "2"}
          - {models: [Draft-Pro], currency: USD, input_per_mtok: "3", output_per_mtok: "4"}
          - {models: [gratis], free: true}
        """)
    )
    (tmp_path / "house.yaml").write_text(
        dedent("""
        family: house
        currency: EUR
        source: https://house.example
        checked: 2026-01-01
        prices:
          - {models: [extra], input_per_mtok: "5", output_per_mtok: "6"}
        """)
    )
    return tmp_path


@pytest.fixture
def book(price_dir):
    return PriceBook.load(price_dir)


def test_a_model_is_priced_by_the_table_of_its_provider(book):
    price = book.price(target("studio", "draft-1"))
    assert (price.currency, nano_of_input(price)) == ("CNY", 1000)


def test_an_exact_name_goes_before_a_pattern_and_case_does_not_matter(book):
    price = book.price(target("studio", "draft-pro"))
    assert (price.currency, nano_of_input(price)) == ("USD", 3000)


def test_a_price_names_its_source_and_date(book):
    assert book.price(target("mine", "draft-1")).source == (
        "https://studio.example/prices (2026-11-22)"
    )


@pytest.mark.parametrize("host", ["api.studio.example", "a.b.eu.studio.example"])
def test_the_host_decides_whatever_the_provider_is_called(price_dir, host):
    book = PriceBook.load(price_dir, base_urls={"openai": f"https://{host}:8443/v1"})
    assert nano_of_input(book.price(target("openai", "draft-1"))) == 1000


def test_an_unknown_host_leaves_the_name(price_dir):
    book = PriceBook.load(price_dir, base_urls={"studio": "http://127.0.0.1:8000"})
    assert nano_of_input(book.price(target("studio", "draft-1"))) == 1000


def test_a_table_may_lead_on_to_another(book):
    assert book.price(target("studio", "extra")).currency == "EUR"


def test_what_no_table_lists_is_asked_of_the_package(book):
    price = book.price(target("openai", "gpt-4.1"))
    assert (price.currency, nano_of_input(price)) == ("USD", 2000)


def test_an_unknown_price_is_none_and_stays_none(book):
    unknown = target("studio", "nothing-of-the-kind")
    assert book.price(unknown) is None
    assert book.price(unknown) is None


def test_a_free_model_has_a_price_of_nothing(book):
    price = book.price(target("studio", "gratis"))
    assert price.free
    assert nano_of_input(price) == 0


INLINE = TokenPriceConfig(currency="USD", input_per_mtok="7", output_per_mtok="8")


@pytest.mark.parametrize("name", ["public", "studio/draft-1"])
def test_the_configuration_goes_before_every_list(price_dir, name):
    book = PriceBook.load(price_dir, overrides={name: INLINE})
    assert nano_of_input(book.price(target("studio", "draft-1"))) == 7000


def test_a_price_for_one_target_goes_before_one_for_the_public_model(price_dir):
    other = TokenPriceConfig(input_per_mtok="9", output_per_mtok="9")
    book = PriceBook.load(price_dir, overrides={"public": INLINE, "studio/draft-1": other})
    assert nano_of_input(book.price(target("studio", "draft-1"))) == 9000
    assert nano_of_input(book.price(target("studio", "draft-2"))) == 7000


@pytest.mark.parametrize(("reference", "nano"), [("house/extra", 5000), ("openai/gpt-4.1", 2000)])
def test_the_configuration_may_refer_to_another_models_price(price_dir, reference, nano):
    book = PriceBook.load(price_dir, overrides={"public": reference})
    assert nano_of_input(book.price(target("studio", "draft-1"))) == nano


@pytest.mark.parametrize("reference", ["", "deepseek", "/x", "x/"])
def test_a_reference_without_family_or_model_is_refused(price_dir, reference):
    with pytest.raises(ConfigError, match="family/model"):
        PriceBook.load(price_dir, overrides={"public": reference})


def test_models_without_a_price_are_listed(book):
    known, unknown = target("studio", "draft-1"), target("studio", "unknown")
    rehearsal = target("studio", "unknown", rehearsal=True)
    assert book.missing([known, unknown, rehearsal]) == [unknown]


def test_a_snapshot_settles_what_the_package_is_needed_for(book, tmp_path):
    gpt = target("openai", "gpt-4.1")
    report = book.snapshot([gpt, target("studio", "draft-1")], tmp_path / "prices.json")
    assert (report.origin, report.models) == ("compiled", 1)
    assert nano_of_input(book.price(gpt)) == 2000


def test_a_rehearsal_is_priced_only_if_the_configuration_does_it(price_dir):
    rehearsal = target("openai", "gpt-4.1", rehearsal=True)
    assert PriceBook.load(price_dir).price(rehearsal) is None
    priced = PriceBook.load(price_dir, overrides={"public": "openai/gpt-4.1"})
    assert nano_of_input(priced.price(rehearsal)) == 2000


def test_a_snapshot_of_rehearsals_has_nothing_to_do(book):
    assert book.snapshot([target("x", "x", rehearsal=True)]).origin == "nothing to do"


def test_a_snapshot_of_listed_models_has_nothing_to_do(book):
    assert book.snapshot([target("studio", "draft-1")]).origin == "nothing to do"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "while parsing"),
        ("[]", "dictionary"),
        ("family: x", "currency"),
        (
            "{family: x, currency: USD, source: s, checked: 2026-11-22, "
            "prices: [{models: [m], input_per_mtok: 0.1, output_per_mtok: '1'}]}",
            "quoted string",
        ),
        (
            "{family: studio, currency: USD, source: s, checked: 2026-11-22, prices: []}",
            "second price table for 'studio'",
        ),
        (
            "{family: x, otherwise: studio, currency: USD, source: s, checked: 2026-11-22, "
            "prices: []}",
            "leads on",
        ),
    ],
)
def test_a_table_that_is_wrong_stops_the_start_and_says_where(price_dir, text, complaint):
    (price_dir / "x.yaml").write_text(text)
    with pytest.raises(ConfigError, match=complaint):
        PriceBook.load(price_dir)


def test_all_tables_that_are_wrong_are_named_at_once(tmp_path):
    (tmp_path / "a.yaml").write_text("{")
    (tmp_path / "b.yaml").write_text("[]")
    with pytest.raises(ConfigError) as error:
        PriceBook.load(tmp_path)
    assert [name in str(error.value) for name in ("a.yaml", "b.yaml")] == [True, True]


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="does not exist"):
        PriceBook.load(tmp_path / "nowhere")


# The tables that come with the gateway.

SHIPPED = Tables.load(default_price_dir())


def test_every_shipped_table_has_a_source_and_a_date():
    for table in SHIPPED.by_family.values():
        for rule in table.prices:
            assert rule.source.startswith("https://"), (table.family, rule.models)
            assert date(2026, 1, 1) <= rule.checked <= date.today()


def test_no_shipped_table_prices_a_model_twice():
    for table in SHIPPED.by_family.values():
        names = [name.casefold() for rule in table.prices for name in rule.models]
        assert len(names) == len(set(names)), table.family


def test_no_name_or_host_belongs_to_two_shipped_tables():
    names = [n for t in SHIPPED.by_family.values() for n in (t.family, *t.aliases, *t.api_hosts)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("family", "model"),
    [
        ("deepseek", "deepseek-flash"),
        ("deepseek-usd", "deepseek-v4-pro"),
        ("ark", "doubao-seed-2-1-pro-260915"),
        ("dashscope", "qwen3.8-max"),
        ("dashscope", "qwen3-max"),
        ("tencent", "deepseek-v4.1-flash"),
        ("siliconflow", "deepseek-ai/DeepSeek-V3.1"),
        ("moonshot-cn", "kimi-k3"),
        ("minimax-cn", "MiniMax-M2.7"),
        ("zhipu", "glm-5.3"),
    ],
)
def test_a_cached_token_never_costs_more_than_a_fresh_one(family, model):
    price = SHIPPED.price(family, model)
    fresh = price.cost(Usage(input_tokens=1_000_000), NIGHT_S)
    assert price.cost(Usage(cache_read_tokens=1_000_000), NIGHT_S) <= fresh
    assert fresh < price.cost(Usage(output_tokens=1_000_000), NIGHT_S)


def test_deepseek_costs_half_at_night_in_yuan_as_in_dollars():
    usage = Usage(input_tokens=1_000, cache_read_tokens=9_000, output_tokens=500)
    noon_s = NIGHT_S + 11 * 3600
    for family in ("deepseek", "deepseek-usd"):
        price = SHIPPED.price(family, "deepseek-flash")
        night, peak = price.cost(usage, NIGHT_S).nano, price.cost(usage, noon_s).nano
        assert peak == 2 * night
    # 1000 x 2 + 9000 x 0.04 + 500 x 8 = 6360 yuan for a million such calls at peak.
    yuan = SHIPPED.price("deepseek", "deepseek-flash").cost(usage, noon_s)
    assert (str(yuan), yuan.currency) == ("0.006360000", "CNY")


def test_the_package_agrees_with_our_dollar_table_for_deepseek_on_a_working_day():
    ours = SHIPPED.price("deepseek-usd", "deepseek-flash")
    package = compile_model(GenaiRef("deepseek", "deepseek-flash"))
    usage = Usage(input_tokens=123_457, cache_read_tokens=1_003, output_tokens=77)
    for hour in range(24):
        moment_s = NIGHT_S + hour * 3600
        assert package.cost(usage, moment_s) == ours.cost(usage, moment_s)
