"""One gateway for the session, loopback upstreams behind it, real clients before it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from anthropic.types import Message, ThinkingBlock

from tests.fakes import openai_upstream
from tests.fakes.openai_upstream import OpenAIUpstream
from tests.plugins import fake_anthropic, fake_gemini
from tests.ports import free_port

from .curl import Curl
from .drivers import Client, node_driver, python_driver
from .gateway_process import GatewayProcess, gateway_process
from .loopback import serving

CONFIG = Path(__file__).with_name("gateway.yaml")

THINK_TWICE = "想两遍"

CLIENTS: dict[str, Callable[[str], Client]] = {
    "openai3-sync": lambda root: python_driver(root, None, "openai_sync.py"),
    "openai3-async": lambda root: python_driver(root, None, "openai_async.py"),
    "openai3-azure": lambda root: python_driver(root, None, "openai_async.py", "azure"),
    "openai2-sync": lambda root: python_driver(root, "openai2", "openai_sync.py"),
    "openai2-async": lambda root: python_driver(root, "openai2", "openai_async.py"),
    "openai-node": node_driver,
    "curl": Curl,
}
SDKS = [name for name in CLIENTS if name != "curl"]


@dataclass(frozen=True)
class Stage:
    """The gateway under test and the upstreams behind it."""

    gateway: GatewayProcess
    upstream: OpenAIUpstream
    upstream_root: str
    anthropic: web.Application
    gemini: web.Application


def think_twice_if_asked(body: dict[str, Any]) -> Message:
    """Like the small model; asked to think twice it puts a second thought before the rest."""
    message = fake_anthropic.like_a_model(body)
    if THINK_TWICE in str(body["messages"][0]["content"]):
        thought = "And what would hinder?"
        signature = fake_anthropic.sign(thought)
        second = ThinkingBlock(type="thinking", thinking=thought, signature=signature)
        message.content.insert(1, second)
    return message


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    upstream = OpenAIUpstream()
    anthropic = fake_anthropic.fake_anthropic(think_twice_if_asked)
    gemini = fake_gemini.fake_gemini()
    with serving(upstream.app, anthropic, gemini) as (openai_url, anthropic_url, gemini_url):
        environ = {
            "FAKE_OPENAI": openai_url,
            "FAKE_OPENAI_KEY": openai_upstream.KEY,
            "WRONG_KEY": "sk-not-the-key-of-the-fake",
            "NOBODY": f"http://127.0.0.1:{free_port()}",
            "FAKE_ANTHROPIC": anthropic_url,
            "FAKE_ANTHROPIC_KEY": fake_anthropic.KEY,
            "FAKE_GEMINI": gemini_url,
            "FAKE_GEMINI_KEY": fake_gemini.KEY,
        }
        with gateway_process(CONFIG, tmp_path_factory.mktemp("state"), environ) as gateway:
            yield Stage(gateway, upstream, openai_url, anthropic, gemini)


@pytest.fixture
def gateway(stage: Stage) -> GatewayProcess:
    return stage.gateway


@pytest.fixture
def upstream(stage: Stage) -> Iterator[OpenAIUpstream]:
    """The OpenAI upstream, with nothing left of the test before."""
    stage.upstream.forget()
    yield stage.upstream
    stage.upstream.forget()


@pytest.fixture
def anthropic_requests(stage: Stage) -> list[dict[str, Any]]:
    """The bodies that the Anthropic upstream understands during the test."""
    requests = stage.anthropic[fake_anthropic.REQUESTS]
    requests.clear()
    return requests


@pytest.fixture
def gemini_requests(stage: Stage) -> list[Any]:
    """The bodies that the Gemini upstream understands during the test."""
    requests = stage.gemini[fake_gemini.REQUESTS]
    requests.clear()
    return requests


@pytest.fixture(scope="session")
def client_named(stage: Stage) -> Iterator[Callable[[str], Client]]:
    """Clients by their name in ``CLIENTS``, started when they are first asked for."""
    started: dict[str, Client] = {}

    def named(name: str) -> Client:
        if name not in started:
            started[name] = CLIENTS[name](stage.gateway.root)
        return started[name]

    yield named
    for client in started.values():
        client.close()


@pytest.fixture(params=CLIENTS)
def client(request: pytest.FixtureRequest, client_named: Callable[[str], Client]) -> Client:
    return client_named(request.param)


@pytest.fixture(params=[name for name in SDKS if "azure" not in name])
def base_url_client(
    request: pytest.FixtureRequest, client_named: Callable[[str], Client]
) -> Client:
    """The SDKs whose base URL is theirs to choose; Azure's is given but for the host."""
    return client_named(request.param)


@pytest.fixture(params=["openai3-sync", "openai2-sync", "openai-node"])
def helper_client(request: pytest.FixtureRequest, client_named: Callable[[str], Client]) -> Client:
    """SDKs with a helper that puts streams together."""
    return client_named(request.param)


@pytest.fixture(params=SDKS)
def sdk(request: pytest.FixtureRequest, client_named: Callable[[str], Client]) -> Client:
    return client_named(request.param)
