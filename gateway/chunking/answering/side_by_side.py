"""Work that belongs to one call, done at the same time: it ends together, or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any


async def side_by_side(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Until all of it is done. The first error ends the rest and is raised as it is; so does
    whoever cancels this. Nothing runs on in either case."""
    try:
        async with asyncio.TaskGroup() as group:
            for one in work:
                group.create_task(one)
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
