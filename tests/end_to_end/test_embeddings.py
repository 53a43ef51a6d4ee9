"""Every client gets its vectors, as floats and as the base64 that the SDKs ask for unasked."""

from collections.abc import Callable

import pytest

from tests.fakes.openai_upstream import FloatsOnly, OpenAIUpstream
from tests.fakes.openai_wire import vector_of

from .drivers import Client

TEXTS = ["雨夜", "便利店里的风铃"]


def test_floats_arrive_as_floats(client: Client, upstream: OpenAIUpstream):
    report = client.embed(model="studio-embedding", input=TEXTS, encoding_format="float")

    assert report["vectors"] == [vector_of(text) for text in TEXTS]
    assert report["usage"] == {"prompt_tokens": 7, "total_tokens": 7}
    assert upstream.received[0].body["encoding_format"] == "float"


def test_the_sdks_ask_for_base64_and_decode_it(sdk: Client, upstream: OpenAIUpstream):
    report = sdk.embed(model="studio-embedding", input=TEXTS)

    assert report["vectors"] == [vector_of(text) for text in TEXTS]
    assert upstream.received[0].body["encoding_format"] == "base64"


@pytest.mark.parametrize(
    "name",
    [
        "openai3-sync",
        "openai2-sync",
        "openai-node",
    ],
)
def test_an_upstream_that_only_gives_floats_serves_the_sdks_too(
    client_named: Callable[[str], Client], upstream: OpenAIUpstream, name: str
):
    """openai-node reads anything as base64 that it asked base64 of, and says nothing."""
    upstream.script(FloatsOnly())

    report = client_named(name).embed(model="studio-embedding", input=TEXTS)

    assert report["vectors"] == [vector_of(text) for text in TEXTS]


def test_base64_arrives_as_base64(client: Client, upstream: OpenAIUpstream):
    report = client.embed(model="studio-embedding", input="雨夜", encoding_format="base64")

    [vector] = report["vectors"]
    if isinstance(vector, str):  # some SDKs hand over what was asked for as it came
        assert vector == "AAAAQAAAgD8AAAA/AACAPgAAAD4AAIA9AAAAPQAAgDw="
    else:
        assert vector == vector_of("雨夜")


@pytest.mark.parametrize("encoding_format", ["float", "base64"])
def test_a_provider_that_only_has_floats_serves_both(
    client: Client, upstream, encoding_format: str
):
    report = client.embed(
        model="gemini-embedding", input=TEXTS, encoding_format=encoding_format, dimensions=4
    )

    assert len(report["vectors"]) == len(TEXTS)


def test_the_upstream_is_told_its_own_name_of_the_model(client: Client, upstream: OpenAIUpstream):
    report = client.embed(model="studio-embedding", input="雨夜")

    assert upstream.received[0].body["model"] == "studio-embedding-1"
    assert report["headers"]["x-daobo-provider"] == "fake"
    assert report["request_id"] == report["headers"]["x-request-id"]
