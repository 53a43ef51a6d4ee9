"""Rules of the house that a linter does not know, checked on the syntax trees of the core."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache

import pytest

from .source_tree import ROOT, Module, bundled_plugins, docstrings, gateway_modules

EVERY_CORE_MODULE = pytest.mark.parametrize("module", gateway_modules(), ids=lambda m: m.shown)
EVERY_MODULE = pytest.mark.parametrize(
    "module", [*gateway_modules(), *bundled_plugins()], ids=lambda m: m.shown
)

TASKS_OF_THEIR_OWN: Mapping[tuple[str, str], str] = {
    (
        "gateway.chunking.answering.side_by_side",
        "create_task",
    ): "parts of a call, in a group; ended with it",
    ("gateway.answers.outliving", "ensure_future"): "calls that others wait for; ended by its room",
    ("gateway.upstream.hedging", "ensure_future"): "attempts of a race; ended when it is over",
    ("gateway.limits.redis_buckets", "ensure_future"): "settles and renews; ended by close",
    ("gateway.limits.waiting", "ensure_future"): "hands out turns while calls wait; ended by close",
    ("gateway.stores.redis_link", "ensure_future"): "the one that talks to Redis; ended by close",
    ("gateway.server.acceptor", "ensure_future"): "lets a connection in; awaited by stop",
    ("gateway.server.listener", "ensure_future"): "answers requests; ended with its connection",
    ("gateway.lifetime", "ensure_future"): "watches two files; cancelled when the gateway stops",
}
"""Where a task may be started outside a group, and who ends it."""
MAY_PRINT = {"gateway.cli", "gateway.greeting", "gateway.workers"}
STARTS_UP = {"gateway.plugins", "gateway.app"}
CORE_WORDS: Mapping[str, str] = {
    "rehearsal": "what any embedded stand-in is called in the configuration and in answers",
}
"""Names of bundled providers that are words of the core as well."""
WORDS_OF_A_WIRE: Mapping[tuple[str, str], str] = {
    ("gateway.server.paths", "openai"): "a segment of the paths that clients of Azure ask for",
}
"""Literals that are the same as a provider's name and mean something else."""
NAMELESS = {"utils", "util", "helpers", "helper", "common", "base", "manager", "misc"}
HOOKS = {"register_providers", "register_strategies", "register_observers", "configure_app"}


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    """Every call with the last part of what is called."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Attribute):
                yield node.func.attr, node
            elif isinstance(node.func, ast.Name):
                yield node.func.id, node


# The core knows no provider


@cache
def provider_names() -> frozenset[str]:
    """What bundled plugins are called and what they register."""
    names = {
        str(argument.value)
        for module in bundled_plugins()
        for called, call in calls(module.tree())
        if called == "register"
        for argument in call.args[:1]
        if isinstance(argument, ast.Constant)
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return frozenset(names | set(project["entry-points"]["gateway"])) - set(CORE_WORDS)


def provider_literals(tree: ast.Module, names: frozenset[str]) -> list[str]:
    """String literals that are a provider's name, or an identifier or address made with one.

    Sentences for people may name a vendor's client; they decide nothing.
    """
    exempt = docstrings(tree)
    literals = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in exempt
    ]
    return [
        f"line {node.lineno}: {node.value!r}"
        for node in literals
        if not re.search(r"\s", node.value)
        and (names & {node.value.lower(), *re.split(r"[./:@_]", node.value.lower())})
    ]


@EVERY_CORE_MODULE
def test_the_core_names_no_provider(module: Module) -> None:
    excused = {word for where, word in WORDS_OF_A_WIRE if where == module.name}
    assert provider_literals(module.tree(), provider_names() - excused) == []


@pytest.mark.parametrize(
    "source", ["x == 'acme'", "{'Acme': 1}", "x = 'https://api.acme.com/v1'", "f'acme/{x}'"]
)
def test_a_provider_named_in_the_core_is_noticed(source: str) -> None:
    assert provider_literals(ast.parse(source), frozenset({"acme"}))


def test_the_bundled_providers_are_known_by_name() -> None:
    assert {"openai", "azure", "anthropic", "openai-compatible"} <= provider_names()


# Tasks, output, failures


def lone_tasks(tree: ast.AST) -> set[str]:
    return {called for called, _ in calls(tree) if called in ("create_task", "ensure_future")}


@EVERY_MODULE
def test_a_task_is_started_only_where_somebody_owns_it(module: Module) -> None:
    listed = {name for where, name in TASKS_OF_THEIR_OWN if where == module.name}
    assert lone_tasks(module.tree()) == listed


def test_a_lone_task_is_noticed() -> None:
    assert lone_tasks(ast.parse("asyncio.create_task(x)")) == {"create_task"}
    assert lone_tasks(ast.parse("loop.create_task(x)")) == {"create_task"}


@EVERY_MODULE
def test_only_the_command_prints(module: Module) -> None:
    printing = {called for called, call in calls(module.tree()) if isinstance(call.func, ast.Name)}
    assert "print" not in printing or module.name in MAY_PRINT


def swallowed(tree: ast.AST) -> list[int]:
    """Lines of handlers that catch everything and say nothing of it."""
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.ExceptHandler)
        and _catches_everything(node.type)
        and all(isinstance(s, ast.Pass | ast.Continue) or _is_ellipsis(s) for s in node.body)
    ] + [
        call.lineno
        for called, call in calls(tree)
        if called == "suppress" and any(map(_catches_everything, call.args))
    ]


def _catches_everything(kind: ast.expr | None) -> bool:
    if isinstance(kind, ast.Tuple):
        return any(map(_catches_everything, kind.elts))
    return kind is None or (
        isinstance(kind, ast.Name) and kind.id in ("Exception", "BaseException")
    )


def _is_ellipsis(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


@EVERY_MODULE
def test_no_failure_is_swallowed(module: Module) -> None:
    assert swallowed(module.tree()) == []


@pytest.mark.parametrize(
    "source",
    [
        "try: x\nexcept Exception: pass",
        "try: x\nexcept: ...",
        "try: x\nexcept (OSError, BaseException): pass",
        "with suppress(Exception): x",
    ],
)
def test_a_swallowed_failure_is_noticed(source: str) -> None:
    assert swallowed(ast.parse(source))


# Names and documentation


@EVERY_MODULE
def test_every_module_says_what_it_is_for(module: Module) -> None:
    assert ast.get_docstring(module.tree())


def test_every_module_has_a_name_that_means_something() -> None:
    parts = {p for m in (*gateway_modules(), *bundled_plugins()) for p in m.name.split(".")}
    assert not parts & NAMELESS


# Money is whole numbers


def inexact(tree: ast.AST) -> list[int]:
    """Lines with a float literal or a conversion to float."""
    literals = [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, float)
    ]
    conversions = [call.lineno for called, call in calls(tree) if called == "float"]
    return literals + conversions


@pytest.mark.parametrize(
    "module",
    [m for m in gateway_modules() if m.name.startswith("gateway.money")],
    ids=lambda m: m.shown,
)
def test_money_is_never_a_float(module: Module) -> None:
    assert inexact(module.tree()) == []


@pytest.mark.parametrize("source", ["x = 0.1", "float(x)", "1e9 * x"])
def test_a_float_among_money_is_noticed(source: str) -> None:
    assert inexact(ast.parse(source))


# Hooks are called at start-up only


def hook_calls(tree: ast.AST) -> list[str]:
    """Calls of a hook, and the ways to come by one."""
    reached = [
        f"line {node.lineno}: .{node.attr}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in ("hook", "subset_hook_caller")
    ]
    return reached + [
        f"line {call.lineno}: {called}()"
        for called, call in calls(tree)
        if called in HOOKS and not _is_core_module_call(call)
    ]


def _is_core_module_call(call: ast.Call) -> bool:
    """``strategies.register_strategies(register)``: one hook's body that lives in its room."""
    return isinstance(call.func, ast.Attribute) and ast.unparse(call.func.value) == "strategies"


