"""Clients as the tests see them: one set of operations, whatever SDK, language or version.

A driver is a process that is given one request a line and reports one line. It starts once and
serves a whole session, because importing an SDK costs more than most calls.
"""

import json
import shutil
import subprocess
import sys
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import pytest

from .gateway_process import KEY, quiet_environment

ROOT = Path(__file__).parents[2]
SCRIPTS = Path(__file__).parent / "clients"
ENVIRONMENTS = ROOT / ".clients"

Report = dict[str, Any]


class ClientError(Exception):
    """What a client raised. ``name`` is the class of its exception."""

    def __init__(self, report: Report) -> None:
        super().__init__(f"{report['error']}: {report['message']}")
        self.name: str = report["error"]
        self.status: int | None = report["status_code"]
        self.code: str | None = report["code"]
        self.param: str | None = report["param"]
        self.message: str = report["message"]
        self.request_id: str | None = report["request_id"]


class Client(ABC):
    """A client of the gateway at ``root``.

    Keyword arguments are the parameters of the SDK's method, ``extra_body`` is for those that the
    SDK does not know. ``options`` are the client's own: ``path`` (of the base URL), ``api_key``,
    ``max_retries``, ``headers``.
    """

    def __init__(self, root: str) -> None:
        self.root = root

    def chat(self, options: Report | None = None, **parameters: Any) -> Report:
        return self.do("chat", options, parameters)

    def stream(self, options: Report | None = None, **parameters: Any) -> Report:
        return self.do("stream", options, parameters)

    def tool_loop(self, options: Report | None = None, **parameters: Any) -> Report:
        """Two turns: the answers of ``results`` (by tool) follow the returned message."""
        return self.do("tool_loop", options, parameters)

    def streamed_tool_loop(self, options: Report | None = None, **parameters: Any) -> Report:
        return self.do("streamed_tool_loop", options, parameters)

    def helped_tool_loop(self, options: Report | None = None, **parameters: Any) -> Report:
        """The first turn through the stream helper of the SDK, where it has one."""
        return self.do("helped_tool_loop", options, parameters)

    def embed(self, options: Report | None = None, **parameters: Any) -> Report:
        return self.do("embed", options, parameters)

    def models(self, options: Report | None = None) -> list[Report]:
        return list(self.do("models", options, {})["models"])

    def model(self, id: str, options: Report | None = None) -> Report:
        return dict(self.do("model", options, {"id": id})["model"])

    def do(self, operation: str, options: Report | None, parameters: Report) -> Report:
        """Any operation that the client knows. Raises ClientError."""
        defaults = {"root": self.root, "path": "/v1", "api_key": KEY, "max_retries": 0}
        options = {**defaults, "headers": {}, **(options or {})}
        report = self.perform(
            {"operation": operation, "options": options, "parameters": parameters}
        )
        if "error" in report:
            raise ClientError(report)
        return report

    @abstractmethod
    def perform(self, request: Report) -> Report:
        """One request to one report."""

    @abstractmethod
    def close(self) -> None:
        """Give back what the client holds."""


class Driver(Client):
    """A client in a process of its own."""

    def __init__(self, root: str, command: list[str], folder: Path) -> None:
        super().__init__(root)
        self._process = subprocess.Popen(
            command,
            cwd=folder,
            env=quiet_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )

    def perform(self, request: Report) -> Report:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            pytest.fail(f"the client {self._process.args!r} died; its words are on stderr")
        return dict(json.loads(line))

    def close(self) -> None:
        self._process.kill()  # it holds nothing, and Python takes a second to leave by itself
        self._process.communicate()


def python_driver(root: str, environment: str | None, script: str, *arguments: str) -> Driver:
    """A script under the interpreter of ``.clients/<environment>``; None: of the tests."""
    python = Path(sys.executable)
    if environment is not None:
        python = ENVIRONMENTS / environment / "bin" / "python"
        require(python)
    return Driver(root, [str(python), str(SCRIPTS / script), *arguments], ROOT)


def node_driver(root: str) -> Driver:
    folder = ENVIRONMENTS / "node"
    if shutil.which("node") is None:
        pytest.fail("node is not installed; with it, 'make clients' prepares the SDK for it")
    require(folder / "node_modules" / "openai")
    return Driver(root, ["node", str(SCRIPTS / "openai_node.mjs")], folder)


def require(path: Path, target: str = "clients") -> None:
    if not path.exists():
        pytest.fail(f"{path.relative_to(ROOT)} is missing; 'make {target}' prepares it")
