"""A distribution of its own is as good a plugin as a bundled one: ``examples/gateway-echo``."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "gateway-echo"
LOOK = """
import json
from gateway.plugins import discover
registry = discover(**json.loads({arguments!r}))
print(json.dumps({{
    "plugins": {{p.name: [p.distribution, p.version, p.registered] for p in registry.plugins}},
    "providers": sorted(registry.providers),
    "strategies": sorted(registry.strategies),
    "observers": [observer.__name__ for observer in registry.observers],
}}))
"""
CALL = """
import asyncio, json
from gateway import ChatRequest, EmbeddedProvider, Timeouts
from gateway.plugins import discover
settings_class, provider_class = discover().providers["echo"]
provider = provider_class(settings_class.model_validate({"type": "echo", "times": 2}))
assert isinstance(provider, EmbeddedProvider)
body = {"messages": [{"role": "user", "content": "Action!"}]}

async def answer(stream):
    request = ChatRequest(model="any", body=body, stream=stream)
    response = await provider.open_upstream().send(provider.build_request(request), Timeouts())
    return response.headers["content-type"], (await response.read(1 << 20)).decode()

async def main():
    print(json.dumps([await answer(False), await answer(True)]))

asyncio.run(main())
"""
SERVE = """
import asyncio
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from gateway.errors import Outcome
from gateway.schema import Caller, CallRecord
from gateway.plugins import discover
registry = discover()
app = web.Application()
registry.configure_app(app=app, config=None)

async def main():
    async with TestClient(TestServer(app)) as client:
        for outcome in (Outcome.OK, Outcome.OK, Outcome.CLIENT_GONE):
            for observe in registry.observers:
                observe(CallRecord("c", "chat", Caller("k"), outcome, 0.0, 0.1))
        print(await (await client.get("/echo/tally")).text())

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder with nothing in it but the installed example."""
    target = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += ["--no-index", "--no-deps", "--no-build-isolation", "--target", target, EXAMPLE]
    subprocess.run(command, check=True, capture_output=True)
    return target


def run(script, path):
    """What the script prints in a process of its own that sees ``path`` too, as JSON."""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def look(path, **arguments):
    return run(LOOK.format(arguments=json.dumps(arguments)), path)


def test_it_is_found_with_its_distribution_and_version(installed):
    found = look(installed)["plugins"]["echo"]
    assert found[:2] == ["gateway-echo", "1.0.0"]
    assert found[2] == ["provider echo", "strategy roomiest", "observer tally", "app hook"]


def test_bundled_plugins_stand_beside_it_found_the_same_way(installed, tmp_path):
    without, beside = look(tmp_path), look(installed)
    assert set(beside["plugins"]) - set(without["plugins"]) == {"echo"}
    assert set(beside["providers"]) - set(without["providers"]) == {"echo"}
    assert without["plugins"]["openai"][0] == "daobo"


def test_it_is_disabled_by_name_like_any_other(installed):
    seen = look(installed, disabled=["echo", "zhipu"])
    assert not {"echo", "zhipu"} & {*seen["plugins"], *seen["providers"]}
    assert seen["strategies"] == []


def test_its_provider_answers_whole_and_as_a_stream(installed):
    (whole_type, whole), (stream_type, stream) = run(CALL, installed)
    assert (whole_type, stream_type) == ("application/json", "text/event-stream")
    assert json.loads(whole)["choices"][0]["message"]["content"] == "Action! Action!"
    assert "Action! Action!" in stream
    assert stream.endswith("data: [DONE]\n\n")


def test_its_observer_and_its_page_work_together(installed):
    assert run(SERVE, installed) == {"ok": 2, "client_gone": 1}
