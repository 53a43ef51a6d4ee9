"""The history of runs: one JSON object a line, with what is needed to compare them."""

from __future__ import annotations

import json
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HISTORY = Path(__file__).parent / "results" / "history.jsonl"
_ROOT = Path(__file__).parent.parent


def circumstances() -> dict[str, Any]:
    """When, of which revision and on what machine a run was made."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "revision": _revision(),
        "cpu": _cpu_model(),
        "python": platform.python_version(),
    }


def append(record: dict[str, Any], path: Path = HISTORY) -> None:
    path.parent.mkdir(exist_ok=True)
    with path.open("a") as history:
        history.write(json.dumps(record) + "\n")


def last_full_run(path: Path = HISTORY) -> dict[str, Any] | None:
    """The newest run of all parts at full length."""
    lines = path.read_text().splitlines() if path.exists() else []
    runs: list[dict[str, Any]] = [json.loads(line) for line in lines]
    return next((run for run in reversed(runs) if run["full"]), None)


def _revision() -> str | None:
    """The commit, with "+" when the tree has changes; None outside a checkout."""
    head, changes = _git("rev-parse", "--short", "HEAD"), _git("status", "--porcelain")
    return None if head is None else head + ("+" if changes else "")


def _git(*arguments: str) -> str | None:
    try:
        result = subprocess.run(
            ["git", "-C", str(_ROOT), *arguments], capture_output=True, text=True
        )
    except FileNotFoundError:
        return None
    return result.stdout.strip() if result.returncode == 0 else None


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
