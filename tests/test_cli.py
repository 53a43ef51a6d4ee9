"""The command ``daobo`` as a user has it: real processes, real ports, real signals."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

COMMAND = str(Path(sys.executable).with_name("daobo"))
KEY = "sk-from-the-environment"
START_TIMEOUT_S = 20.0
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


def environment(**more: str) -> dict[str, str]:
    """Nothing of whoever runs the tests: no keys, no proxies, no settings."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {**kept, "LANG": "C.UTF-8", "COLUMNS": "200", **more}


def daobo(folder: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """The command, run to its end in ``folder``."""
    return subprocess.run(
        [COMMAND, *arguments],
        cwd=folder,
        env=environment(**environ),
        capture_output=True,
        text=True,
        timeout=START_TIMEOUT_S,
    )


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def eventually(question: Callable[[], T], within_s: float) -> T:
    """The first true answer; a failure if none comes in time."""
    deadline_s = time.monotonic() + within_s
    while not (answer := question()):
        assert time.monotonic() < deadline_s, f"not within {within_s} s"
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
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
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

        return eventually(look, 5.0) or ""

    def end(self, number: int, within_s: float = 10.0) -> int:
        """The exit code after a signal."""
        self.process.send_signal(number)
        return self.process.wait(within_s)


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
        eventually(served.is_ready, START_TIMEOUT_S)
        yield served
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def chat(model: str = "draft", **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": "写一个短剧开场"}], **more}


def is_a_sentence(done: subprocess.CompletedProcess[str]) -> bool:
    """One line for each problem, and none of them a traceback."""
    lines = done.stderr.splitlines()
    return bool(lines) and all(line.startswith("daobo: ") for line in lines)


# Commands that come to an end


def test_help_names_every_command(tmp_path: Path) -> None:
    done = daobo(tmp_path, "--help")
    assert done.returncode == 0
    for command in ("serve", "check", "plugins", "schema", "keys"):
        assert re.search(rf"\b{command} ", done.stdout)


def test_check_lists_every_route_of_a_good_file(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        CONFIG.replace("models:\n", "  sleeper: {type: openai, api_key: '${NOBODY}'}\nmodels:\n")
    )
    done = daobo(tmp_path, "check", "--config", "mine.yaml")
    assert done.returncode == 0, done.stderr
    assert "mine.yaml: in order" in done.stdout
    assert re.search(r"draft +rehearsal/rehearsal-writer", done.stdout)
    assert "provider sleeper (openai) waits for NOBODY" in done.stdout
    assert "long scripts" not in done.stdout


def test_check_says_which_tasks_cut_long_scripts(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        CONFIG.replace("[writer]}", "[writer], chunking: {mode: reduce}}")
    )
    done = daobo(tmp_path, "check", "--config", "mine.yaml")
    assert "tasks that cut long scripts: draft (reduce)\n" in done.stdout


def test_check_names_file_and_line_of_every_fault(tmp_path: Path) -> None:
    text = CONFIG + "  polish: {models: [wrter]}\nauto: {default_task: drft}\n"
    (tmp_path / "mine.yaml").write_text(text)
    done = daobo(tmp_path, "check", DAOBO_CONFIG="mine.yaml")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        "daobo: mine.yaml:7: tasks.polish.models[0]: no model is called 'wrter' "
        "(did you mean 'writer'?)",
        "daobo: mine.yaml:8: auto.default_task: 'drft' is not configured (did you mean 'draft'?)",
    ]


@pytest.mark.parametrize("command", ["check", "serve"])
def test_a_missing_file_is_a_sentence(tmp_path: Path, command: str) -> None:
    done = daobo(tmp_path, command, "--config", "nowhere.yaml")
    assert done.returncode == 1
    assert done.stderr == "daobo: nowhere.yaml: there is no such file; name one with --config\n"


def test_plugins_are_listed_with_what_they_registered(tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_text(CONFIG)
    done = daobo(tmp_path, "plugins", "--config", "gateway.yaml")
    assert done.returncode == 0, done.stderr
    assert re.search(r"core +daobo \(core\).*strategy priority", done.stdout)
    assert re.search(r"rehearsal +daobo +\S+ +provider rehearsal", done.stdout)


def test_a_key_is_shown_once_listed_and_revoked(tmp_path: Path) -> None:
    made = daobo(tmp_path, "keys", "create", "Mei", "--project", "drama-7", "--state", "s")
    key_id, text = re.findall(r"key_\w+|sk-daobo-\S+", made.stdout)
    listed = daobo(tmp_path, "keys", "list", "--state", "s").stdout
    assert re.search(rf"{key_id} +Mei +drama-7", listed)
    assert text not in listed
    revoked = daobo(tmp_path, "keys", "revoke", key_id, DAOBO_STATE="s")
    assert revoked.stdout == f"{key_id} (Mei) is revoked\n"
    assert (tmp_path / "s" / "keys.json").exists()


def test_what_cannot_be_done_with_keys_is_a_sentence(tmp_path: Path) -> None:
    unknown = daobo(tmp_path, "keys", "revoke", "key_x")
    assert (unknown.returncode, is_a_sentence(unknown)) == (1, True)
    (tmp_path / "state").write_text("a file, not a folder")
    unwritable = daobo(tmp_path, "keys", "create", "Mei", "--state", "state")
    assert (unwritable.returncode, is_a_sentence(unwritable)) == (1, True)


def test_a_busy_port_is_a_sentence_and_no_key_is_lost(tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_text(CONFIG)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = daobo(tmp_path, "serve", "--config", "gateway.yaml", "--port", port)
    assert done.returncode == 1
    assert is_a_sentence(done), done.stderr
    assert f"cannot listen on 127.0.0.1:{port}" in done.stderr
    assert "--port" in done.stderr
    assert not (tmp_path / ".state" / "keys.json").exists(), "a key was made and never shown"


def test_workers_that_cannot_start_end_the_command(tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_text("sever: {}\n")
    done = daobo(tmp_path, "serve", "--workers", "2", "--config", "gateway.yaml")
    assert done.returncode == 1
    assert "daobo: gateway.yaml:1: sever: unknown key" in done.stderr
    assert "Traceback" not in done.stderr


# Starting


def test_the_first_start_shows_all_one_needs_and_the_second_shows_no_key(tmp_path: Path) -> None:
    with serve(tmp_path, DAOBO_KEY="") as first:
        base_url = f"http://127.0.0.1:{first.port}/v1"
        (key,) = set(re.findall(r"sk-daobo-[\w-]+", first.printed))
        assert f"base URL  {base_url}\n" in first.printed
        assert re.search(r"draft +rehearsal/rehearsal-writer", first.printed)
        assert f"curl {base_url}/chat/completions" in first.printed
        assert f'OpenAI(base_url="{base_url}", api_key="{key}")' in first.printed
        assert "messages=[{" in first.printed
        assert first.ask("/v1/chat/completions", chat(), key)[0] == 200
        assert first.end(signal.SIGTERM) == 0
    with serve(tmp_path, DAOBO_KEY="") as second:
        assert "sk-daobo-" not in second.printed
        assert second.ask("/v1/models", key=key)[0] == 200


def test_the_pasted_command_answers(tmp_path: Path) -> None:
    with serve(tmp_path, DAOBO_KEY="") as served:
        command = served.printed[served.printed.index("curl ") : served.printed.index("# or from")]
        done = subprocess.run(
            ["bash", "-c", command], capture_output=True, env=environment(), timeout=10
        )
    assert json.loads(done.stdout)["choices"][0]["message"]["content"]


def test_options_may_come_from_the_environment(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(CONFIG.replace("draft:", "from-mine:"))
    environ = {"DAOBO_CONFIG": "mine.yaml", "DAOBO_STATE": "kept", "DAOBO_HOST": "localhost"}
    with serve(tmp_path, **environ) as served:
        assert f"http://localhost:{served.port}/v1" in served.printed
        assert "from-mine" in served.models()
        connection = http.client.HTTPConnection("127.0.0.1", served.admin_port, timeout=5)
        connection.request("GET", "/metrics")
        assert connection.getresponse().status == 200
        connection.close()
        assert KEY not in served.printed
    assert not (tmp_path / ".state").exists()


# While it runs


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One gateway for the stories that leave it as it was."""
    with serve(tmp_path_factory.mktemp("running")) as served:
        yield served


@pytest.fixture
def config(running: Served) -> Iterator[Path]:
    """The running gateway's file, put back in order afterwards."""
    path = running.folder / "gateway.yaml"
    yield path
    path.write_text(CONFIG)
    eventually(lambda: running.models() == ["draft", "writer", "auto"], 5.0)


def test_a_key_works_and_is_refused_soon_after_it_is_revoked(running: Served) -> None:
    made = daobo(running.folder, "keys", "create", "Mei").stdout
    key_id, text = re.findall(r"key_\w+|sk-daobo-\S+", made)
    eventually(lambda: running.ask("/v1/models", key=text)[0] == 200, 2.0)
    daobo(running.folder, "keys", "revoke", key_id)
    eventually(lambda: running.ask("/v1/models", key=text)[0] == 401, 2.0)
    assert running.ask("/v1/models")[0] == 200


def test_a_changed_file_is_taken_over(running: Served, config: Path) -> None:
    config.write_text(CONFIG + "  polish: {models: [writer]}\n")
    eventually(lambda: "polish" in running.models(), 3.0)
    assert running.ask("/v1/chat/completions", chat("polish"))[0] == 200


def test_a_faulty_file_changes_nothing_and_the_log_says_why(running: Served, config: Path) -> None:
    config.write_text("sever: {}\n" + CONFIG)
    line = running.logged("the new configuration is not used")
    assert "gateway.yaml:1: sever: unknown key (did you mean 'server'?)" in line
    assert running.ask("/v1/chat/completions", chat())[0] == 200


def test_a_file_that_is_gone_changes_nothing(running: Served, config: Path) -> None:
    config.unlink()
    running.logged("the new configuration is not used", "there is no such file")
    assert running.ask("/v1/chat/completions", chat())[0] == 200


def test_a_hangup_reads_a_file_that_looks_unchanged(running: Served, config: Path) -> None:
    """Same size, same time: nothing but the signal can tell."""
    before = config.stat()
    draft = config.with_name("draft.yaml")
    draft.write_text(CONFIG.replace("draft:", "drift:"))
    os.utime(draft, ns=(before.st_atime_ns, before.st_mtime_ns))
    draft.replace(config)
    running.process.send_signal(signal.SIGHUP)
    eventually(lambda: "drift" in running.models(), 3.0)


# Stopping


@pytest.fixture
def slow_stream(tmp_path: Path) -> Iterator[tuple[Served, http.client.HTTPResponse]]:
    """A gateway and a stream of it that has begun and takes seconds."""
    (tmp_path / "gateway.yaml").write_text(CONFIG.replace("0.02", "0.1"))
    body = chat(stream=True, max_tokens=15)
    with (
        serve(tmp_path) as served,
        served.asking("/v1/chat/completions", body) as response,
    ):
        assert response.status == 200
        assert response.readline().startswith(b"data: ")
        yield served, response


def test_a_stream_that_has_begun_is_finished_before_the_end(
    slow_stream: tuple[Served, http.client.HTTPResponse],
) -> None:
    served, response = slow_stream
    served.process.send_signal(signal.SIGTERM)
    served.logged("stopping")
    assert served.process.poll() is None
    assert response.read().endswith(b"data: [DONE]\n\n")
    assert served.process.wait(5) == 0


def test_a_stream_that_outlasts_the_deadline_is_cut_and_says_so(tmp_path: Path) -> None:
    patience = "server: {shutdown_timeout_s: 0.3}\n"
    (tmp_path / "gateway.yaml").write_text(patience + CONFIG.replace("0.02", "0.2"))
    body = chat(stream=True, max_tokens=100)
    with (
        serve(tmp_path) as served,
        served.asking("/v1/chat/completions", body) as response,
    ):
        assert response.readline().startswith(b"data: ")
        assert served.end(signal.SIGTERM, within_s=4.0) == 0
        last = response.read().rstrip().rpartition(b"data: ")[2]
    assert json.loads(last)["error"]["code"] == "upstream_cut"


def test_a_second_signal_stops_at_once(
    slow_stream: tuple[Served, http.client.HTTPResponse],
) -> None:
    served, response = slow_stream
    served.process.send_signal(signal.SIGTERM)
    served.logged("stopping")
    assert served.end(signal.SIGTERM, within_s=1.0) != 0
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        response.read()


def test_control_c_stops_an_idle_gateway_in_order(tmp_path: Path) -> None:
    with serve(tmp_path) as served:
        assert served.end(signal.SIGINT, within_s=5.0) == 0
        assert "Traceback" not in served.log


def test_check_names_settings_that_nothing_acts_on_yet(tmp_path: Path) -> None:
    more = ", degrade: [{temperature: 0}]}"
    (tmp_path / "gateway.yaml").write_text(CONFIG.replace("[writer]}", "[writer]" + more))
    done = daobo(tmp_path, "check", "--config", "gateway.yaml")
    assert done.returncode == 0
    assert "tasks.draft.degrade has no effect in this version" in done.stdout


def test_readyz_goes_first_and_calls_are_still_answered_for_a_while(tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_text(CONFIG + "server: {ready_delay_s: 1.5}\n")
    with serve(tmp_path) as served:
        served.process.send_signal(signal.SIGTERM)
        eventually(lambda: served.ask("/readyz")[0] == 503, 1.0)
        assert served.ask("/v1/models")[0] == 200
        assert served.process.wait(5) == 0


# Several workers


def children(process: subprocess.Popen[bytes]) -> set[int]:
    listed = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    return set(map(int, listed.split()))


def serves_steadily(served: Served) -> bool:
    """The kernel spreads connections, so a few dozen reach every worker."""
    try:
        return all(served.ask("/v1/models")[0] == 200 for _ in range(30))
    except OSError:
        return False


def test_two_workers_share_a_port_and_one_that_dies_is_replaced(tmp_path: Path) -> None:
    with serve(tmp_path, "--workers", "2") as served:
        before = children(served.process)
        assert len(before) == 2
        assert served.printed.count("base URL") == 1
        os.kill(min(before), signal.SIGKILL)
        served.logged("worker", "ended (-9); starting another")
        after = eventually(lambda: len(found := children(served.process)) == 2 and found, 5.0)
        assert len(after & before) == 1
        eventually(lambda: serves_steadily(served), 10.0)
        assert served.end(signal.SIGTERM) == 0
        assert not any(Path(f"/proc/{pid}").exists() for pid in after)


def test_workers_do_not_outlive_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    with serve(tmp_path, "--workers", "2") as served:
        workers = children(served.process)
        served.process.kill()
        eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers), 10.0)
        assert "the process that started this worker is gone" in served.log


def test_workers_stop_even_if_one_is_just_being_replaced(tmp_path: Path) -> None:
    with serve(tmp_path, "--workers", "2") as served:
        os.kill(min(children(served.process)), signal.SIGKILL)
        served.logged("starting another")
        assert served.end(signal.SIGTERM) == 0
