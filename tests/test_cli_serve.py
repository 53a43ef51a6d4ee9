"""``daobo serve``: how it starts, what changes while it runs, how it stops; real processes, real
ports, real signals."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from .command import daobo_process, environment, is_a_sentence
from .served import CONFIG, KEY, PATIENCE_S, POLL_S, Served, chat, eventually, serve

NEVER_S = 3600
"""Longer than any test waits."""

# Starting


def test_a_busy_port_is_a_sentence_and_no_key_is_lost(tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_text(CONFIG)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = daobo_process(tmp_path, "serve", "--config", "gateway.yaml", "--port", port)
    assert done.returncode == 1
    assert is_a_sentence(done), done.stderr
    assert f"cannot listen on 127.0.0.1:{port}" in done.stderr
    assert "--port" in done.stderr
    assert not (tmp_path / ".state" / "keys.json").exists(), "a key was made and never shown"


def test_workers_that_cannot_start_end_the_command(tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_text("sever: {}\n")
    done = daobo_process(tmp_path, "serve", "--workers", "2", "--config", "gateway.yaml")
    assert done.returncode == 1
    assert "daobo: gateway.yaml:1: sever: unknown key" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture(scope="module")
def first_start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A gateway that found no key, neither in its state nor in the environment."""
    with serve(tmp_path_factory.mktemp("first"), DAOBO_KEY="") as served:
        yield served


def shown_key(served: Served) -> str:
    (key,) = set(re.findall(r"sk-daobo-[\w-]+", served.printed))
    return key


def test_the_first_start_shows_all_one_needs(first_start: Served) -> None:
    base_url = f"http://127.0.0.1:{first_start.port}/v1"
    key = shown_key(first_start)
    assert f"base URL  {base_url}\n" in first_start.printed
    assert re.search(r"draft +rehearsal/rehearsal-writer", first_start.printed)
    assert f"curl {base_url}/chat/completions" in first_start.printed
    assert f'OpenAI(base_url="{base_url}", api_key="{key}")' in first_start.printed
    assert "messages=[{" in first_start.printed
    assert first_start.ask("/v1/chat/completions", chat(), key)[0] == 200


def test_the_pasted_command_answers(first_start: Served) -> None:
    printed = first_start.printed
    command = printed[printed.index("curl ") : printed.index("# or from")]
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, env=environment(), timeout=PATIENCE_S
    )
    assert json.loads(done.stdout)["choices"][0]["message"]["content"]


def test_a_second_start_shows_no_key_and_takes_the_first(
    first_start: Served, tmp_path: Path
) -> None:
    state = str(first_start.folder / ".state")
    with serve(tmp_path, DAOBO_KEY="", DAOBO_STATE=state) as second:
        assert "sk-daobo-" not in second.printed
        assert second.ask("/v1/models", key=shown_key(first_start))[0] == 200
        assert second.end(signal.SIGTERM) == 0


