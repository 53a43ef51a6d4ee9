"""CPU time and memory of a process and all its descendants, read from Linux's /proc."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_AFTER_COMM_UTIME = 11
"""Position of ``utime`` among the fields that follow the command name; three more follow it."""


def processes(pid: int) -> Iterator[int]:
    """``pid`` and every living descendant."""
    yield pid
    for task in _tasks(pid):
        try:
            children = (task / "children").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        for child in children.split():
            yield from processes(int(child))


def cpu_s(pid: int) -> float:
    """User and system time the tree has used, children that have ended included."""
    return sum(_cpu_ticks(process) for process in processes(pid)) / _TICKS_PER_S


def machine_cpu_s() -> float:
    """User and system time that all processes of the machine have used since it started."""
    user, nice, system = Path("/proc/stat").read_text().split()[1:4]
    return (int(user) + int(nice) + int(system)) / _TICKS_PER_S


def resident_mb(pid: int) -> float:
    """Resident memory of the tree now; pages that processes share count once for each."""
    return sum(_status_kb(process, "VmRSS") for process in processes(pid)) / 1024


def peak_mb(pid: int) -> float:
    """The sum of the highest resident memory each living process of the tree has had."""
    return sum(_status_kb(process, "VmHWM") for process in processes(pid)) / 1024


def _tasks(pid: int) -> list[Path]:
    try:
        return list(Path(f"/proc/{pid}/task").iterdir())
    except FileNotFoundError:
        return []


def _cpu_ticks(pid: int) -> int:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    # The command name may hold spaces and parentheses; nothing after its last ")" does.
    fields = stat.rpartition(")")[2].split()
    return sum(map(int, fields[_AFTER_COMM_UTIME : _AFTER_COMM_UTIME + 4]))


def _status_kb(pid: int, name: str) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    line = next((line for line in status.splitlines() if line.startswith(f"{name}:")), "0 0")
    return int(line.split()[1])
