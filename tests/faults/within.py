"""Looks into a gateway from within: put on ``PYTHONPATH`` as ``sitecustomize``, it answers SIGUSR2
by a line with the number of tasks at that moment, in the file that ``FAULTS_WITHIN`` names. Where
``FAULTS_LEASE_S`` is set, a process is taken for dead after so many seconds without a sign of it.
"""

import asyncio
import os
import signal
from types import FrameType


def note(number: int, frame: FrameType | None) -> None:
    """Runs on the loop's thread, between two steps of it."""
    with open(os.environ["FAULTS_WITHIN"], "a", encoding="ascii") as file:
        file.write(f"{len(asyncio.all_tasks())}\n")


def shorten_leases(lease_s: int) -> None:
    from gateway.stores import leases, ledger_thread

    leases.LEASE_S = lease_s
    ledger_thread.CHORES_S = lease_s / 6


if "FAULTS_LEASE_S" in os.environ:
    shorten_leases(int(os.environ["FAULTS_LEASE_S"]))
if "FAULTS_WITHIN" in os.environ:
    signal.signal(signal.SIGUSR2, note)