@EVERY_MODULE
def test_no_hook_is_called_after_start_up(module: Module) -> None:
    assert module.name in STARTS_UP or hook_calls(module.tree()) == []


def test_a_late_hook_call_is_noticed() -> None:
    assert hook_calls(ast.parse("manager.hook.register_observers(register=r)"))
    assert hook_calls(ast.parse("registry.configure_app(app=app, config=config)"))


def hooks_of(tree: ast.AST) -> Iterator[tuple[ast.stmt, ast.expr]]:
    """Functions that declare or fill a hook, with the decorator that says so."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for decorator in node.decorator_list:
                if ast.unparse(decorator).partition("(")[0] in ("hookimpl", "hookspec"):
                    yield node, decorator


@EVERY_MODULE
def test_every_hook_is_plain(module: Module) -> None:
    for function, decorator in hooks_of(module.tree()):
        assert isinstance(function, ast.FunctionDef), "hooks are called without a loop"
        assert "firstresult" not in ast.unparse(decorator)


def test_the_hooks_are_those_four() -> None:
    (specs,) = [m for m in gateway_modules() if m.name == "gateway.hookspecs"]
    declared = {f.name for f, _ in hooks_of(specs.tree()) if isinstance(f, ast.FunctionDef)}
    assert declared == HOOKS