def test_options_may_come_from_the_environment(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(CONFIG.replace("draft:", "from-mine:"))
    environ = {"DAOBO_CONFIG": "mine.yaml", "DAOBO_STATE": "kept", "DAOBO_HOST": "localhost"}
    with serve(tmp_path, **environ) as served:
        assert f"http://localhost:{served.port}/v1" in served.printed
        assert "from-mine" in served.models()
        connection = http.client.HTTPConnection("127.0.0.1", served.admin_port, timeout=PATIENCE_S)
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
    eventually(lambda: running.models() == ["draft", "writer", "auto"])


def test_a_key_works_and_is_refused_soon_after_it_is_revoked(running: Served) -> None:
    made = daobo_process(running.folder, "keys", "create", "Mei").stdout
    key_id, text = re.findall(r"key_\w+|sk-daobo-\S+", made)
    eventually(lambda: running.ask("/v1/models", key=text)[0] == 200)
    daobo_process(running.folder, "keys", "revoke", key_id)
    eventually(lambda: running.ask("/v1/models", key=text)[0] == 401)
    assert running.ask("/v1/models")[0] == 200


def test_a_changed_file_is_taken_over(running: Served, config: Path) -> None:
    config.write_text(CONFIG + "  polish: {models: [writer]}\n")
    eventually(lambda: "polish" in running.models())
    assert running.ask("/v1/chat/completions", chat("polish"))[0] == 200


def test_a_faulty_file_changes_nothing_and_the_log_says_why(running: Served, config: Path) -> None:
    config.write_text("sever: {}\n" + CONFIG)
    line = running.logged("the new configuration is not used", "unknown key")
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
    eventually(lambda: "drift" in running.models())


# Stopping


class Held(ThreadingHTTPServer):
    """An upstream whose streams begin, and go on only when the test says so."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _HeldStream)
        self.released = threading.Event()


class _HeldStream(BaseHTTPRequestHandler):
    server: Held

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            self._send({"delta": {"role": "assistant", "content": "雨夜"}})
            self.server.released.wait()
            self._send({"delta": {}, "finish_reason": "stop"})
            self.wfile.write(b"data: [DONE]\n\n")

    def _send(self, choice: dict[str, Any]) -> None:
        chunk = {
            "id": "c1",
            "object": "chat.completion.chunk",
            "created": 1_795_348_800,
            "model": "writer-1",
            "choices": [{"index": 0, **choice}],
        }
        self.wfile.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")

    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads a line for each request."""


@dataclass(frozen=True)
class Streaming:
    """A gateway, and an answer that has begun and cannot end before the upstream may go on."""

    served: Served
    response: http.client.HTTPResponse
    upstream: Held


@contextmanager
def streaming(folder: Path, shutdown_timeout_s: float) -> Iterator[Streaming]:
    held = Held()
    serving = threading.Thread(target=held.serve_forever, args=(POLL_S,))
    serving.start()
    (folder / "gateway.yaml").write_text(
        f"server: {{shutdown_timeout_s: {shutdown_timeout_s}}}\n"
        f"providers:\n  held: {{type: openai-compatible, "
        f'base_url: "http://127.0.0.1:{held.server_port}/v1", idle_timeout_s: {NEVER_S}}}\n'
        "models:\n  writer: {targets: [held/writer-1], price: {free: true}}\n"
        "tasks:\n  draft: {models: [writer]}\n"
    )
    try:
        with (
            serve(folder) as served,
            served.asking("/v1/chat/completions", chat(stream=True)) as response,
        ):
            assert response.status == 200
            assert response.readline().startswith(b"data: ")
            yield Streaming(served, response, held)
    finally:
        held.released.set()
        held.shutdown()
        serving.join()
        held.server_close()


def test_a_stream_that_has_begun_is_finished_before_the_end(tmp_path: Path) -> None:
    with streaming(tmp_path, shutdown_timeout_s=NEVER_S) as under_way:
        under_way.served.process.send_signal(signal.SIGTERM)
        under_way.served.logged("stopping")
        assert under_way.served.process.poll() is None
        under_way.upstream.released.set()
        assert under_way.response.read().endswith(b"data: [DONE]\n\n")
        assert under_way.served.process.wait(PATIENCE_S) == 0


def test_a_stream_that_outlasts_the_deadline_is_cut_and_says_so(tmp_path: Path) -> None:
    with streaming(tmp_path, shutdown_timeout_s=0.1) as under_way:
        assert under_way.served.end(signal.SIGTERM) == 0
        last = under_way.response.read().rstrip().rpartition(b"data: ")[2]
    assert json.loads(last)["error"]["code"] == "upstream_cut"


def test_a_second_signal_stops_at_once(tmp_path: Path) -> None:
    with streaming(tmp_path, shutdown_timeout_s=NEVER_S) as under_way:
        under_way.served.process.send_signal(signal.SIGTERM)
        under_way.served.logged("stopping")
        assert under_way.served.end(signal.SIGTERM) != 0
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            under_way.response.read()


def test_control_c_stops_an_idle_gateway_in_order(tmp_path: Path) -> None:
    with serve(tmp_path) as served:
        assert served.end(signal.SIGINT) == 0
        assert "Traceback" not in served.log


def test_readyz_goes_first_and_calls_are_still_answered_for_a_while(tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_text(CONFIG + f"server: {{ready_delay_s: {NEVER_S}}}\n")
    with serve(tmp_path) as served:
        served.process.send_signal(signal.SIGTERM)
        eventually(lambda: served.ask("/readyz")[0] == 503)
        assert served.ask("/v1/models")[0] == 200
        served.process.kill()


def test_a_gateway_that_is_no_longer_ready_ends_in_order(tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_text(CONFIG + "server: {ready_delay_s: 0.1}\n")
    with serve(tmp_path) as served:
        assert served.end(signal.SIGTERM) == 0


# Several workers


def children(process: subprocess.Popen[bytes]) -> set[int]:
    listed = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    return set(map(int, listed.split()))


def two_workers(served: Served) -> set[int]:
    """Both of them, as soon as they are there."""
    return eventually(lambda: len(found := children(served.process)) == 2 and found) or set()


def serves_steadily(served: Served) -> bool:
    """The kernel spreads connections, so a few dozen reach every worker."""
    try:
        return all(served.ask("/v1/models")[0] == 200 for _ in range(30))
    except OSError:
        return False


def test_two_workers_share_a_port_and_one_that_dies_is_replaced(tmp_path: Path) -> None:
    with serve(tmp_path, "--workers", "2") as served:
        before = two_workers(served)
        assert served.printed.count("base URL") == 1
        os.kill(min(before), signal.SIGKILL)
        served.logged("worker", "ended (-9); starting another")
        after = two_workers(served)
        assert len(after & before) == 1
        eventually(lambda: serves_steadily(served))
        assert served.end(signal.SIGTERM) == 0
        assert not any(Path(f"/proc/{pid}").exists() for pid in after)


def test_workers_do_not_outlive_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    with serve(tmp_path, "--workers", "2") as served:
        workers = two_workers(served)
        served.process.kill()
        eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))
        assert "the process that started this worker is gone" in served.log


def test_workers_stop_even_if_one_is_just_being_replaced(tmp_path: Path) -> None:
    with serve(tmp_path, "--workers", "2") as served:
        os.kill(min(two_workers(served)), signal.SIGKILL)
        served.logged("starting another")
        assert served.end(signal.SIGTERM) == 0
