"""The project's own source as the meta tests see it: modules, their trees, their imports."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Module:
    """One source file under the name that it is imported by."""

    name: str
    path: Path

    @property
    def is_package(self) -> bool:
        return self.path.name == "__init__.py"

    @property
    def shown(self) -> str:
        return self.path.relative_to(ROOT).as_posix()

    def tree(self) -> ast.Module:
        return _parsed(self.path)

    def imports(self) -> Iterator[Import]:
        yield from imports_of(self.tree(), self.name, self.is_package)


@dataclass(frozen=True)
class Import:
    """``names`` are absolute; ``from gateway import x`` could mean either of two modules."""

    module: str
    member: str | None
    level: int
    line: int


def imports_of(tree: ast.Module, name: str, is_package: bool) -> Iterator[Import]:
    """Every import of a module, those inside functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, None, 0, node.lineno)
        elif isinstance(node, ast.ImportFrom):
            module = _absolute(node, name, is_package)
            for alias in node.names:
                yield Import(module, alias.name, node.level, node.lineno)


def _absolute(node: ast.ImportFrom, name: str, is_package: bool) -> str:
    if not node.level:
        return node.module or ""
    parts = name.split(".")
    parent = parts[: len(parts) - node.level + is_package]
    return ".".join([*parent, *([node.module] if node.module else [])])


@cache
def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


@cache
def gateway_modules() -> tuple[Module, ...]:
    """The core."""
    return tuple(_modules(ROOT))


@cache
def bundled_plugins() -> tuple[Module, ...]:
    return tuple(_modules(ROOT / "plugins"))


@cache
def example_plugins() -> tuple[Module, ...]:
    """Distributions that stand for those of somebody else."""
    folders = sorted(ROOT.glob("examples/*/"))
    return tuple(module for folder in folders for module in _modules(folder))


def _modules(folder: Path) -> Iterator[Module]:
    for path in sorted([*folder.glob("gateway*.py"), *folder.glob("gateway*/**/*.py")]):
        parts = path.relative_to(folder).with_suffix("").parts
        if folder == ROOT and parts[0] != "gateway":
            continue
        yield Module(".".join(parts).removesuffix(".__init__"), path)


def docstrings(tree: ast.Module) -> set[ast.Constant]:
    """String statements: docstrings of modules, classes, functions and attributes."""
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
