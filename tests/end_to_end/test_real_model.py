"""A real model on a real llama.cpp server: slow tokens, honest usage, nobody's idea of a wire.

Needs what ``make real-model`` installs; ``pytest -m real_model`` runs it.
"""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openai import BadRequestError, OpenAI

from .drivers import ENVIRONMENTS, SCRIPTS, require
from .gateway_process import GatewayProcess, gateway_process, quiet_environment

pytestmark = pytest.mark.real_model

CONFIG = Path(__file__).with_name("real_model.yaml")
ENVIRONMENT = ENVIRONMENTS / "real_model"
MAX_TOKENS = 32
REQUEST: dict[str, Any] = {
    "messages": [{"role": "user", "content": "用中文写一个短剧的开场，三句话。"}],
    "max_tokens": MAX_TOKENS,
    "temperature": 0,
    "seed": 7,
    "stream": True,
    # llama.cpp's own field: the answer is exactly as long as it may be
    "extra_body": {"ignore_eos": True},
}
INCLUDE_USAGE = {"stream_options": {"include_usage": True}}


@pytest.fixture(scope="module")
def llama_cpp() -> Iterator[str]:
    """The address of a llama.cpp server."""
    python = ENVIRONMENT / "bin" / "python"
    require(python, "real-model")
    server = subprocess.Popen(
        [str(python), str(SCRIPTS / "real_model_server.py"), str(ENVIRONMENT)],
        env=quiet_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert server.stdout is not None
    yield server.stdout.readline().strip()
    server.communicate(timeout=30)


@pytest.fixture(scope="module")
def real_gateway(
    llama_cpp: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GatewayProcess]:
    state = tmp_path_factory.mktemp("state")
    with gateway_process(CONFIG, state, {"LLAMA_CPP": llama_cpp}) as gateway:
        yield gateway


def ask(base_url: str, key: str, model: str, **more: Any) -> tuple[str, list[Any], str | None]:
    """The text, the chunks and the request id of a streamed answer."""
    with OpenAI(base_url=base_url, api_key=key, max_retries=0) as client:
        raw = client.chat.completions.with_raw_response.create(model=model, **REQUEST, **more)
        chunks = list(raw.parse())
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    return text, chunks, raw.headers.get("x-request-id")


def test_a_streamed_chinese_answer_costs_what_the_server_counts(
    real_gateway: GatewayProcess, llama_cpp: str
):
    _, own, _ = ask(f"{llama_cpp}/v1", "none", "gemma-3-270m", **INCLUDE_USAGE)
    text, chunks, call_id = ask(
        f"{real_gateway.root}/v1", real_gateway.key, "draft", **INCLUDE_USAGE
    )

    assert text.strip()
    assert chunks[-2].choices[0].finish_reason == own[-2].choices[0].finish_reason == "length"
    counted, servers_own = chunks[-1].usage, own[-1].usage
    assert counted.prompt_tokens == servers_own.prompt_tokens > 0
    assert counted.completion_tokens == servers_own.completion_tokens == MAX_TOKENS
    logged = real_gateway.logged(str(call_id))
    tokens = logged["tokens"]
    assert tokens["input"] + tokens.get("cache_read", 0) == counted.prompt_tokens
    assert tokens["output"] == MAX_TOKENS
    assert logged["tokens_estimated"] is False
    assert logged["time_to_first_token_s"] < logged["duration_s"]


def test_usage_is_counted_though_the_client_did_not_ask(real_gateway: GatewayProcess):
    _, chunks, call_id = ask(f"{real_gateway.root}/v1", real_gateway.key, "gemma-3-270m")

    assert all(chunk.choices for chunk in chunks)
    assert real_gateway.logged(str(call_id))["tokens"]["output"] == MAX_TOKENS


def test_a_prompt_beyond_the_models_window_is_refused_in_openais_words(
    real_gateway: GatewayProcess,
):
    messages = [{"role": "user", "content": "雨夜，便利店。" * 2000}]
    with (
        OpenAI(base_url=f"{real_gateway.root}/v1", api_key=real_gateway.key) as client,
        pytest.raises(BadRequestError) as caught,
    ):
        client.chat.completions.create(model="gemma-3-270m", messages=messages)

    assert caught.value.code == "context_length_exceeded"
