"""``daobo serve`` as a user has it: a real process on real ports, and its output in files."""

from __future__ import annotations

import http.client
import json
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from .command import COMMAND, environment
from .ports import free_port

KEY = "sk-from-the-environment"
PATIENCE_S = 60.0
"""How long something that happens may take on the busiest machine; what never happens takes it."""
STOP_S = 5.0
"""How long a test that is over waits for its gateway before it kills it."""
POLL_S = 0.02
CONFIG = """\
providers:
  rehearsal: {token_delay_s: 0.02}
models:
  writer: {targets: [rehearsal/rehearsal-writer]}
tasks:
  draft: {models: [writer]}
"""
T = TypeVar("T")


def eventually(question: Callable[[], T]) -> T:
    """The first true answer; a failure if none comes, however busy the machine is."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not (answer := question()):
        assert time.monotonic() < deadline_s, f"not within {PATIENCE_S} s"
        time.sleep(POLL_S)
    return answer


@dataclass(frozen=True)
class Served:
    """A running ``daobo serve`` and what it has written."""

    process: subprocess.Popen[bytes]
    port: int
    admin_port: int
    folder: Path

    @property
    def printed(self) -> str:
        return (self.folder / "stdout").read_text("utf-8")

    @property
    def log(self) -> str:
        return (self.folder / "stderr").read_text("utf-8")

    def ask(
        self, path: str, body: Mapping[str, Any] | None = None, key: str = KEY
    ) -> tuple[int, str]:
        """Status and text of a request on a connection of its own."""
        with self.asking(path, body, key) as response:
            return response.status, response.read().decode()

    @contextmanager
    def asking(
        self, path: str, body: Mapping[str, Any] | None = None, key: str = KEY
    ) -> Iterator[http.client.HTTPResponse]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        try:
            sent = None if body is None else json.dumps(body)
            connection.request("GET" if body is None else "POST", path, sent, headers)
            yield connection.getresponse()
        finally:
            connection.close()

    def models(self) -> list[str]:
        return [model["id"] for model in json.loads(self.ask("/v1/models")[1])["data"]]

    def is_ready(self) -> bool:
        assert self.process.poll() is None, self.log
        try:
            return self.ask("/readyz")[0] == 200 and "base URL" in self.printed
        except OSError:
            return False

    def logged(self, *words: str) -> str:
        """The first log line with all the words, as soon as there is one."""

        def look() -> str | None:
            return next((x for x in self.log.splitlines() if all(w in x for w in words)), None)

        return eventually(look) or ""

    def end(self, number: int) -> int:
        """The exit code after a signal."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)


@contextmanager
def serve(folder: Path, *arguments: str, **environ: str) -> Iterator[Served]:
    """``daobo serve`` on free ports, ready; killed at the end if it is still there."""
    if not (folder / "gateway.yaml").exists():
        (folder / "gateway.yaml").write_text(CONFIG)
    port, admin_port = free_port(), free_port()
    given = {
        "DAOBO_CONFIG": "gateway.yaml",
        "DAOBO_PORT": str(port),
        "DAOBO_ADMIN_PORT": str(admin_port),
        "DAOBO_KEY": KEY,
    }
    with (folder / "stdout").open("wb") as out, (folder / "stderr").open("wb") as err:
        process = subprocess.Popen(
            [COMMAND, "serve", *arguments],
            cwd=folder,
            env=environment(**{**given, **environ}),
            stdout=out,
            stderr=err,
        )
    served = Served(process, port, admin_port, folder)
    try:
        eventually(served.is_ready)
        yield served
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def chat(model: str = "draft", **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": "写一个短剧开场"}], **more}
