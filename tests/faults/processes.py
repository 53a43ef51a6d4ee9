"""The processes that faults are done to: the upstream, and gateways that can be killed."""

import asyncio
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import aiohttp
import orjson

from tests.end_to_end.gateway_process import KEY, quiet_environment
from tests.ports import free_port

from .books import Billed, BookReader, Visited, VisitReader
from .paid_upstream import visits_beside

ROOT = Path(__file__).parents[2]
WITHIN = Path(__file__).with_name("within.py")
START_TIMEOUT_S = 60.0
POLL_INTERVAL_S = 0.02
LOADED = "configuration loaded"
"""What the log says of a configuration that was taken over while running."""


async def until(condition: Callable[[], bool], timeout_s: float, what: str) -> float:
    """Wait until the condition holds; how long that took."""
    began_s = time.monotonic()
    while not condition():
        if time.monotonic() - began_s > timeout_s:
            raise AssertionError(f"{what}: not within {timeout_s:g} s")
        await asyncio.sleep(POLL_INTERVAL_S)
    return time.monotonic() - began_s


@dataclass
class UpstreamProcess:
    """The upstream that bills; its books stay when it dies."""

    books: Path
    port: int = field(default_factory=free_port)
    _process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self._books = BookReader(self.books)
        self._visits = VisitReader(visits_beside(self.books))

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        command = [sys.executable, "-m", "tests.faults.paid_upstream"]
        options = ["--books", str(self.books), "--port", str(self.port)]
        self._process = subprocess.Popen([*command, *options], cwd=ROOT, env=quiet_environment())
        await _answering(f"{self.root}/", self._process, "the upstream", any_status=True)

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    async def begin_books(self, books: Path) -> None:
        """What it writes down from now on has nothing to do with what was before."""
        async with (
            aiohttp.ClientSession(raise_for_status=True) as session,
            session.post(f"{self.root}/books", data=str(books)),
        ):
            pass
        self.books = books
        self.__post_init__()

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def billed(self) -> Mapping[str, Billed]:
        """By the calls' ``user``."""
        return self._books.read()

    def visited(self) -> Mapping[str, Visited]:
        """By the calls' ``user``."""
        return self._visits.read()


def from_within(folder: Path, **facts: object) -> dict[str, str]:
    """The environment of a gateway in which ``within.py`` runs, and what that is told."""
    place = folder / "within"
    place.mkdir(exist_ok=True)
    (place / "sitecustomize.py").write_bytes(WITHIN.read_bytes())
    told = {f"FAULTS_{name.upper()}": str(value) for name, value in facts.items()}
    return {"PYTHONPATH": str(place), **told}


def written_config(
    folder: Path, upstream_root: str, second_root: str | None = None, **more: Any
) -> Path:
    """A configuration with two providers, which are one upstream unless there is a second;
    ``more`` are parts of the file."""
    server = {**SERVER, **more.pop("server", {})}
    price = {"currency": "USD", "input_per_mtok": "1.00", "output_per_mtok": "4.00"}
    model = {"price": price, "max_output_tokens": 8192, "context_tokens": 128_000}
    config = {
        "rehearsal": "never",
        "max_attempts": 2,
        "providers": {
            name: {"type": "openai-compatible", "base_url": f"{root}/v1"}
            for name, root in (("paid", upstream_root), ("second", second_root or upstream_root))
        },
        "models": {
            "writer": {"targets": ["paid/writer-1"], **model},
            "elsewhere": {"targets": ["second/writer-1"], **model},
            "two-homes": {"targets": ["paid/writer-1", "second/writer-1"], **model},
        },
        "money": {"budgets": WIDE_BUDGETS},
        "server": server,
        **more,
    }
    path = folder / "gateway.yaml"
    new = path.with_suffix(".new")
    new.write_bytes(orjson.dumps(config))  # JSON is YAML
    return new.replace(path)  # a gateway that looks at it meanwhile finds the one or the other


