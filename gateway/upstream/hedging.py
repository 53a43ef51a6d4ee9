"""A second attempt beside a first one that is silent: whichever answers first is the answer.

The other one is cancelled, its connection closed. It may be billed all the same, so it is an
attempt of its own in the journey, charged as one whose fate nobody knows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from gateway.contracts import Client
from gateway.errors import CallError
from gateway.journey import Journey
from gateway.schema import Call, Plan, Target

from .ladder import Step

HEDGE = "hedge"
"""Why a further attempt was made, among the reasons of retries."""
_MORE_THAN_TEXT = ("tools", "functions", "modalities", "audio")

Attempt = Callable[[Journey, Step, Client], Awaitable[CallError | None]]


def may_be_hedged(call: Call, plan: Plan, target: Target) -> bool:
    """Only what has no effect but text: a chat without tools, at a live target, with another
    target to send it to."""
    return (
        call.endpoint == "chat"
        and not target.rehearsal
        and len(plan.targets) > 1
        and not any(plan.body.get(field) for field in _MORE_THAN_TEXT)
    )


class Race:
    """One call's attempts side by side. ``journey`` is the call's, and the first attempt's."""

    def __init__(self, journey: Journey, client: Client, attempt: Attempt) -> None:
        self.winner: Runner | None = None
        self.failures: list[tuple[Step, CallError, bool]] = []
        """What ended without an answer, and whether it had gone out to its provider."""
        self.is_answered = False
        self.unused: Step | None = None
        """What ``second`` gave, too late to be of use."""
        self._journey = journey
        self._client = client
        self._attempt = attempt
        self._runners: list[Runner] = []

    async def run(
        self,
        first: Step,
        second: Callable[[], Awaitable[Step | None]],
        after_s: float,
        may_go_on: Callable[[CallError], bool],
    ) -> None:
        """Until there is an answer, or no attempt is left. ``second`` gives what to try beside the
        first attempt once that has been silent for ``after_s``. Raises what is no CallError; the
        journey is told everything in any case."""
        try:
            runner = self._start(first, self._journey)
            await asyncio.wait((runner.task,), timeout=after_s)
            if self._is_open(runner) and (step := await second()) is not None:
                if self._is_open(runner):
                    self._journey.hedged = True
                    self._start(step, self._journey.fork())
                else:
                    self.unused = step
            await self._watch(may_go_on)
        finally:
            await self._end()

    def _is_open(self, runner: Runner) -> bool:
        return self.winner is None and not runner.task.done()

    def _start(self, step: Step, journey: Journey) -> Runner:
        runner = Runner(self, step, journey, self._client)
        runner.task = asyncio.ensure_future(self._attempt(journey, step, runner))
        self._runners.append(runner)
        return runner

    async def _watch(self, may_go_on: Callable[[CallError], bool]) -> None:
        running = {runner.task for runner in self._runners}
        while running:
            over, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for runner in self._runners:
                if runner.task not in over or runner.journey.given_up:
                    continue
                error = runner.task.result()
                if error is None:
                    self.is_answered = True
                    return
                self.failures.append((runner.step, error, runner.journey.billable))
                if runner is self.winner or not may_go_on(error):
                    return await self._give_up_all_but(runner)

    async def won(self, winner: Runner) -> None:
        """``winner`` has an answer: end the other, so that what it cost is known before the
        answer's head is written."""
        self.winner = winner
        await self._give_up_all_but(winner)
        self._absorb_all_into(winner)

    async def _give_up_all_but(self, kept: Runner) -> None:
        given_up = [
            runner for runner in self._runners if runner is not kept and not runner.task.done()
        ]
        for runner in given_up:
            runner.journey.given_up = True
            runner.task.cancel()
        if given_up:
            await asyncio.wait([runner.task for runner in given_up])

    async def _end(self) -> None:
        """Nothing runs on, and the call's journey knows what was tried beside it."""
        for runner in self._runners:
            runner.task.cancel()
        await asyncio.wait([runner.task for runner in self._runners])
        kept = self.winner or self._runners[0]
        self._absorb_all_into(kept)  # a client that left may have kept the winner from it
        if kept.journey is not self._journey:
            self._journey.become(kept.journey)

    def _absorb_all_into(self, kept: Runner) -> None:
        """Once: what was tried beside the attempt whose journey is the call's from now on."""
        for runner in self._runners:
            if runner is not kept and not runner.is_absorbed:
                runner.is_absorbed = True
                kept.journey.absorb(runner.journey)


class Runner:
    """One attempt of a race, and the client as the attempt sees it."""

    task: asyncio.Task[CallError | None]
    is_absorbed = False
    """What it did stands in the other one's journey."""

    def __init__(self, race: Race, step: Step, journey: Journey, client: Client) -> None:
        self.step = step
        self.journey = journey
        self._race = race
        self._client = client
        self.write = client.write
        self.when_drained = client.when_drained
        self.end_stream = client.end_stream

    @property
    def started(self) -> bool:
        return self._client.started

    @property
    def committed(self) -> bool:
        return self._client.committed

    async def send_answer(self, journey: Journey, body: bytes) -> None:
        await self._race.won(self)
        await self._client.send_answer(journey, body)

    async def begin_stream(self, journey: Journey, first: bytes) -> None:
        await self._race.won(self)
        await self._client.begin_stream(journey, first)
