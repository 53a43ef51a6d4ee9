"""How plugins are found and what becomes of a broken one: real distributions in a folder."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint, distributions, entry_points
from pathlib import Path
from textwrap import dedent

import pytest

from gateway.contracts import Observer, RegisterObserver
from gateway.errors import ConfigError
from gateway.hookspecs import hookimpl
from gateway.plugins import GROUP, Registry, discover
from gateway.schema import CallRecord

PROVIDER = """
    from gateway import OpenAICompatible, ProviderSettings, hookimpl

    @hookimpl
    def register_providers(register):
        register("{type}", ProviderSettings, OpenAICompatible)
    """


class Shelf:
    """A folder on ``sys.path`` into which distributions are installed by hand."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def install(self, distribution: str, name: str, source: str, version: str = "1.0") -> str:
        """A distribution with one module and one entry point; returns the module's name."""
        module = f"plugin_{distribution.replace('-', '_')}"
        (self.folder / f"{module}.py").write_text(dedent(source))
        info = self.folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Name: {distribution}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[{GROUP}]\n{name} = {module}\n")
        return module

    def points(self) -> list[EntryPoint]:
        found = distributions(path=[str(self.folder)])
        return [point for each in found for point in each.entry_points if point.group == GROUP]

    def discover(self, *disabled: str) -> Registry:
        return discover(disabled, found=self.points())

    def problem(self) -> str:
        with pytest.raises(ConfigError) as caught:
            self.discover()
        (problem,) = caught.value.problems
        return problem


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shelf]:
    monkeypatch.syspath_prepend(tmp_path)
    yield Shelf(tmp_path)
    for name in [name for name in sys.modules if name.startswith("plugin_")]:
        del sys.modules[name]


def test_an_installed_distribution_is_found_without_being_named_anywhere(shelf: Shelf) -> None:
    shelf.install("studio-voice", "voice", PROVIDER.format(type="voice"), version="2.3")
    others = {point.name for point in entry_points(group=GROUP)} - {"voice"}
    registry = discover(others)
    assert list(registry.providers) == ["voice"]
    (info,) = registry.plugins
    assert (info.name, info.distribution, info.version) == ("voice", "studio-voice", "2.3")
    assert info.registered == ("provider voice",)


def test_plugins_come_by_name_and_the_core_comes_first(shelf: Shelf) -> None:
    shelf.install("first-dist", "zebra", PROVIDER.format(type="z"))
    shelf.install("second-dist", "aardvark", PROVIDER.format(type="a"))
    registry = discover(core=[("core", Watcher(_ignore))], found=shelf.points())
    assert [info.name for info in registry.plugins] == ["core", "aardvark", "zebra"]
    assert list(registry.providers) == ["a", "z"]


def test_one_plugin_may_fill_every_hook(shelf: Shelf) -> None:
    source = """
        from gateway import OpenAICompatible, ProviderSettings, hookimpl

        @hookimpl
        def register_providers(register):
            register("all", ProviderSettings, OpenAICompatible)

        @hookimpl
        def register_strategies(register):
            register("backwards", lambda targets, view: list(targets)[::-1])

        def count(record): ...

        @hookimpl
        def register_observers(register):
            register(count)

        @hookimpl
        def configure_app(app, config):
            app.append(config)
        """
    shelf.install("everything", "all", source)
    registry = shelf.discover()
    assert registry.plugins[0].registered == (
        "provider all",
        "strategy backwards",
        "observer count",
        "app hook",
    )
    app: list[str] = []
    registry.configure_app(app=app, config="the configuration")
    assert app == ["the configuration"]


def test_a_hook_may_leave_out_arguments_that_it_does_not_need(shelf: Shelf) -> None:
    source = """
        from gateway import hookimpl

        @hookimpl
        def configure_app(app):
            app.append("seen")
        """
    shelf.install("short", "short", source)
    app: list[str] = []
    shelf.discover().configure_app(app=app, config=None)
    assert app == ["seen"]


def test_two_plugins_of_one_name_are_an_error(shelf: Shelf) -> None:
    shelf.install("left-dist", "same", PROVIDER.format(type="l"))
    shelf.install("right-dist", "same", PROVIDER.format(type="r"))
    problem = shelf.problem()
    assert problem.startswith("two plugins are called 'same': plugin_")
    assert "from left-dist" in problem
    assert "from right-dist" in problem


def test_a_plugin_with_the_name_of_the_core_is_an_error(shelf: Shelf) -> None:
    shelf.install("bold", "core", PROVIDER.format(type="bold"))
    with pytest.raises(ConfigError, match="another plugin is called 'core' too"):
        discover(core=[("core", Watcher(_ignore))], found=shelf.points())


def test_a_failing_import_names_the_plugin_and_its_distribution(shelf: Shelf) -> None:
    shelf.install("shaky-dist", "shaky", "import no_such_module_anywhere\n")
    problem = shelf.problem()
    assert problem.startswith(
        "the plugin 'shaky' (plugin_shaky_dist, from shaky-dist) cannot be imported: "
        "ModuleNotFoundError"
    )
    assert problem.endswith("Mend or uninstall it, or add 'shaky' to plugins.disabled.")


