"""What a reload leaves alone, what it replaces, and what closes when the gateway does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Literal, NoReturn

import pytest
from pytest_aiohttp import AiohttpClient

from gateway.app import Gateway, Options
from gateway.assembly import Connected
from gateway.contracts import ProviderSettings, RegisterProvider
from gateway.hookspecs import hookimpl
from gateway.plugins import GROUP
from gateway.schema import Timeouts, UpstreamRequest

PROVIDERS = """\
  kept: {type: openai-compatible, base_url: "http://127.0.0.1:1/v1", requests_per_minute: 60}
  stage: {type: stage, base_url: "stage://first"}
  spare: {type: stage, base_url: "stage://spare"}
"""


class StageSettings(ProviderSettings):
    """``fails_at`` names the moment at which the provider turns out to be faulty."""

    fails_at: Literal["start", "close"] | None = None


class StageUpstream:
    """Answers nothing and remembers that it was closed."""

    def __init__(self, fails: bool) -> None:
        self.closed = False
        self._fails = fails

    async def send(self, request: UpstreamRequest, timeouts: Timeouts) -> NoReturn:
        raise AssertionError("no test sends anything here")

    async def close(self) -> None:
        self.closed = True
        if self._fails:
            raise RuntimeError("the curtain is stuck")


class StageProvider:
    """An embedded provider whose upstream can be looked at."""

    def __init__(self, settings: StageSettings) -> None:
        if settings.fails_at == "start":
            raise RuntimeError("the lights are out")
        self.root = settings.base_url or ""
        self._fails_at_close = settings.fails_at == "close"

    def open_upstream(self) -> StageUpstream:
        return StageUpstream(self._fails_at_close)


class StagePlugin:
    @hookimpl
    def register_providers(self, register: RegisterProvider) -> None:
        register("stage", StageSettings, StageProvider)


STAGE_PLUGIN = StagePlugin()


class Home:
    """A gateway and the file that it follows."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "gateway.yaml"
        self.write(PROVIDERS)
        self.gateway = Gateway(Options(self.file, folder, {}), lambda record: None)

    def write(self, providers: str) -> None:
        self.file.write_text(f"rehearsal: never\nproviders:\n{providers}")

    async def reload(self, providers: str) -> None:
        self.write(providers)
        await self.gateway.reload()

    def connected(self, name: str) -> Connected:
        return self.gateway.rooms.connected[name]

    def stage(self, name: str = "stage") -> StageUpstream:
        upstream = self.connected(name).upstream
        assert isinstance(upstream, StageUpstream)
        return upstream


@pytest.fixture
async def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Home]:
    """The provider type ``stage`` is installed the way every plugin is: by an entry point."""
    info = tmp_path / "stage-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: stage\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{GROUP}]\nstage = {__name__}:STAGE_PLUGIN\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert "stage" in entry_points(group=GROUP).names
    home = Home(tmp_path)
    yield home
    await home.gateway.close()


async def test_a_provider_with_the_same_settings_stays_connected(home: Home) -> None:
    before = home.connected("kept")
    rooms = home.gateway.rooms
    await home.reload(PROVIDERS.replace("//first", "//second"))
    assert home.gateway.rooms is not rooms
    assert home.connected("kept") is before
    assert home.connected("kept").pool.accounts == before.pool.accounts


async def test_a_provider_with_other_settings_is_connected_anew(home: Home) -> None:
    before = home.connected("stage")
    await home.reload(PROVIDERS.replace("//first", "//second"))
    assert home.connected("stage") is not before
    assert home.connected("stage").provider.root == "stage://second"


@pytest.mark.parametrize(
    "providers",
    [
        PROVIDERS.replace("//first", "//second"),
        "".join(line for line in PROVIDERS.splitlines(True) if "first" not in line),
    ],
    ids=["changed", "removed"],
)
async def test_what_was_replaced_stays_open_for_calls_under_way_until_the_gateway_closes(
    home: Home, providers: str
) -> None:
    before = home.stage()
    await home.reload(providers)
    assert not before.closed
    await home.gateway.close()
    assert before.closed


async def test_a_file_with_the_same_text_changes_nothing(home: Home) -> None:
    rooms = home.gateway.rooms
    await home.reload(PROVIDERS)
    assert home.gateway.rooms is rooms


@pytest.mark.parametrize(
    "providers",
    [
        PROVIDERS.replace("base_url", "base_ulr"),
        PROVIDERS.replace("{type: stage", "{type: opera"),
        PROVIDERS.replace("{type: stage", "{fails_at: start, type: stage"),
        "  kept: [\n",
    ],
    ids=["unknown key", "unknown type", "plugin that raises", "no yaml"],
)
async def test_a_broken_file_is_counted_and_the_old_rooms_stay(
    home: Home, aiohttp_client: AiohttpClient, providers: str
) -> None:
    rooms = home.gateway.rooms
    await home.reload(providers)
    assert home.gateway.rooms is rooms
    operator = await aiohttp_client(home.gateway.admin_app())
    metrics = await (await operator.get("/metrics")).text()
    assert 'daobo_config_loads_total{outcome="rejected"} 1.0' in metrics.splitlines()
    assert "daobo_config_is_newest 0.0" in metrics.splitlines()


async def test_a_file_that_is_refused_leaves_no_upstream_open(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[StageProvider] = []
    monkeypatch.setattr(StageProvider, "open_upstream", opened.append)
    faulty = PROVIDERS.replace("stage://first", "stage://second").replace(
        "spare: {type: stage", "spare: {fails_at: start, type: stage"
    )
    await home.reload(faulty)
    assert opened == []


async def test_an_upstream_that_fails_to_close_keeps_no_other_open(home: Home) -> None:
    await home.reload(PROVIDERS.replace("{type: stage", "{fails_at: close, type: stage", 1))
    faulty, other = home.stage(), home.stage("spare")
    await home.gateway.close()
    assert faulty.closed
    assert other.closed