PATIENT = {"overload": {"max_loop_lag_s": 30}}
"""What ``server`` says where a busy machine must not shed calls."""
SERVER: dict[str, Any] = {}
"""What it says in every configuration that does not say otherwise."""
WIDE_BUDGETS = [
    {"project": "*", "cap": "1000000", "currency": "USD"},
    {"cap": "7000000", "currency": "CNY", "window": "day"},
    {"project": "*", "cap": "1000000", "currency": "USD", "window": "24h"},
]
"""Never in the way, and one of each kind to keep account of."""


@dataclass
class GatewayProcess:
    """``daobo serve`` on one port and one state folder, however often it is started."""

    config: Path
    state: Path
    environ: Mapping[str, str] = field(default_factory=dict)
    workers: int = 1
    port: int = field(default_factory=free_port)
    admin_port: int = field(default_factory=free_port)
    _process: subprocess.Popen[bytes] | None = None
    _log: IO[bytes] | None = None

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def database_url(self) -> str:
        kept = f"sqlite:///{self.state / 'ledger.db'}"
        return self.environ.get("DAOBO_DATABASE_URL", kept)

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process

    async def start(self) -> None:
        command = [
            str(Path(sys.executable).with_name("daobo")), "serve",
            "--config", str(self.config), "--state", str(self.state),
            "--port", str(self.port), "--admin-port", str(self.admin_port),
            "--workers", str(self.workers),
        ]  # fmt: skip
        self.state.mkdir(parents=True, exist_ok=True)
        # Beside the state folder: that may be on a disk which a test fills.
        self._log = self.config.with_name(f"{self.port}.log").open("ab")
        self._process = subprocess.Popen(
            command,
            env=quiet_environment(DAOBO_KEY=KEY, **self.environ),
            stdout=subprocess.DEVNULL,
            stderr=self._log,
            process_group=0,
        )
        await _answering(
            f"{self.root}/readyz",
            self._process,
            "the gateway",
            lambda: f": {self.log_text()[-500:]}",
        )

    async def reload(self, write: Callable[[], Path]) -> None:
        """Change the configuration, and wait until the gateway has taken it over."""
        loaded = self.log_text().count(LOADED)
        write()
        self.signal(signal.SIGHUP)
        await until(lambda: self.log_text().count(LOADED) > loaded, 60, "the new configuration")

    def log_text(self) -> str:
        return self.config.with_name(f"{self.port}.log").read_text("utf-8")

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def worker_ids(self) -> list[int]:
        """The processes behind the one that was started."""
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(word) for word in path.read_text("ascii").split()]

    def limit_file_bytes(self, limit: int) -> None:
        """No file of this process may grow beyond that, as on a full disk."""
        hard = resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE)[1]
        resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (limit, hard))

    async def ended(self, timeout_s: float) -> float:
        """Wait until the process has ended; how long that took."""
        return await until(lambda: self.process.poll() is not None, timeout_s, "the gateway's end")

    def kill(self) -> None:
        """With its workers, if it has some: at once, as a machine does that loses power."""
        if self._process is not None and self._process.poll() is None:
            for worker in self.worker_ids():
                os.kill(worker, signal.SIGKILL)
            self._process.kill()
            self._process.wait()
        if self._log is not None:
            self._log.close()


def kill_all(processes: Sequence[GatewayProcess | UpstreamProcess]) -> None:
    for process in processes:
        process.kill()


async def _answering(
    url: str,
    process: subprocess.Popen[bytes],
    what: str,
    last_words: Callable[[], str] = str,
    any_status: bool = False,
) -> None:
    deadline_s = time.monotonic() + START_TIMEOUT_S
    async with aiohttp.ClientSession() as session:
        while process.poll() is None and time.monotonic() < deadline_s:
            try:
                async with session.get(url) as response:
                    if any_status or response.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(POLL_INTERVAL_S)
    raise AssertionError(f"{what} did not get ready (exit code {process.poll()}){last_words()}")
