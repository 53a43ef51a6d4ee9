"""The ledger compared with what the upstream has billed."""

from __future__ import annotations

from .replies import Reply
from .stage import Stage


async def assert_ledger_is_the_books(stage: Stage, reply: Reply) -> None:
    """One row for the call, an attempt for each request, and together what was billed; an attempt
    whose usage nobody told is never charged less than it cost."""
    await stage.settled()
    call_id = reply.headers["x-request-id"]
    assert stage.sql(f"SELECT COUNT(*) FROM requests WHERE id = '{call_id}'") == [(1,)]
    attempts = stage.sql(
        f"SELECT cost_nano, estimated, clamped FROM attempts WHERE request_id = '{call_id}'"
    )
    exact = [cost for cost, is_estimated, _ in attempts if not is_estimated]
    told = [asked for asked in stage.upstream.asked if asked.fate == "whole"]
    guessed = sum(cost for cost, is_estimated, _ in attempts if is_estimated)
    assert len(attempts) == len(stage.upstream.asked)
    assert sorted(cost for cost in exact if cost) == sorted(asked.nano_usd for asked in told)
    assert guessed >= stage.upstream.billed_nano - sum(exact)
    assert not any(is_clamped for *_, is_clamped in attempts)
    lines = stage.sql(f"SELECT SUM(cost_nano) FROM ledger WHERE request_id = '{call_id}'")
    assert lines == [(sum(exact) + guessed,)]
