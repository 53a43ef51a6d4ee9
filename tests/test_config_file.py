"""The configuration file: what is read, what is refused, and whether the refusal helps."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from textwrap import dedent

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, SecretStr

from gateway.config import LoadedConfig
from gateway.config_file import disabled_plugins, load_config
from gateway.config_prices import TokenPriceConfig
from gateway.contracts import ProviderSettings
from gateway.errors import ConfigError


class StudioSettings(ProviderSettings):
    """A provider type with a second secret and a mapping of its own."""

    region: str = "here"
    second_key: SecretStr | None = None
    voices: dict[str, str] = Field(default_factory=dict)


TYPES: dict[str, type[ProviderSettings]] = {"studio": StudioSettings, "plain": ProviderSettings}
STRATEGIES = frozenset({"priority", "weighted"})
GOOD = """\
providers:
  studio: {}
models:
  big:
    targets: [studio/big-1]
tasks:
  draft:
    models: [big]
"""


def load(tmp_path: Path, text: str | bytes, **environ: str) -> LoadedConfig:
    path = tmp_path / "gateway.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_config(path, TYPES, STRATEGIES, environ)


def problems_of(tmp_path: Path, text: str | bytes, **environ: str) -> list[str]:
    """What is wrong with a file, each sentence without the folder in front."""
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text, **environ)
    prefix = f"{tmp_path / 'gateway.yaml'}"
    assert all(problem.startswith(prefix) for problem in caught.value.problems)
    return [problem.removeprefix(prefix) for problem in caught.value.problems]


def with_provider(entry: str) -> str:
    return f"providers:\n  studio: {entry}\n"


def with_price(price: str) -> str:
    return (
        f"providers: {{studio: {{}}}}\nmodels:\n  m:\n    targets: [studio/m]\n    price: {price}\n"
    )


# What is good


def test_a_good_file_is_read(tmp_path: Path) -> None:
    loaded = load(tmp_path, GOOD)
    assert loaded.config.tasks["draft"].models == ("big",)
    assert loaded.providers["studio"].type == "studio"
    assert loaded.source == str(tmp_path / "gateway.yaml")


def test_an_empty_file_is_an_empty_configuration(tmp_path: Path) -> None:
    loaded = load(tmp_path, "# nothing yet\n")
    assert loaded.config.models == {}
    assert loaded.config.max_attempts == 3


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    assert load(tmp_path, b"\xef\xbb\xbfmax_attempts: 2\n").config.max_attempts == 2


def test_the_version_names_the_exact_text(tmp_path: Path) -> None:
    first = load(tmp_path, GOOD).version
    assert load(tmp_path, GOOD).version == first
    assert load(tmp_path, GOOD + "\n").version != first


def test_a_merge_key_brings_in_what_is_not_said(tmp_path: Path) -> None:
    text = """\
        providers: {studio: {}}
        models:
          first: &first {targets: [studio/a], context_tokens: 1000, max_output_tokens: 10}
          second: {context_tokens: 2000, <<: *first}
          third: {<<: [{context_tokens: 3000}, *first]}
        """
    models = load(tmp_path, dedent(text)).config.models
    assert models["second"].context_tokens == 2000
    assert models["second"].max_output_tokens == 10
    assert models["third"].context_tokens == 3000
    assert models["third"].targets == ("studio/a",)


# References to the environment


def test_a_variable_is_put_in(tmp_path: Path) -> None:
    loaded = load(tmp_path, with_provider("{api_key: '${KEY}'}"), KEY="s3cret")
    key = loaded.providers["studio"].api_key
    assert key is not None
    assert key.get_secret_value() == "s3cret"


def test_a_variable_may_be_a_part_of_a_value_at_any_depth(tmp_path: Path) -> None:
    entry = "{base_url: 'http://${HOST}:${PORT:-80}/v1', voices: {hero: '${HERO:-low}'}}"
    settings = load(tmp_path, with_provider(entry), HOST="studio").providers["studio"]
    assert isinstance(settings, StudioSettings)
    assert settings.base_url == "http://studio:80/v1"
    assert settings.voices == {"hero": "low"}


def test_a_default_steps_in_for_an_empty_variable(tmp_path: Path) -> None:
    settings = load(tmp_path, with_provider("{region: '${R:-north}'}"), R="").providers["studio"]
    assert isinstance(settings, StudioSettings)
    assert settings.region == "north"


def test_a_number_may_come_from_the_environment(tmp_path: Path) -> None:
    loaded = load(tmp_path, with_provider("{requests_per_minute: '${RPM:-60}'}"))
    assert loaded.providers["studio"].requests_per_minute == 60


def test_a_provider_sleeps_until_its_variables_are_set(tmp_path: Path) -> None:
    entry = "{api_key: '${ONE}', second_key: '${TWO}'}"
    loaded = load(tmp_path, with_provider(entry))
    assert loaded.providers == {}
    assert loaded.dormant["studio"].waits_for == "ONE and TWO"
    assert load(tmp_path, with_provider(entry), ONE="1", TWO="2").dormant == {}


def test_targets_of_a_sleeping_provider_are_no_fault(tmp_path: Path) -> None:
    loaded = load(tmp_path, GOOD.replace("studio: {}", "studio: {api_key: '${KEY}'}"))
    assert list(loaded.dormant) == ["studio"]


def test_a_typo_in_a_sleeping_provider_is_found_before_it_wakes(tmp_path: Path) -> None:
    entry = "{api_key: '${KEY}', base_ur: x, max_connections: none, requests_per_minute: '${RPM}'}"
    assert problems_of(tmp_path, with_provider(entry)) == [
        ":2: providers.studio.max_connections: input should be a valid integer, unable to parse "
        "string as an integer",
        ":2: providers.studio.base_ur: unknown key (did you mean 'base_url'?)",
    ]


SEVERAL = "{api_keys: ['${ONE}', '${TWO}', '${THREE}']}"


def test_of_several_keys_those_that_are_set_are_used(tmp_path: Path) -> None:
    loaded = load(tmp_path, with_provider(SEVERAL), TWO="k2", THREE="k2")
    keys = [key.get_secret_value() for key in loaded.providers["studio"].api_keys]
    assert keys == ["", "k2", "k2"]
    assert loaded.notes == (
        "provider studio does without studio#1: ${ONE} is not set",
        "provider studio does without studio#3: it is the same key as #2",
    )


def test_a_provider_of_whose_keys_none_is_set_sleeps(tmp_path: Path) -> None:
    loaded = load(tmp_path, with_provider(SEVERAL))
    assert loaded.dormant["studio"].waits_for == "ONE or THREE or TWO"


def test_a_key_in_the_file_is_refused_among_several_too(tmp_path: Path) -> None:
    entry = "{api_keys: ['${ONE}', 'sk-1234']}"
    (problem,) = problems_of(tmp_path, with_provider(entry), ONE="k")
    assert "providers.studio.api_keys[1]: a secret does not belong in a file" in problem
    assert "1234" not in problem


def test_one_key_and_several_exclude_each_other(tmp_path: Path) -> None:
    entry = "{api_key: '${ONE}', api_keys: ['${TWO}']}"
    (problem,) = problems_of(tmp_path, with_provider(entry), ONE="k", TWO="k")
    assert problem == ":2: providers.studio: api_key and api_keys exclude each other"


@pytest.mark.parametrize("field", ["api_key", "second_key"])
@pytest.mark.parametrize("literal", ["sk-1234", "Bearer ${KEY}", "${KEY:-sk-1234}", ""])
def test_a_secret_in_the_file_is_refused_and_not_repeated(
    tmp_path: Path, field: str, literal: str
) -> None:
    (problem,) = problems_of(tmp_path, with_provider(f"{{{field}: '{literal}'}}"), KEY="k")
    assert problem == (
        f":2: providers.studio.{field}: a secret does not belong in a file; write ${{NAME}} instead"
    )


def test_a_secret_from_the_environment_shows_nowhere(tmp_path: Path) -> None:
    loaded = load(tmp_path, with_provider("{api_key: '${KEY}'}"), KEY="s3cret")
    assert "s3cret" not in repr(loaded)


# What is refused, and where


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("sever: {}", ":1: sever: unknown key (did you mean 'server'?)"),
        (
            "\nserver:\n  max_body: 5",
            ":3: server.max_body: unknown key (did you mean 'max_body_bytes'?)",
        ),
        ("plugins: {disable: []}", ":1: plugins.disable: unknown key (did you mean 'disabled'?)"),
        (
            GOOD.replace("    models: [big]", "    models: [big]\n    chunking: {mod: map}"),
            ":9: tasks.draft.chunking.mod: unknown key (did you mean 'mode'?)",
        ),
        (
            GOOD.replace("targets: [studio/big-1]", "targets: [studio/big-1]\n    wieghts: {}"),
            ":6: models.big.wieghts: unknown key (did you mean 'weights'?)",
        ),
        (
            with_provider("{reqion: x}"),
            ":2: providers.studio.reqion: unknown key (did you mean 'region'?)",
        ),
        ("zzzzzz: 1", ":1: zzzzzz: unknown key"),
    ],
)
def test_an_unknown_key_is_named_with_a_near_one(tmp_path: Path, text: str, problem: str) -> None:
    assert problems_of(tmp_path, text) == [problem]


def test_an_unknown_key_inside_a_price_is_named_once(tmp_path: Path) -> None:
    text = with_price("{input_per_mtk: '1', output_per_mtok: '2'}")
    (problem,) = problems_of(tmp_path, text)
    assert problem.startswith(":5: models.m.price.input_per_mtk: unknown key (did you mean 'input_")


def test_an_unknown_key_inside_the_price_of_one_target_is_named_with_its_line(
    tmp_path: Path,
) -> None:
    text = """\
        providers: {studio: {}}
        models:
          m:
            targets: [studio/m]
            target_prices:
              studio/m:
                input_per_mtok: "1"
                output_per_mtok: "2"
                curency: CNY
        """
    assert problems_of(tmp_path, dedent(text)) == [
        ":9: models.m.target_prices.studio/m.curency: unknown key (did you mean 'currency'?)"
    ]


def test_an_unknown_key_deep_in_a_list_is_named_with_its_line(tmp_path: Path) -> None:
    text = with_price(
        """
      input_per_mtok: "1"
      output_per_mtok: "2"
      windows:
        - {hours: ["00:00-08:00"], input_per_mtok: "1", output_per_mtok: "1"}
        - hours: ["08:00-09:00"]
          input_per_mtok: "1"
          output_per_mtok: "1"
          weekday: [1]"""
    )
    assert problems_of(tmp_path, text) == [
        ":13: models.m.price.windows[1].weekday: unknown key (did you mean 'weekdays'?)"
    ]


def test_everything_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    text = """\
        providers:
          studio: {regoin: x}
          other: {type: nowhere}
        models:
          big: {targets: [studio/a, stduio/b], strategy: luck}
        tasks:
          draft: {models: [bog]}
        auto: {default_task: drift}
        rehearsal_model: bigg
        """
    assert problems_of(tmp_path, dedent(text)) == [
        ":2: providers.studio.regoin: unknown key (did you mean 'region'?)",
        ":3: providers.other: no plugin provides the type 'nowhere'; there are plain, studio",
        ":5: models.big.targets[1]: no provider is called 'stduio' (did you mean 'studio'?)",
        ":5: models.big.strategy: no plugin provides 'luck'; there are priority, weighted",
        ":7: tasks.draft.models[0]: no model is called 'bog' (did you mean 'big'?)",
        ":8: auto.default_task: 'drift' is not configured (did you mean 'draft'?)",
        ":9: rehearsal_model: 'bigg' is not configured (did you mean 'big'?)",
    ]


def test_a_fault_at_the_top_does_not_hide_those_of_providers(tmp_path: Path) -> None:
    text = "providers:\n  studio: {api_key: sk-in-the-file, regoin: x}\nmodles: {}\n"
    assert problems_of(tmp_path, text) == [
        ":3: modles: unknown key (did you mean 'models'?)",
        ":2: providers.studio.api_key: a secret does not belong in a file; write ${NAME} instead",
        ":2: providers.studio.regoin: unknown key (did you mean 'region'?)",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("max_attempts: 11", ":1: max_attempts: input should be less than or equal to 10"),
        ("max_attempts: many", ":1: max_attempts: input should be a valid integer"),
        ("server:\n", ":1: server: keys with values are expected here"),
        ("- 1\n", ":1: the file: keys with values are expected here"),
        ("hello", ":1: the file: keys with values are expected here"),
        ("models: {m: {}}", ":1: models.m.targets: is missing"),
        ("models:\n  m: {targets: []}", ":2: models.m.targets: the list is empty"),
        (
            "limits:\n  rules: {key: a}",
            ":2: limits.rules: a list is expected here, such as [one, two]",
        ),
        (
            "models:\n  m:\n    targets:\n    - 1",
            ":4: models.m.targets[0]: input should be a valid",
        ),
        ("providers:\n  'a b': {}", ":2: providers.a b: string should match pattern"),
        ("money: {cny_per_usd: 7.1}", ":1: money.cny_per_usd: input should be a valid string"),
    ],
)
def test_a_wrong_value_is_named_with_its_place(tmp_path: Path, text: str, problem: str) -> None:
    (found,) = problems_of(tmp_path, text)
    assert found.startswith(problem)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (("[studio/big-1]", "[big-1]"), ":5: models.big.targets[0]: 'big-1' is not provider/model"),
        (
            ("  draft:", "  big:"),
            ":7: tasks.big: is the name of a model too; one name means one thing",
        ),
        (
            ("  draft:", "  auto:"),
            ":7: tasks.auto: this name is taken: it asks for the task to be told",
        ),
        (
            ("[studio/big-1]", "[studio/big-1]\n    weights: {studio/big-2: 3}"),
            ":6: models.big.weights.studio/big-2: is not among the targets",
        ),
        (
            (
                "[studio/big-1]",
                "[studio/big-1]\n    target_prices:\n      studio/bug-1: openai/gpt-4o",
            ),
            ":7: models.big.target_prices.studio/bug-1: is not among the targets",
        ),
        (
            ("[studio/big-1]", "[studio/big-1]\n    price: gpt"),
            ":6: models.big.price: 'gpt' is neither a price nor family/model",
        ),
        (
            ("[studio/big-1]", "[studio/big-1]\n    target_prices:\n      studio/big-1: gpt"),
            ":7: models.big.target_prices.studio/big-1: 'gpt' is neither a price nor family/model",
        ),
    ],
)
def test_a_name_that_leads_nowhere_is_refused(
    tmp_path: Path, change: tuple[str, str], problem: str
) -> None:
    assert problems_of(tmp_path, GOOD.replace(*change)) == [problem]


# YAML itself


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a:\n\tb: 1\n", ":2: not valid YAML: found character that cannot start any token"),
        ("a: [1,\n", ":2: not valid YAML: did not find expected node content"),
        ("a: 1\n---\nb: 2\n", ":2: not valid YAML: but found another document"),
        (
            "a: *nobody",
            ":1: not valid YAML: found undefined alias; a text that begins with * needs quotes",
        ),
        (
            "a: {key: *, b: 1}",
            ":1: not valid YAML: did not find expected alphabetic or numeric character; "
            "a text that begins with * needs quotes",
        ),
        ("max_attempts: 1\nmax_attempts: 2\n", ":2: max_attempts: stands here twice"),
        ("tasks:\n  a: {models: [x], models: [y]}", ":2: tasks.a.models: stands here twice"),
        ("models:\n  a:\n    <<: 5\n", ":3: models.a: '<<' merges mappings only"),
        ("? [a, b]\n: 1\n", ":1: the file: a key has to be a plain word"),
        ("a: 1\nb: 2001-99-99\n", ":2: b: '2001-99-99' cannot be read as 'timestamp'; quote it"),
        ("a: !secret x", ":1: a: 'x' cannot be read as '!secret'; quote it"),
        ("a: &a [*a]", ":1: nested too deeply, or too many values for one file"),
        ("a: &a {<<: *a}", ":1: nested too deeply, or too many values for one file"),
    ],
)
def test_faulty_yaml_is_named_with_its_line(tmp_path: Path, text: str, problem: str) -> None:
    assert problems_of(tmp_path, text) == [problem]


def test_anchors_that_multiply_do_not_fill_the_memory(tmp_path: Path) -> None:
    levels = "\n".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 12))
    (problem,) = problems_of(tmp_path, f"l0: &l0 [1]\n{levels}\n")
    assert "too many values" in problem


def test_a_file_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, "description: 导播".encode("gbk"))
    assert problem.startswith(": cannot be read: 'utf-8' codec can't decode")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: there is no such file; name one with"):
        load_config(tmp_path / "nowhere.yaml", TYPES, STRATEGIES, {})


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path, TYPES, STRATEGIES, {})


# Prices


def test_a_price_is_a_decimal_string(tmp_path: Path) -> None:
    text = with_price("{currency: CNY, input_per_mtok: '0.1', output_per_mtok: 2}")
    price = load(tmp_path, text).config.models["m"].price
    assert isinstance(price, TokenPriceConfig)
    assert price.input_per_mtok == Decimal("0.1")
    assert price.output_per_mtok == Decimal(2)


@pytest.mark.parametrize(
    ("price", "problem"),
    [
        (
            "{input_per_mtok: 0.1, output_per_mtok: '2'}",
            ':5: models.m.price.input_per_mtok: write the price as a quoted string: "0.1"',
        ),
        (
            "{input_per_mtok: '1'}",
            ":5: models.m.price: input_per_mtok and output_per_mtok are both needed",
        ),
        (
            "{input_per_mtok: '0', output_per_mtok: '0'}",
            ":5: models.m.price: every price is 0; a model without a price says `free: true`",
        ),
        (
            "{input_per_mtok: '-1', output_per_mtok: '1'}",
            ":5: models.m.price.input_per_mtok: input should be greater than or equal to 0",
        ),
        (
            "{free: true, input_per_mtok: '1', output_per_mtok: '1'}",
            ":5: models.m.price: a model is free or it has prices, not both",
        ),
    ],
)
def test_a_price_that_would_bill_wrongly_is_refused(
    tmp_path: Path, price: str, problem: str
) -> None:
    assert problem in problems_of(tmp_path, with_price(price))


# plugins.disabled is read before everything else


def test_disabled_plugins_are_read_from_a_file_with_other_faults(tmp_path: Path) -> None:
    path = tmp_path / "gateway.yaml"
    path.write_text("plugins: {disabled: [a, b]}\nnonsense: 1\n")
    assert disabled_plugins(path) == ("a", "b")


@pytest.mark.parametrize("text", ["", "[]", "plugins: 5", "plugins: {disabled: a}"])
def test_no_disabled_plugins_where_there_is_no_such_list(tmp_path: Path, text: str) -> None:
    path = tmp_path / "gateway.yaml"
    path.write_text(text)
    assert disabled_plugins(path) == ()


# Whatever the text


KEYS = [
    *("server", "plugins", "providers", "models", "tasks", "auto", "money", "keys", "rehearsal"),
    *("targets", "strategy", "price", "weights", "chunking", "mode", "disabled", "type", "api_key"),
    *("studio", "draft", "<<", "max_attempts", "input_per_mtok", "tiers", "capabilities"),
]
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.dates(),
    st.text(max_size=8),
    st.sampled_from(["studio/m", "draft", "${KEY}", "${KEY:-x}", "map", "chat", "=", "<<", "0.1"]),
)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=4), inner, max_size=5),
    ),
    max_leaves=25,
)
MARKS = [
    *(
        ": ",
        "\n",
        "  ",
        "- ",
        "[",
        "]",
        "{",
        "}",
        ", ",
        "&a ",
        "*a",
        "'",
        '"',
        "|\n",
        "? ",
        "---\n",
    ),
    *("!!int ", "!!set ", "!!bool ", "!!binary ", "!!timestamp ", "!!python/name:os ", "!x "),
    *("%YAML 1.2\n", "<<: *a", "1:30", "0x", "0001-01-01T00:00:00+23:59", "\ufeff"),
]
FRAGMENTS = st.lists(st.sampled_from(KEYS + MARKS), max_size=30).map("".join)


def is_config_or_error(folder: Path, text: str) -> None:
    path = folder / "gateway.yaml"
    path.write_text(text, encoding="utf-8", errors="replace")
    problems: tuple[str, ...] = ()
    try:
        load_config(path, TYPES, STRATEGIES, {"KEY": "k"})
    except ConfigError as error:
        problems = error.problems or ("no problem is named",)
    assert all(problem.startswith(str(path)) for problem in problems)


@given(text=st.text() | FRAGMENTS)
def test_any_text_is_a_configuration_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    is_config_or_error(tmp_path_factory.getbasetemp(), text)


@given(tree=st.dictionaries(st.sampled_from(KEYS), TREES, max_size=6))
def test_any_tree_is_a_configuration_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, tree: dict[str, object]
) -> None:
    is_config_or_error(tmp_path_factory.getbasetemp(), yaml.safe_dump(tree, allow_unicode=True))
