"""A load client: calls on a fixed schedule, to several servers in turn, timed from the schedule.

A call's latency counts from the moment it was meant to be sent, so a server that stalls cannot hide
the calls that waited behind the stall. Sockets are blocking and the sender sleeps to the
microsecond: event loops round their timers to a millisecond, more than what is measured here.
Runs as a process of its own and prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import select
import socket
import threading
import time
from collections import deque
from typing import Any

from .calls import chat_body, http_request
from .percentiles import percentile

START_AFTER_S = 0.2
WARM_UP_CALLS = 20
"""Of each server; the first calls open connections and fill caches, and are not counted."""
LAST_ANSWER_S = 10.0


class Server:
    """One server under measurement, its idle connections and what it took."""

    def __init__(self, name: str, port: int, key: str) -> None:
        self.name = name
        self.address = ("127.0.0.1", port)
        self.request = http_request(port, key, chat_body())
        self.idle: deque[socket.socket] = deque()
        self.latency_ns: list[int] = []
        self.faults: list[str] = []
        self.sent = 0

    def connection(self) -> socket.socket:
        """An idle connection, or a new one; LIFO, as client libraries do."""
        try:
            return self.idle.pop()
        except IndexError:
            connection = socket.create_connection(self.address, timeout=LAST_ANSWER_S)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return connection

    @property
    def answered(self) -> int:
        return len(self.latency_ns) + len(self.faults)

    def figures(self) -> dict[str, Any]:
        ordered = sorted(self.latency_ns[WARM_UP_CALLS:])
        return {
            "calls": self.sent,
            "p50_ms": percentile(ordered, 0.5) / 1e6,
            "p99_ms": percentile(ordered, 0.99) / 1e6,
            "faults": self.faults[:5],
            "fault_count": len(self.faults) + self.sent - self.answered,
        }


class Receiver(threading.Thread):
    """Takes the answers in whatever order they come."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._poll = select.epoll()
        self._pending: dict[int, tuple[Server, socket.socket, int]] = {}
        self._partial: dict[int, bytes] = {}

    def expect(self, server: Server, connection: socket.socket, due_ns: int) -> None:
        """Call before the request is sent."""
        self._pending[connection.fileno()] = (server, connection, due_ns)
        self._poll.register(connection, select.EPOLLIN)

    def run(self) -> None:
        while True:
            for descriptor, _ in self._poll.poll():
                self._take(descriptor)

    def _take(self, descriptor: int) -> None:
        server, connection, due_ns = self._pending[descriptor]
        try:
            data = connection.recv(65536)
        except ConnectionError:
            data = b""
        now_ns = time.monotonic_ns()
        answer = self._partial.pop(descriptor, b"") + data
        if data and not is_whole(answer):
            self._partial[descriptor] = answer
            return
        self._poll.unregister(connection)
        if answer.startswith(b"HTTP/1.1 200 "):
            server.idle.append(connection)
            server.latency_ns.append(now_ns - due_ns)
        else:
            connection.close()
            server.faults.append(
                answer[:200].decode(errors="replace") or "closed without an answer"
            )


def is_whole(answer: bytes) -> bool:
    """Whether a reply with a content-length has come entirely."""
    head, separator, body = answer.partition(b"\r\n\r\n")
    _, named, rest = head.lower().partition(b"\r\ncontent-length:")
    return bool(separator and named) and len(body) >= int(rest.split(b"\r\n")[0])


def run(servers: list[Server], calls_per_s: float, duration_s: float) -> None:
    """``calls_per_s`` to each server, their calls interleaved."""
    receiver = Receiver()
    receiver.start()
    interval_ns = 1e9 / (calls_per_s * len(servers))
    started_ns = time.monotonic_ns() + int(START_AFTER_S * 1e9)
    for i in range(int(duration_s * calls_per_s * len(servers))):
        server = servers[i % len(servers)]
        due_ns = started_ns + int(i * interval_ns)
        time.sleep(max(0, due_ns - time.monotonic_ns()) / 1e9)
        connection = server.connection()
        receiver.expect(server, connection, due_ns)
        server.sent += 1
        connection.sendall(server.request)
    deadline_s = time.monotonic() + LAST_ANSWER_S
    while any(s.answered < s.sent for s in servers) and time.monotonic() < deadline_s:
        time.sleep(0.01)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--key", required=True)
    parser.add_argument("--calls-per-s", type=float, required=True)
    parser.add_argument("--duration-s", type=float, required=True)
    parser.add_argument("servers", nargs="+", metavar="NAME=PORT")
    options = parser.parse_args()
    named = (server.split("=") for server in options.servers)
    servers = [Server(name, int(port), options.key) for name, port in named]
    run(servers, options.calls_per_s, options.duration_s)
    print(json.dumps({server.name: server.figures() for server in servers}))


if __name__ == "__main__":
    main()
