"""Our integers against the package's own arithmetic, and the cache of them."""

import subprocess
import sys
from datetime import UTC, datetime
from decimal import ROUND_CEILING, Decimal

import genai_prices
import pytest
from genai_prices.data_snapshot import get_snapshot
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.money.genai import GenaiRef, compile_model
from gateway.money.price_cache import load_or_compile
from gateway.schema import TOKEN_CLASSES, Usage

PROVIDERS = ("openai", "anthropic", "google", "deepseek", "moonshotai", "minimax", "zhipuai", "zai")
LISTED = [
    (provider.id, model.id)
    for provider in get_snapshot().providers
    if provider.id in PROVIDERS
    for model in provider.models
]
PRICES = {ref: price for ref in LISTED if (price := compile_model(GenaiRef(*ref)))}
FLASH = GenaiRef("google", "gemini-2.5-flash")

counts = st.one_of(st.just(0), st.integers(0, 300), st.integers(0, 600_000))
usages = st.builds(Usage, **dict.fromkeys(TOKEN_CLASSES, counts))
moments = st.datetimes(datetime(2024, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC))


def as_theirs(usage: Usage) -> genai_prices.Usage:
    """The package's totals include their details; cached tokens are text."""
    return genai_prices.Usage(
        input_tokens=usage.total_input_tokens,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens + usage.cache_write_1h_tokens,
        cache_write_1h_tokens=usage.cache_write_1h_tokens,
        input_image_tokens=usage.image_input_tokens,
        input_audio_tokens=usage.audio_input_tokens,
        cache_audio_read_tokens=0,
        cache_image_read_tokens=0,
        output_tokens=usage.total_output_tokens,
        output_reasoning_tokens=usage.reasoning_tokens,
        output_image_tokens=usage.image_output_tokens,
        output_audio_tokens=usage.audio_output_tokens,
    )


def theirs_nano(ref: tuple[str, str], usage: Usage, moment: datetime) -> int:
    provider, model = ref
    calculation = genai_prices.calc_price(
        as_theirs(usage), model, provider_id=provider, genai_request_timestamp=moment
    )
    return int((calculation.total_price * 10**9).to_integral_value(ROUND_CEILING))


def bills_output(ref: tuple[str, str]) -> bool:
    calculation = genai_prices.calc_price(
        genai_prices.Usage(), ref[1], provider_id=ref[0], genai_request_timestamp=datetime.now(UTC)
    )
    return calculation.model_price.output_mtok is not None


CHAT = sorted(ref for ref in PRICES if bills_output(ref))


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(CHAT), usages, moments)
def test_our_cost_is_the_packages_cost_with_each_line_rounded_up(ref, usage, moment):
    theirs = theirs_nano(ref, usage, moment)
    lines = len(usage.classes())
    assert theirs <= PRICES[ref].cost(usage, moment.timestamp()).nano <= theirs + lines


@pytest.mark.parametrize("provider", PROVIDERS)
def test_every_provider_that_matters_is_covered(provider):
    listed = [ref for ref in CHAT if ref[0] == provider]
    assert len(listed) >= 7


def test_the_tier_starts_one_token_above_its_limit():
    # gpt-5.5: 5 dollars a million up to 272 000 tokens of input, 10 above.
    price = compile_model(GenaiRef("openai", "gpt-5.5"))
    assert price.cost(Usage(input_tokens=272_000), 0).nano == 272_000 * 5000
    assert price.cost(Usage(input_tokens=272_001), 0).nano == 272_001 * 10_000


@pytest.mark.parametrize(
    ("moment", "nano"),
    # gpt-5.6-luna went from 1 dollar to 0.2 on 2026-07-30 (UTC).
    [("2026-07-29T23:59:59+00:00", 1000), ("2026-07-30T00:00:00+00:00", 200)],
)
def test_a_call_costs_what_was_asked_on_its_day(moment, nano):
    price = compile_model(GenaiRef("openai", "gpt-5.6-luna"))
    at_s = datetime.fromisoformat(moment).timestamp()
    assert price.cost(Usage(input_tokens=1), at_s).nano == nano


