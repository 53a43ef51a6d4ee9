"""How many tokens a text has, for every family of models."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.chunking.counting.model_families import counter_of, families
from gateway.chunking.counting.vocabulary import (
    BLOCK_CHARS,
    Vocabulary,
    batches,
    blocks,
    vocabulary_of,
    well_formed,
)
from gateway.chunking.tokens import (
    IMAGE_TOKENS,
    MESSAGE_OVERHEAD_TOKENS,
    count_chat,
    counter_for,
)
from gateway.schema import Target

from .scripts import write_script

REFERENCES: dict[str, list[dict[str, Any]]] = json.loads(
    Path(__file__).with_name("token_references.json").read_text("utf-8")
)
O200K = vocabulary_of("o200k_base")
QWEN = vocabulary_of("qwen3_5")
VOCABULARIES = (O200K, vocabulary_of("deepseek_v3"), QWEN, vocabulary_of("glm4_5"))
FOLDER = Path(__file__).parents[2] / "gateway" / "chunking" / "counting" / "vocabularies"

each_vocabulary = pytest.mark.parametrize("vocabulary", VOCABULARIES, ids=lambda v: v.name)


@each_vocabulary
def test_counts_are_those_of_the_tokenizer_that_the_vocabulary_comes_from(
    vocabulary: Vocabulary,
) -> None:
    rows = REFERENCES["exact"]
    counted = vocabulary.count_all([row["text"] for row in rows])
    assert counted == [row[vocabulary.name] for row in rows]


@pytest.mark.parametrize(
    ("family", "model"),
    [
        ("qwen before 3.5", "qwen3-235b"),
        ("minimax", "MiniMax-M3"),
        ("llama 3", "llama-3.1-8b"),
    ],
)
def test_a_factor_undercounts_no_script_by_more_than_three_percent(family: str, model: str) -> None:
    counter = counter_of(model)
    assert counter.name == family
    for row in REFERENCES["by_factor"]:
        assert 0.97 * row[family] <= counter.count(row["text"]) <= 1.35 * row[family]


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("gpt-4o", "gpt"),
        ("gpt-4.1-mini", "gpt"),
        ("gpt-6.1-terra", "gpt"),
        ("openai/gpt-oss-120b", "gpt"),
        ("o3-mini", "gpt"),
        ("o3", "gpt"),
        ("gpt-4", "gpt before 4o"),
        ("gpt-4-turbo-2024-04-09", "gpt before 4o"),
        ("gpt-4-0613", "gpt before 4o"),
        ("gpt-3.5-turbo", "gpt before 4o"),
        ("claude-3-5-sonnet-20241022", "claude before 4.7"),
        ("claude-sonnet-4-20250514", "claude before 4.7"),
        ("claude-sonnet-4-5", "claude before 4.7"),
        ("anthropic/claude-sonnet-4.5", "claude before 4.7"),
        ("claude-opus-4-1@20250805", "claude before 4.7"),
        ("claude-opus-4-7", "claude"),
        ("claude-opus-5-5", "claude"),
        ("deepseek-ai/DeepSeek-V3.2", "deepseek"),
        ("deepseek-flash", "deepseek"),
        ("deepseek-reasoner", "deepseek"),
        ("deepseek-coder-6.7b", "deepseek before v3"),
        ("deepseek-r1-distill-qwen-7b", "qwen before 3.5"),
        ("DeepSeek-R1-Distill-Llama-70B", "llama 3"),
        ("qwen3.8-max", "qwen"),
        ("Qwen/Qwen3.5-35B", "qwen"),
        ("qwen3-max", "qwen before 3.5"),
        ("qwen-plus", "qwen before 3.5"),
        ("QwQ-32B", "qwen before 3.5"),
        ("glm-5.3-flash", "glm"),
        ("zai-org/GLM-4.5-Air", "glm"),
        ("chatglm3-6b", "unknown"),
        ("MiniMax-M3.1-Flash", "minimax"),
        ("kimi-k3", "unknown"),
        ("doubao-seed-2-1-pro-260915", "unknown"),
        ("gemini-3.8-flash", "unknown"),
        ("rehearsal-echo", "unknown"),
        ("my-own-model", "unknown"),
        ("", "unknown"),
    ],
)
def test_the_family_is_known_by_the_models_id(model: str, family: str) -> None:
    assert counter_for(Target("provider", model, "public")).name == family


def test_a_model_nobody_knows_is_counted_higher_than_o200k() -> None:
    for text in (write_script("mixed", episodes=1), "A plain line of English. " * 40):
        assert counter_of("my-own-model").count(text) > 1.1 * O200K.count(text)


def test_every_family_has_a_name_of_its_own_and_no_factor_below_those_measured() -> None:
    names = [family.name for family in families()]
    assert len(set(names)) == len(names)
    assert all(family.wide >= 0.9 and family.narrow >= 1.0 for family in families())


@each_vocabulary
@given(text=st.text(max_size=200))
def test_no_text_has_more_tokens_than_bytes(vocabulary: Vocabulary, text: str) -> None:
    # Qwen's normalisation writes some signs longer than they came.
    assert (
        vocabulary.count(text) <= 3 * len(text.encode())
        if vocabulary is QWEN
        else (vocabulary.count(text) <= len(text.encode()))
    )


@given(texts=st.lists(st.text(st.characters(), max_size=80), max_size=20))
def test_texts_counted_together_count_as_each_alone(texts: list[str]) -> None:
    for counter in (counter_of("gpt-5"), counter_of("claude-opus-5-5")):
        assert counter.count_all(texts) == [counter.count(text) for text in texts]


def test_long_texts_among_short_ones_are_counted_in_their_place() -> None:
    long = write_script("mixed", episodes=8, scenes=8)
    texts = ["短", long, "", long[:BLOCK_CHARS], *["一行"] * 900, long, "尾"]
    assert len(long) > BLOCK_CHARS
    assert O200K.count_all(texts) == [O200K.count(text) for text in texts]


def test_batches_keep_every_text_in_order() -> None:
    texts = [str(number) * (number % 4000) for number in range(300)]
    found = list(batches(texts))
    assert [text for batch in found for text in batch] == texts
    assert all(sum(map(len, batch)) <= BLOCK_CHARS for batch in found if len(batch) > 1)


@given(
    text=st.text(st.sampled_from("中文，。 \n\u3000aB1_'/"), max_size=400),
    times=st.integers(1, 150),
)
def test_blocks_join_to_the_text(text: str, times: int) -> None:
    cut = list(blocks(text * times))
    assert "".join(cut) == text * times
    assert all(len(block) <= BLOCK_CHARS for block in cut)


@each_vocabulary
def test_a_long_script_counts_in_blocks_what_it_counts_in_one(vocabulary: Vocabulary) -> None:
    script = write_script("mixed", episodes=20, scenes=12, seed=9)
    vocabulary.count("")
    assert vocabulary._encoder is not None
    assert len(script) > 3 * BLOCK_CHARS
    assert vocabulary.count(script) == len(vocabulary._encoder.encode(script))


@pytest.mark.parametrize("lookalike", ["<|endoftext|>", "<think>", "<｜begin▁of▁sentence｜>"])
@each_vocabulary
def test_what_looks_like_a_special_token_is_text(vocabulary: Vocabulary, lookalike: str) -> None:
    assert vocabulary.count(lookalike) > 1


@each_vocabulary
@pytest.mark.parametrize("text", ["a\ud800b", "\udc00", "好\udfff" * 40, "\ud83d\ude00"])
def test_half_a_surrogate_pair_is_counted_as_a_character(vocabulary: Vocabulary, text: str) -> None:
    assert vocabulary.count_all([text, "x"]) == [vocabulary.count(well_formed(text)), 1]


def test_threads_that_ask_at_once_get_one_encoder() -> None:
    vocabulary = Vocabulary("deepseek_v3")
    with ThreadPoolExecutor(8) as pool:
        encoders = list(pool.map(lambda _: vocabulary._loaded(), range(8)))
    assert len({id(encoder) for encoder in encoders}) == 1
    assert vocabulary.is_loaded


def test_threads_that_load_and_count_may_come_and_go() -> None:
    code = (
        "import sys\n"
        "from threading import Thread\n"
        "from gateway.chunking.counting.model_families import counter_of\n"
        "counters = [counter_of(model) for model in ('gpt-5', 'deepseek-v4')]\n"
        "assert not any(counter.is_loaded for counter in counters)\n"
        "assert 'kitoken' not in sys.modules\n"
        "for counter in counters * 4:\n"
        "    thread = Thread(target=counter.count, args=('他说：你好。\\n' * 2000,))\n"
        "    thread.start(); thread.join()\n"
        "assert all(counter.is_loaded for counter in counters)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)


def test_the_page_on_the_vocabularies_names_every_file_with_its_checksum() -> None:
    page = (FOLDER / "README.md").read_text("utf-8")
    packed = sorted(FOLDER.glob("*.kit.xz"))
    assert {path.name.removesuffix(".kit.xz") for path in packed} == {v.name for v in VOCABULARIES}
    for path in packed:
        assert hashlib.sha256(path.read_bytes()).hexdigest() in page


def test_a_chat_counts_its_texts_its_frames_and_its_images() -> None:
    counter = counter_of("gpt-5")
    body = {
        "messages": [
            {"role": "system", "content": "你是编剧。"},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "写一场戏"},
                    {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
                ],
            },
            {"role": "assistant", "content": None},
        ]
    }
    texts = counter.count("你是编剧。") + counter.count("写一场戏")
    assert count_chat(body, counter) == texts + IMAGE_TOKENS + 3 * MESSAGE_OVERHEAD_TOKENS


def test_a_chat_counts_tools_and_their_calls() -> None:
    counter = counter_of("gpt-5")
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"场": 1}'}}
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    plain = {"messages": [{"role": "assistant", "content": None}]}
    with_call = {"messages": [{"role": "assistant", "content": None, "tool_calls": [call]}]}
    assert count_chat(with_call, counter) > count_chat(plain, counter) + 10
    assert count_chat({**plain, "tools": [tool]}, counter) > count_chat(plain, counter) + 10
    assert count_chat({**plain, "tools": []}, counter) == count_chat(plain, counter)
