"""Who goes next: nobody is lost, nobody goes twice, and nobody waits for more than his share."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    precondition,
    rule,
)

from gateway.limits.fair_queue import FairQueue
from gateway.schema import BATCH, INTERACTIVE

PRIORITIES = st.sampled_from([INTERACTIVE, BATCH])
PROJECTS = st.sampled_from(["market", "lantern", "harbour", "tower"])


@dataclass(frozen=True)
class Waiting:
    """A call that waits, by the order in which it came."""

    number: int
    priority: str
    project: str


def queue_of(*entries: tuple[str, str]) -> FairQueue[str]:
    """Items are called ``project-number``, by their place among the arguments."""
    queue = FairQueue[str]()
    for number, (priority, project) in enumerate(entries):
        queue.push(f"{project}-{number}", priority, project)
    return queue


def served(queue: FairQueue[str]) -> list[str]:
    """Everybody, in the order of service; batch calls are those of projects called ``b…``."""
    order = []
    while queue:
        item = queue.first()
        order.append(item)
        priority = BATCH if item.startswith("b") else INTERACTIVE
        queue.serve(item, priority, item.partition("-")[0])
    return order


def test_batch_waits_behind_everything_interactive() -> None:
    queue = queue_of((BATCH, "b"), (INTERACTIVE, "x"), (BATCH, "b"), (INTERACTIVE, "x"))
    assert served(queue) == ["x-1", "x-3", "b-0", "b-2"]


def test_projects_take_turns_however_many_calls_one_has() -> None:
    queue = queue_of(*[(INTERACTIVE, "x")] * 4, (INTERACTIVE, "y"), (INTERACTIVE, "z"))
    assert served(queue) == ["x-0", "y-4", "z-5", "x-1", "x-2", "x-3"]


def test_whoever_gives_up_leaves_no_gap() -> None:
    queue = queue_of((INTERACTIVE, "x"), (INTERACTIVE, "x"), (INTERACTIVE, "y"))
    assert queue.leave("x-0", INTERACTIVE, "x")
    assert not queue.leave("x-0", INTERACTIVE, "x")
    assert served(queue) == ["x-1", "y-2"]


def test_an_empty_queue_has_no_first() -> None:
    with pytest.raises(StopIteration):
        FairQueue[str]().first()


class FairQueueMachine(RuleBasedStateMachine):
    """Beside the queue, a plain list of who waits and a tally of turns."""

    waiting = Bundle[Waiting]("waiting")

    def __init__(self) -> None:
        super().__init__()
        self.queue = FairQueue[Waiting]()
        self.present: list[Waiting] = []
        self.number = 0
        self.since: dict[tuple[str, str], Counter[str]] = {}
        """For each class and project that waits: turns of others since its last one."""

    @rule(target=waiting, priority=PRIORITIES, project=PROJECTS)
    def push(self, priority: str, project: str) -> Waiting:
        self.number += 1
        item = Waiting(self.number, priority, project)
        ahead = self.queue.ahead(priority, project)
        self.queue.push(item, priority, project)
        assert ahead == self._turns_before(item)
        self.present.append(item)
        self.since.setdefault((priority, project), Counter())
        return item

    @rule(item=consumes(waiting))
    def leave(self, item: Waiting) -> None:
        was_there = item in self.present
        assert self.queue.leave(item, item.priority, item.project) == was_there
        if was_there:
            self._gone(item)

    @precondition(lambda self: self.present)
    @rule()
    def serve(self) -> None:
        item = self.queue.first()
        assert item in self.present
        interactive = [other for other in self.present if other.priority == INTERACTIVE]
        assert item.priority == INTERACTIVE or not interactive
        mine = [o for o in self.present if (o.priority, o.project) == (item.priority, item.project)]
        assert item == min(mine, key=lambda other: other.number)
        self.queue.serve(item, item.priority, item.project)
        self.since[item.priority, item.project] = Counter()
        self._gone(item)
        for (priority, project), turns in self.since.items():
            if priority == item.priority and project != item.project:
                turns[item.project] += 1
                assert turns[item.project] <= 1, f"{item.project} went twice before {project}"

    @invariant()
    def nobody_is_lost(self) -> None:
        assert len(self.queue) == len(self.present)
        assert self.queue.is_urgent == any(o.priority == INTERACTIVE for o in self.present)

    def teardown(self) -> None:
        left = []
        while self.queue:
            item = self.queue.first()
            self.queue.serve(item, item.priority, item.project)
            left.append(item)
        assert sorted(left, key=lambda o: o.number) == self.present

    def _gone(self, item: Waiting) -> None:
        self.present.remove(item)
        place = item.priority, item.project
        if not any((o.priority, o.project) == place for o in self.present):
            self.since.pop(place, None)

    def _turns_before(self, item: Waiting) -> int:
        """Served in order on a copy of the queue, how many go before the item?"""
        copy = FairQueue[Waiting]()
        for ring, copied in (
            (self.queue._interactive, copy._interactive),
            (self.queue._batch, copy._batch),
        ):
            for project, line in ring._lines.items():
                for other in line:
                    copied.push(other, project)
        count = 0
        while (first := copy.first()) != item:
            copy.serve(first, first.priority, first.project)
            count += 1
        return count


TestFairQueue = FairQueueMachine.TestCase
