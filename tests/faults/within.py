"""Looks into a gateway from within: put on ``PYTHONPATH`` as ``sitecustomize``, it answers SIGUSR2
by a line with the number of tasks at that moment, in the file that ``FAULTS_WITHIN`` names."""

import asyncio
import os
import signal
from types import FrameType


def note(number: int, frame: FrameType | None) -> None:
    """Runs on the loop's thread, between two steps of it."""
    with open(os.environ["FAULTS_WITHIN"], "a", encoding="ascii") as file:
        file.write(f"{len(asyncio.all_tasks())}\n")


if "FAULTS_WITHIN" in os.environ:
    signal.signal(signal.SIGUSR2, note)
