"""Every client can list and look up what is served here."""

import pytest

from .drivers import Client, ClientError


def test_the_list_names_tasks_models_and_auto(client: Client):
    listed = {model["id"]: model for model in client.models()}

    assert {"draft", "studio-writer", "claude-studio", "studio-embedding", "auto"} <= set(listed)
    assert {model["object"] for model in listed.values()} == {"model"}
    assert all(isinstance(model["created"], int) for model in listed.values())


def test_a_model_tells_its_window_its_price_and_what_it_can_do(client: Client):
    model = client.model("studio-writer")

    assert model["id"] == "studio-writer"
    details = model["daobo"]
    assert details["kind"] == "model"
    assert details["context_tokens"] == 128_000
    assert {"chat", "tools"} <= set(details["capabilities"])
    [step] = details["ladder"]
    assert (step["target"], step["live"]) == ("fake/studio-writer-1", True)
    assert step["price"]["input_per_mtok"] == "1"


def test_a_task_tells_where_it_leads(client: Client):
    details = client.model("draft")["daobo"]

    assert details["kind"] == "task"
    assert details["resolves_to"] == "fake/studio-writer-1"


def test_a_model_that_waits_for_its_key_is_listed_as_not_live(client: Client):
    [step] = client.model("sleeping-writer")["daobo"]["ladder"]

    assert step["live"] is False


def test_an_unknown_model_is_not_found(client: Client):
    with pytest.raises(ClientError) as caught:
        client.model("studio-poet")

    assert caught.value.status == 404
    assert caught.value.code == "model_not_found"
