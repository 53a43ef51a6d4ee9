"""What the upstream wrote down, read while it writes on."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .paid_upstream import INPUT_NANO, OUTPUT_NANO


@dataclass
class Billed:
    """What the upstream billed for one call."""

    times: int = 0
    """How often it was asked."""
    input_tokens: int = 0
    output_tokens: int = 0

    @property
    def nano_usd(self) -> int:
        return self.input_tokens * INPUT_NANO + self.output_tokens * OUTPUT_NANO


@dataclass
class Visited:
    """When one call came to the upstream and when it left; loop time of any process here."""

    asked_s: list[float] = field(default_factory=list)
    left_s: list[float] = field(default_factory=list)


@dataclass
class Tail:
    """A file that grows, read on where the last reading stopped."""

    path: Path
    _read_bytes: int = 0

    def lines(self) -> list[str]:
        if not self.path.exists():
            return []
        with self.path.open("rb") as file:
            file.seek(self._read_bytes)
            lines = file.read().rpartition(b"\n")[0]
        self._read_bytes += len(lines) + 1 if lines else 0
        return lines.decode("ascii").splitlines()


class BookReader:
    """What was billed, by the calls' ``user``."""

    def __init__(self, path: Path) -> None:
        self._tail = Tail(path)
        self._billed: defaultdict[str, Billed] = defaultdict(Billed)

    def read(self) -> Mapping[str, Billed]:
        for line in self._tail.lines():
            user, input_tokens, output_tokens = line.split()
            bill = self._billed[user]
            bill.times += input_tokens != "0"
            bill.input_tokens += int(input_tokens)
            bill.output_tokens += int(output_tokens)
        return self._billed


class VisitReader:
    """Who came and who left, by the calls' ``user``."""

    def __init__(self, path: Path) -> None:
        self._tail = Tail(path)
        self._visited: defaultdict[str, Visited] = defaultdict(Visited)

    def read(self) -> Mapping[str, Visited]:
        for line in self._tail.lines():
            what, user, at_ns = line.split()
            visited = self._visited[user]
            (visited.asked_s if what == "asked" else visited.left_s).append(int(at_ns) / 1e9)
        return self._visited