def test_an_entry_point_without_its_module_is_named_too(shelf: Shelf) -> None:
    module = shelf.install("hollow", "hollow", "")
    (shelf.folder / f"{module}.py").unlink()
    assert "the plugin 'hollow' (plugin_hollow, from hollow) cannot be imported" in shelf.problem()


def test_a_disabled_plugin_is_not_even_imported(shelf: Shelf) -> None:
    module = shelf.install("shaky-dist", "shaky", "raise RuntimeError('imported')\n")
    shelf.install("sound-dist", "sound", PROVIDER.format(type="sound"))
    registry = shelf.discover("shaky")
    assert [info.name for info in registry.plugins] == ["sound"]
    assert module not in sys.modules


def test_disabling_both_of_one_name_lets_the_others_start(shelf: Shelf) -> None:
    shelf.install("left-dist", "same", PROVIDER.format(type="l"))
    shelf.install("right-dist", "same", PROVIDER.format(type="r"))
    shelf.install("sound-dist", "sound", PROVIDER.format(type="sound"))
    assert list(shelf.discover("same").providers) == ["sound"]


@pytest.mark.parametrize(
    ("hook", "why"),
    [
        ("def register_providers(registrar): ...", "{'registrar'} are declared in the hookimpl"),
        ("def register_provider(register): ...", "unknown hook 'register_provider'"),
    ],
)
def test_a_hook_that_does_not_exist_like_that_is_an_error(
    shelf: Shelf, hook: str, why: str
) -> None:
    shelf.install("odd-dist", "odd", f"from gateway import hookimpl\n@hookimpl\n{hook}\n")
    problem = shelf.problem()
    assert problem.startswith(
        "the plugin 'odd' (plugin_odd_dist, from odd-dist) failed to register"
    )
    assert why in problem
    assert "\n" not in problem


def test_a_hook_that_fails_is_an_error_with_its_reason(shelf: Shelf) -> None:
    source = """
        from gateway import hookimpl

        @hookimpl
        def register_observers(register):
            raise OSError("the disk is full")
        """
    shelf.install("full-dist", "full", source)
    assert "failed to register: the disk is full. Mend or uninstall it" in shelf.problem()


@pytest.mark.parametrize(
    ("kind", "hook", "arguments"),
    [
        ("provider type", "register_providers", "ProviderSettings, OpenAICompatible"),
        ("strategy", "register_strategies", "lambda targets, view: list(targets)"),
    ],
)
def test_a_second_registration_raises_where_the_second_plugin_registers(
    shelf: Shelf, kind: str, hook: str, arguments: str
) -> None:
    source = f"""
        from gateway import ConfigError, OpenAICompatible, ProviderSettings, hookimpl

        caught = []

        @hookimpl
        def {hook}(register):
            try:
                register("taken", {arguments})
            except ConfigError as error:
                caught.append(str(error))
                raise
        """
    shelf.install("first-dist", "a-first", source)
    module = shelf.install("second-dist", "b-second", source)
    problem = shelf.problem()
    reason = f"the {kind} 'taken' is registered already, by 'a-first'"
    assert sys.modules[module].caught == [reason]
    assert problem.startswith("the plugin 'b-second' (")
    assert reason in problem


def test_settings_of_a_foreign_kind_are_refused(shelf: Shelf) -> None:
    source = PROVIDER.format(type="odd").replace('"odd", ProviderSettings', '"odd", dict')
    shelf.install("odd-dist", "odd", source)
    assert "the settings of 'odd' are no subclass of ProviderSettings" in shelf.problem()


def test_where_no_plugin_is_installed_the_command_is_said(shelf: Shelf) -> None:
    assert shelf.problem() == (
        "no plugin is installed, so there is no provider to send anything to. "
        "From a checkout, run: pip install -e ."
    )


def test_the_registry_does_not_change_after_start_up(shelf: Shelf) -> None:
    shelf.install("studio-voice", "voice", PROVIDER.format(type="voice"))
    registry = shelf.discover()
    with pytest.raises(TypeError):
        registry.providers["other"] = registry.providers["voice"]  # type: ignore[index]


class Watcher:
    """A plugin of the core: an object with hooks."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer

    @hookimpl
    def register_observers(self, register: RegisterObserver) -> None:
        register(self._observer)


def _ignore(record: CallRecord) -> None:
    """An observer to register."""


def test_an_observer_may_be_any_callable(shelf: Shelf) -> None:
    class Tally:
        def __call__(self, record: CallRecord) -> None: ...

    shelf.install("studio-voice", "voice", PROVIDER.format(type="voice"))
    observers: list[Callable[[CallRecord], None]] = [Tally(), _ignore]
    core = [(f"core{n}", Watcher(observer)) for n, observer in enumerate(observers)]
    registry = discover(core=core, found=shelf.points())
    assert registry.observers == tuple(observers)
    assert registry.plugins[0].registered == ("observer Tally",)