def test_an_embedding_model_bills_its_input():
    price = compile_model(GenaiRef("openai", "text-embedding-3-small"))
    assert price.cost(Usage(input_tokens=1_000_000), 0).nano == Decimal("0.02") * 10**9


def test_a_host_tells_the_provider_better_than_a_name():
    price = compile_model(GenaiRef("mine", "glm-5.3", "https://api.z.ai/api/paas/v4"))
    assert "zai/GLM-5.3" in price.source


def test_a_host_that_nobody_knows_leaves_the_name():
    price = compile_model(GenaiRef("openai", "gpt-4.1", "http://127.0.0.1:9"))
    assert "openai/gpt-4.1" in price.source


@pytest.mark.parametrize(
    "ref",
    [
        GenaiRef("nobody", "gpt-4.1"),
        GenaiRef("openai", "no-such-model"),
        GenaiRef("google", "gemma-3"),  # listed at 0, which no one has called free
        GenaiRef("openai", "whisper-1"),  # by the hour
        GenaiRef("perplexity", "sonar"),  # by the request, besides tokens
    ],
)
def test_what_tokens_alone_do_not_price_has_no_price(ref):
    assert compile_model(ref) is None


def test_the_cache_gives_back_what_was_compiled(tmp_path):
    path = tmp_path / "state" / "prices.json"
    refs = [FLASH, GenaiRef("deepseek", "deepseek-v4-pro"), GenaiRef("nobody", "x")]
    compiled, first = load_or_compile(refs, path)
    cached, second = load_or_compile(reversed(refs), path)
    assert (first.origin, second.origin, second.models) == ("compiled", "cache", 3)
    assert cached == compiled == {ref: compile_model(ref) for ref in refs}


def test_other_models_make_another_cache(tmp_path):
    path = tmp_path / "prices.json"
    load_or_compile([FLASH], path)
    assert load_or_compile([FLASH, GenaiRef("openai", "gpt-4.1")], path)[1].origin == "compiled"


def test_a_cache_of_another_version_of_the_package_is_not_used(tmp_path):
    path = tmp_path / "prices.json"
    load_or_compile([FLASH], path)
    version = genai_prices.__version__
    path.write_text(path.read_text().replace(f'"{version}"', '"0.0.1"', 1))
    assert load_or_compile([FLASH], path)[1].origin == "compiled"


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[: len(text) // 2],
        lambda text: "\x00" * 10,
        lambda text: text.replace("300000000", "3e8"),
        lambda text: text.replace("300000000", "-300000000"),
        lambda text: text.replace("300000000,", ""),
        lambda text: text.replace('"currency"', '"coin"'),
    ],
    ids=["empty", "cut", "zeros", "float", "negative", "too few", "renamed"],
)
def test_a_damaged_cache_is_reported_and_made_anew(tmp_path, damage):
    path = tmp_path / "prices.json"
    load_or_compile([FLASH], path)
    whole = path.read_text()
    path.write_text(damage(whole))
    prices, report = load_or_compile([FLASH], path)
    assert prices == {FLASH: compile_model(FLASH)}
    assert report.origin == "compiled"
    assert "was ignored" in report.problem
    assert path.read_text() == whole


def test_a_cache_that_cannot_be_written_is_reported_only(tmp_path):
    (tmp_path / "file").write_text("in the way")
    prices, report = load_or_compile([FLASH], tmp_path / "file" / "prices.json")
    assert prices[FLASH] is not None
    assert "price cache" in report.problem


def test_no_half_written_file_stays_behind(tmp_path):
    load_or_compile([FLASH], tmp_path / "prices.json")
    assert [path.name for path in tmp_path.iterdir()] == ["prices.json"]


def test_a_cache_that_fits_spares_the_import(tmp_path):
    path = tmp_path / "prices.json"
    load_or_compile([FLASH], path)
    script = (
        "import sys; from pathlib import Path\n"
        "from gateway.money.prices import PriceBook; from gateway.schema import Target\n"
        "book = PriceBook.load(); target = Target('google', 'gemini-2.5-flash', 'flash')\n"
        "book.snapshot([target], Path(sys.argv[1])); assert book.price(target)\n"
        "print('genai_prices' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"
