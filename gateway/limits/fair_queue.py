"""Who goes next: interactive calls before batch, projects in turn, first come first served."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

from gateway.schema import BATCH

T = TypeVar("T")


class FairQueue(Generic[T]):
    """Calls that wait for one target. Every operation but ``ahead`` takes constant time.

    A batch call goes only while no interactive one waits. Within a class, between two calls of
    one project every other project that waits gets one. Items are told apart by their hash.
    """

    __slots__ = ("_batch", "_interactive")

    def __init__(self) -> None:
        self._interactive = _Projects[T]()
        self._batch = _Projects[T]()

    def __len__(self) -> int:
        return self._interactive.size + self._batch.size

    @property
    def is_urgent(self) -> bool:
        """An interactive call waits."""
        return self._interactive.size > 0

    def push(self, item: T, priority: str, project: str) -> None:
        self._of(priority).push(item, project)

    def first(self) -> T:
        """Who goes next. Raises StopIteration if nobody waits."""
        return (self._interactive if self._interactive.size else self._batch).first()

    def serve(self, item: T, priority: str, project: str) -> None:
        """It goes: its project's next turn comes after everybody else's."""
        self._of(priority).serve(item, project)

    def leave(self, item: T, priority: str, project: str) -> bool:
        """It gives up. False if it does not wait here."""
        return self._of(priority).leave(item, project)

    def ahead(self, priority: str, project: str) -> int:
        """How many would go before another one, if nobody else came or left."""
        if priority == BATCH:
            return self._interactive.size + self._batch.ahead(project)
        return self._interactive.ahead(project)

    def _of(self, priority: str) -> _Projects[T]:
        return self._batch if priority == BATCH else self._interactive


class _Projects(Generic[T]):
    """One class: a ring of projects, each with its line. A project without a line is not in it."""

    __slots__ = ("_lines", "size")

    def __init__(self) -> None:
        self._lines: OrderedDict[str, OrderedDict[T, None]] = OrderedDict()
        self.size = 0

    def push(self, item: T, project: str) -> None:
        line = self._lines.get(project)
        if line is None:
            line = self._lines[project] = OrderedDict()
        line[item] = None
        self.size += 1

    def first(self) -> T:
        return next(iter(next(iter(self._lines.values()))))

    def serve(self, item: T, project: str) -> None:
        self.leave(item, project)
        if project in self._lines:
            self._lines.move_to_end(project)

    def leave(self, item: T, project: str) -> bool:
        line = self._lines.get(project)
        if line is None or item not in line:
            return False
        del line[item]
        self.size -= 1
        if not line:
            del self._lines[project]
        return True

    def ahead(self, project: str) -> int:
        own = len(self._lines.get(project, ()))
        count, passed = 0, False
        for name, line in self._lines.items():
            # Whoever comes before it in the ring has one turn more until then.
            passed = passed or name == project
            count += min(len(line), own if passed else own + 1)
        return count
