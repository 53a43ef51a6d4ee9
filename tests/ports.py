"""Ports for servers that are told theirs before they start."""

from __future__ import annotations

import os
import socket

FIRST, COUNT = 10_000, 22_000
"""Below those that the kernel gives to whoever asks for any: between the moment that a free one is
found and the one that a slow server listens on it, nobody else gets it."""

_last = os.getpid() * 3571 % COUNT
"""Each process of a test run begins somewhere else."""


def free_port() -> int:
    """A port on the loopback interface that nobody listens on, another one each time."""
    global _last
    for _ in range(COUNT):
        _last = (_last + 1) % COUNT
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", FIRST + _last))
            except OSError:
                continue
            return FIRST + _last
    raise RuntimeError(f"every port from {FIRST} to {FIRST + COUNT} is taken")
