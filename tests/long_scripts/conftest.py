"""One gateway for all stories of this folder; each begins with empty books."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from .script_upstream import RETRY_AFTER_S
from .stage import Stage, opened_stage, until


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def shared_stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    async with opened_stage(tmp_path_factory.mktemp("stage")) as stage:
        yield stage


@pytest_asyncio.fixture(loop_scope="session")
async def stage(shared_stage: Stage) -> AsyncIterator[Stage]:
    """With nothing left of the story before, and leaving nothing under way."""
    shared_stage.forget()
    yield shared_stage
    if any(asked.status == 429 for asked in shared_stage.upstream.asked):
        await asyncio.sleep(RETRY_AFTER_S)  # the gateway leaves the target alone for so long
    await until(lambda: not shared_stage.upstream.under_way, "the upstream has nothing left to do")
    await shared_stage.settled()
    assert shared_stage.sql("SELECT COUNT(*) FROM holds") == [(0,)]
