"""Where a call belongs, by everything that can say so, over a real socket."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict
from yarl import URL

from gateway.budget import EACH, Budget, parse_scope, scope_text
from gateway.errors import CallError
from gateway.ledger import LEVELS, Place
from gateway.schema import Caller
from gateway.server.attribution import attributed
from gateway.server.paths import match

from .conftest import KEY

CALL = {"model": "gauge", "input": "rain"}
ALL = {"project": "p", "season": "s", "episode": "e", "scene": "c", "shot": "t"}
ANSWER = (
    b'{"object":"list","data":[],"model":"gauge-1","usage":{"prompt_tokens":1,"total_tokens":1}}'
)
REPLY = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
    len(ANSWER),
    ANSWER,
)


def placed(caller=None, path="/v1/embeddings", headers=(), **body):
    return attributed(caller or Caller("k"), match(path), CIMultiDict(headers), {**CALL, **body})


def header(level: str) -> str:
    return f"X-Daobo-{level.capitalize()}"


async def asked(house, path="/v1/embeddings", headers=None, **body) -> Caller:
    """The caller on record of a call that was answered."""
    house.upstream.script = [REPLY]
    async with house.post(path, json={**CALL, **body}, headers=headers or {}) as response:
        assert response.status == 200, await response.text()
    return house.records[-1].caller


async def test_headers_name_every_level(house):
    caller = await asked(house, headers={header(level): value for level, value in ALL.items()})
    assert {level: getattr(caller, level) for level in ALL} == ALL


async def test_metadata_names_every_level(house):
    caller = await asked(house, metadata=ALL)
    assert {level: getattr(caller, level) for level in ALL} == ALL


async def test_the_base_url_names_the_project(house):
    assert (await asked(house, "/p/moon/v1/embeddings")).project == "moon"
    path = URL(house.url + "/p/%E5%A4%9C%E5%B8%82/v1/embeddings", encoded=True)
    assert (await asked(house, path)).project == "夜市"


@pytest.mark.parametrize(
    ("headers", "metadata", "path", "project"),
    [
        ({"X-Daobo-Project": "h"}, {"project": "m"}, "/p/u/v1/embeddings", "h"),
        ({}, {"project": "m"}, "/p/u/v1/embeddings", "m"),
        ({}, {}, "/p/u/v1/embeddings", "u"),
        ({}, {}, "/v1/embeddings", "k"),
        ({"X-Daobo-Project": "  "}, {"project": None}, "/p/u/v1/embeddings", "u"),
    ],
    ids=["header", "metadata", "url", "key", "what-is-empty-says-nothing"],
)
def test_the_header_wins_then_metadata_then_the_url_then_the_key(headers, metadata, path, project):
    assert placed(Caller("id", "k"), path, headers, metadata=metadata).project == project


def test_each_level_is_looked_for_by_itself():
    caller = Caller("id", project="k", season="1", tenant="studio")
    found = placed(caller, headers={"X-Daobo-Project": "h"}, metadata={"episode": "3"})
    assert found == Caller("id", project="h", season="1", episode="3", tenant="studio")


def test_nobody_but_the_key_names_the_tenant():
    found = placed(headers={"X-Daobo-Tenant": "other"}, metadata={"tenant": "other"}, tenant="x")
    assert found.tenant is None


def test_a_call_that_names_nothing_is_its_keys():
    caller = Caller("id", "k")
    assert placed(caller) is caller


@pytest.mark.parametrize(
    ("body", "user"),
    [
        ({"user": "lin"}, "lin"),
        ({"safety_identifier": "u-7"}, "u-7"),
        ({"user": "lin", "safety_identifier": "u-7"}, "lin"),
        ({"user": None, "safety_identifier": "u-7"}, "u-7"),
        ({"user": 7}, "7"),
    ],
)
def test_the_user_is_the_bodys(body, user):
    assert placed(**body).user == user


@pytest.mark.parametrize(
    "value", [b"%E5%A4%9C%E5%B8%82", "夜市".encode(), b"  %e5%a4%9c\xe5\xb8\x82 "]
)
async def test_a_chinese_project_comes_percent_encoded_or_as_it_is(house, value):
    house.upstream.script = [REPLY]
    body = b'{"model":"gauge","input":"rain"}'
    head = (
        b"POST /v1/embeddings HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer %b\r\n"
        b"Content-Type: application/json\r\nX-Daobo-Project: %b\r\nContent-Length: %d\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection(*house.address)
    writer.write(head % (KEY.encode(), value, len(body)) + body)
    assert (await reader.readline()).split()[1] == b"200"
    writer.close()
    assert house.records[-1].caller.project == "夜市"


@pytest.mark.parametrize(
    ("headers", "body", "message", "param"),
    [
        ({"X-Daobo-Scene": "a%0Ab"}, {}, "header X-Daobo-Scene contains a control", None),
        ({"X-Daobo-Shot": "%E5%A4"}, {}, "the header X-Daobo-Shot is not UTF-8", None),
        ({"X-Daobo-Project": "x" * 201}, {}, "X-Daobo-Project is longer than 200", None),
        ({"X-Daobo-Hold": "%00"}, {}, "header X-Daobo-Hold contains a control", None),
        ({}, {"metadata": {"episode": "a\x7f"}}, "metadata.episode contains", "metadata.episode"),
        ({}, {"metadata": {"shot": ["1"]}}, "metadata.shot must be a string", "metadata.shot"),
        ({}, {"user": True}, "user must be a string", "user"),
        ({}, {"safety_identifier": "x" * 201}, "longer than 200", "safety_identifier"),
    ],
)
async def test_what_cannot_be_a_name_is_refused_by_its_name(house, headers, body, message, param):
    status, error = await house.refusal("/v1/embeddings", json={**CALL, **body}, headers=headers)
    assert status == 400
    assert message in error["message"]
    assert error["param"] == param


async def test_bytes_that_are_no_utf8_are_refused_by_the_headers_name(house):
    reader, writer = await asyncio.open_connection(*house.address)
    writer.write(
        b"POST /v1/embeddings HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer %b\r\n"
        b"X-Daobo-Project: \xd2\xb9\xca\xd0\r\nContent-Length: 32\r\n\r\n"
        b'{"model":"gauge","input":"rain"}' % KEY.encode()
    )
    answer = await reader.readuntil(b"}}")
    writer.close()
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"X-Daobo-Project is not UTF-8" in answer


async def test_a_header_names_the_admitted_quote_to_draw_from(house):
    status, error = await house.refusal(
        "/v1/embeddings", json=CALL, headers={"X-Daobo-Hold": "quote-that-is-not"}
    )
    assert status == 429
    assert "quote-that-is-not" in error["message"]


# Names in the text of nodes

names = st.text(st.sampled_from("a=,%25cC*夜 "), min_size=1).map(str.strip).filter(bool)


@given(names, names, names, names)
def test_two_places_never_share_a_node(project, episode, other_project, other_episode):
    budget = Budget("b", (("project", EACH), ("episode", EACH)), 1, "CNY")
    one = Place(project=project, episode=episode)
    other = Place(project=other_project, episode=other_episode)
    assert (budget.node(one) == budget.node(other)) == (one == other)


@given(st.dictionaries(st.sampled_from(LEVELS), names))
def test_a_scope_is_read_as_it_was_written(named):
    scope = tuple((level, named[level]) for level in LEVELS if level in named)
    assert parse_scope(scope_text(scope)) == scope


def test_a_comma_in_a_name_is_written_in_percent():
    budget = Budget("b", (("project", EACH),), 1, "CNY")
    assert budget.node(Place(project="Rain, 100%")) == "project=Rain%2C 100%"


def test_a_refusal_is_remembered_no_longer_than_the_call():
    for _ in range(2):
        with pytest.raises(CallError, match="control character"):
            placed(headers={"X-Daobo-Project": "%0A"})
