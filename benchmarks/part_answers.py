"""What comes back of a script in parts, from models that behave and one that often does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gateway.chunking.screenplay import parse
from gateway.chunking.script import Kind, Section

from .echo_upstream import is_left_alone
from .part_waves import Answered, ask, serving
from .servers import Cores, Server
from .splitting import Source, write

SCRIPT_BYTES = 500_000
MANNERS = {
    "gives it back": "echo",
    "rewrites every other scene": "polish",
    "the same; one answer in ten is wrong": "faulty",
}

Figures = dict[str, Any]


def measure(folder: Path, cores: Cores, command: str) -> list[Figures]:
    """A row for each kind of model."""
    source = write("spaced", SCRIPT_BYTES)
    found = []
    for number, (name, manner) in enumerate(MANNERS.items()):
        options = ("--answer-s", "0", "--manner", manner)
        with serving(folder / f"answers{number}", cores, command, *options) as server:
            found.append({"model": name, **_answered(server, source)})
    return found


def _answered(server: Server, source: Source) -> Figures:
    answered = ask(server, "side", source.text)
    parts = answered.metadata["parts"]
    return {
        "parts": len(parts),
        **_survival(source, answered),
        "retries": answered.metadata["retries"] / len(parts),
        "flagged": len(answered.metadata["flagged"]),
        "cost_per_1000_chars": answered.cost * 1000 / len(source.text),
    }


def _survival(source: Source, answered: Answered) -> Figures:
    """Shares of 1, by the headings that the script's writer knows. ``untouched``: scenes that the
    model left alone and that are the same, byte for byte."""
    script = parse(answered.text)
    scenes = [section for section in script.sections if section.kind is Kind.SCENE]
    written = {source.names[at]: at for at in range(len(source.names)) if "-" in source.names[at]}
    order = [section.name for section in scenes]
    right = sum(a == b for a, b in zip(order, written, strict=False))
    return {
        "recall": sum(name in set(order) for name in written) / len(written),
        "precision": sum(name in written for name in order) / len(order),
        "order": right / max(len(order), len(written)),
        "untouched": _untouched(source, answered.text, scenes),
    }


def _untouched(source: Source, text: str, scenes: list[Section]) -> float:
    after = {section.name: text[section.start : section.end] for section in scenes}
    before = {
        name: source.text[start:end]
        for name, (start, end) in zip(
            (name for name in source.names if "-" in name), source.scenes, strict=True
        )
    }
    alone = [name for name in before if is_left_alone(name)]
    return sum(after.get(name) == before[name] for name in alone) / len(alone)
