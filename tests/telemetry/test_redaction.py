"""Keys and tokens never come through, ordinary sentences do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from gateway.telemetry.redaction import MASK, redact, redact_value

SECRET = "Zx9Qw7Er5Ty3Ui1Op0"


@pytest.mark.parametrize(
    "text",
    [
        f"Incorrect API key provided: sk-daobo-{SECRET}",
        f"sk-proj-{SECRET}",
        f"sk_live_{SECRET}",
        f"gsk_{SECRET}",
        f"hf_{SECRET}",
        f"Authorization: Bearer {SECRET}",
        f"authorization: BASIC {SECRET}",
        f"AIza{SECRET}",
        f"AKIA{SECRET}",
        f"https://example.com/v1beta/models?key={SECRET}&alt=sse",
        f"https://example.com/clip.mp4?Signature={SECRET}",
        f"X-API-Key: {SECRET}",
        f'{{"api_key": "{SECRET}"}}',
        f'{{\\"apiKey\\":\\"{SECRET}\\"}}',
        f"password={SECRET}",
        f"client_secret = '{SECRET}'",
        f"postgresql://daobo:{SECRET}@db/ledger",
        f"redis://:{SECRET}@cache:6379/0",
        f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIx{SECRET}.{SECRET}",
    ],
)
def test_what_looks_like_a_key_is_masked(text: str) -> None:
    assert SECRET not in redact(text)
    assert SECRET.lower() not in redact(text.lower())
    assert MASK in redact(text)


@pytest.mark.parametrize(
    "text",
    [
        "the task-oriented model is unknown; there are draft, polish",
        "max_tokens: 409600 is above the model's 8192",
        "a key without Bearer is not a key",
        "unknown key: temperature_schedule",
        "https://api.example.com:8443/v1/chat/completions",
        "deepseek/deepseek-flash answered 503 after 30.2 s",
        "desk-lamp-in-the-corner-of-the-room",
        "第1集 医院走廊 夜",
    ],
)
def test_what_is_no_key_stays(text: str) -> None:
    assert redact(text) == text


def test_the_words_around_a_key_stay() -> None:
    assert redact(f"sent Bearer {SECRET}, got 401") == f"sent Bearer {MASK}, got 401"


def test_a_long_text_is_cut_after_it_was_masked() -> None:
    text = redact("x" * 490 + f" sk-{SECRET}" + "y" * 5000, 500)
    assert len(text) == 501
    assert SECRET[:6] not in text


def test_containers_are_masked_all_the_way_down() -> None:
    found = redact_value(
        {"a": [{"b": (f"Bearer {SECRET}",)}], "api_key": SECRET, "c": f"sk-{SECRET}".encode()}
    )
    assert SECRET not in str(found)


def test_a_secret_wrapped_by_the_configuration_stays_wrapped() -> None:
    assert SECRET not in redact_value(SecretStr(SECRET))


def test_numbers_too_large_for_json_become_text() -> None:
    assert redact_value({"n": 1 << 70, "m": 5}) == {"n": str(1 << 70), "m": 5}


def test_a_container_that_holds_itself_ends() -> None:
    endless: list[object] = []
    endless.append(endless)
    assert redact_value(endless)


@given(st.text(), st.text(alphabet="abcXYZ019-_", min_size=20))
def test_no_text_hides_a_key_behind_it(before: str, key: str) -> None:
    assert f"sk-{key}" not in redact(f"{before} sk-{key}")


@given(st.text())
def test_the_result_can_always_be_written(text: str) -> None:
    redact(text + "\ud800").encode()
