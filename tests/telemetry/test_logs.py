"""What is written down of calls, and what never is."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from records import CHEAP, GOOD, STAND_IN, draft

from gateway.errors import Outcome
from gateway.schema import Attempt, Caller, CallRecord, Money, Usage
from gateway.telemetry.logs import CallLog, Format, Logging, configure_logging

SECRET = "Zx9Qw7Er5Ty3Ui1Op0"
Configure = Callable[..., Logging]


def line(record: CallRecord) -> dict[str, Any]:
    (written,) = lines_of(record)
    assert written.endswith(b"\n")
    assert written.count(b"\n") == 1
    fields: dict[str, Any] = orjson.loads(written)
    return fields


def test_a_kept_answer_says_why_it_was_not_sent_and_what_it_saved() -> None:
    told = line(draft(replayed="cache", cost=Money(0), attempts=()))
    assert (told["replayed"], told["saved_nano"], told["cost_nano"]) == ("cache", 1_250_000, 0)


def lines_of(record: CallRecord, level: int = 20) -> list[bytes]:
    written: list[bytes] = []
    CallLog(written.append, level)(record)
    return written


@pytest.fixture
def configure(tmp_path: Path) -> Iterator[Configure]:
    """Log to a file for one test; ``read()`` of the result gives its text."""
    handlers, level = logging.root.handlers[:], logging.root.level
    fd = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)

    def start(format: Format = "json", level: str = "info") -> Logging:
        return configure_logging(format, level, fd)

    yield start
    os.close(fd)
    structlog.reset_defaults()
    logging.captureWarnings(False)
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


@pytest.fixture
def text(tmp_path: Path) -> Callable[[], str]:
    return (tmp_path / "log").read_text


def test_a_call_is_one_line() -> None:
    assert line(draft(stream=True, time_to_first_token_s=0.25, chunks=40)) == {
        "timestamp": "2026-11-21T22:26:41.500000Z",
        "level": "info",
        "event": "call",
        "call_id": "call_1",
        "endpoint": "chat",
        "outcome": "ok",
        "status": 200,
        "key_id": "key_7",
        "project": "moonlight",
        "user": "lin",
        "task": "draft",
        "route_reason": "task",
        "requested_model": "draft",
        "provider": "deepseek",
        "model": "deepseek-flash",
        "rehearsal": False,
        "stream": True,
        "attempts": [
            {"target": "deepseek/deepseek-flash", "outcome": "ok", "duration_s": 1.4}
        ],
        "tokens": {"input": 800, "output": 120},
        "tokens_estimated": False,
        "cost_nano": 1_250_000,
        "currency": "USD",
        "time_to_first_token_s": 0.25,
        "duration_s": 1.5,
        "finish_reason": "stop",
    }  # fmt: skip


def test_rare_tokens_appear_when_there_are_some() -> None:
    usage = Usage(input_tokens=1, cache_read_tokens=2, reasoning_tokens=3, estimated=True)
    found = line(draft(usage=usage))
    assert found["tokens"] == {"input": 1, "output": 0, "cache_read": 2, "reasoning": 3}
    assert found["tokens_estimated"] is True


def test_a_failed_call_is_a_warning_with_everything_that_was_tried() -> None:
    found = line(
        draft(
            outcome=Outcome.UPSTREAM_TIMEOUT,
            attempts=(
                Attempt(GOOD, Outcome.UPSTREAM_OVERLOADED, 0.2, "529 overloaded"),
                Attempt(CHEAP, Outcome.UPSTREAM_TIMEOUT, 30.0, "no byte in 30 s"),
            ),
            detail="2 targets were tried, none answered",
        )
    )
    assert (found["level"], found["outcome"], found["status"]) == (
        "warning", "upstream_timeout", 504,
    )  # fmt: skip
    assert found["error"] == "2 targets were tried, none answered"
    assert [(a["target"], a["outcome"], a["detail"]) for a in found["attempts"]] == [
        ("anthropic/claude-opus-5", "upstream_overloaded", "529 overloaded"),
        ("deepseek/deepseek-flash", "upstream_timeout", "no byte in 30 s"),
    ]


def test_a_call_that_never_found_a_target_has_a_line_too() -> None:
    found = line(draft(outcome=Outcome.UNKNOWN_MODEL, target=None, attempts=(), cost=None))
    assert (found["provider"], found["model"], found["cost_nano"]) == (None, None, None)


def test_a_paid_model_that_was_rehearsed_says_so() -> None:
    found = line(draft(target=STAND_IN, cost=Money(0), list_cost=Money(77)))
    assert (found["rehearsed_paid_model"], found["list_cost_nano"]) == (True, 77)
    assert "rehearsed_paid_model" not in line(draft())


def test_quiet_levels_keep_failures_only() -> None:
    assert lines_of(draft(), level=30) == []
    assert len(lines_of(draft(outcome=Outcome.UPSTREAM_CUT), level=30)) == 1


def test_a_key_in_any_field_of_a_client_or_upstream_is_masked() -> None:
    key = f"sk-{SECRET}"
    record = draft(
        caller=Caller("key_7", project=key, user=f"Bearer {SECRET}"),
        requested_model=key,
        outcome=Outcome.UPSTREAM_CREDENTIALS,
        attempts=(Attempt(CHEAP, Outcome.UPSTREAM_CREDENTIALS, 0.1, f"bad key {key}"),),
        detail=f"the upstream refused https://x/v1?key={SECRET}",
    )
    assert SECRET.encode() not in lines_of(record)[0]


def test_a_hostile_name_costs_a_bounded_line() -> None:
    record = draft(
        requested_model="m" * 1_000_000, outcome=Outcome.UNKNOWN_MODEL, detail="d" * 10**6
    )
    assert len(lines_of(record)[0]) < 2_000


@given(st.text(), st.text(), st.text(max_size=700))
def test_every_call_makes_exactly_one_readable_line(user: str, model: str, detail: str) -> None:
    record = draft(
        caller=Caller("key_7", user=user + "\ud800"),
        requested_model=model,
        outcome=Outcome.INVALID_REQUEST,
        detail=detail,
    )
    assert line(record)["call_id"] == "call_1"


def test_events_have_the_shape_of_call_lines(configure: Configure, text: Callable[[], str]) -> None:
    configure()
    structlog.get_logger().info("configuration loaded", version="abc", models=3)
    found = orjson.loads(text())
    assert list(found) == ["timestamp", "level", "event", "version", "models"]
    assert (found["level"], found["event"], found["models"]) == ("info", "configuration loaded", 3)
    assert found["timestamp"].endswith("Z")


def test_the_standard_librarys_loggers_come_out_the_same_way(
    configure: Configure, text: Callable[[], str]
) -> None:
    configure()
    logging.getLogger("aiohttp.server").warning("bad request from %s", "10.0.0.1")
    found = orjson.loads(text())
    assert (found["level"], found["event"]) == ("warning", "bad request from 10.0.0.1")


def test_events_are_masked_tracebacks_included(
    configure: Configure, text: Callable[[], str]
) -> None:
    configure()
    try:
        raise ValueError(f"cannot use sk-{SECRET}")
    except ValueError:
        structlog.get_logger().exception("a call failed", headers={"Authorization": SECRET})
        logging.getLogger("asyncio").exception("Bearer %s", SECRET)
    assert text().count("Traceback") == 2
    assert SECRET not in text()


def test_less_severe_events_are_left_out(configure: Configure, text: Callable[[], str]) -> None:
    configure(level="warning")
    structlog.get_logger().info("quiet")
    logging.getLogger("x").info("quiet")
    structlog.get_logger().warning("loud")
    assert "quiet" not in text()
    assert "loud" in text()


def test_auto_is_json_where_nobody_looks(configure: Configure, text: Callable[[], str]) -> None:
    configure("auto").calls(draft())
    assert orjson.loads(text())["call_id"] == "call_1"


def test_auto_is_coloured_text_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    ours, terminal = os.openpty()
    handlers, level = logging.root.handlers[:], logging.root.level
    try:
        configure_logging("auto", "info", terminal).calls(draft())
        shown = os.read(ours, 10_000).decode()
    finally:
        os.close(ours)
        os.close(terminal)
        structlog.reset_defaults()
        logging.captureWarnings(False)
        logging.root.handlers[:] = handlers
        logging.root.setLevel(level)
    assert "\x1b[" in shown
    assert "deepseek-flash" in shown


def test_pretty_lines_leave_out_what_says_nothing(
    configure: Configure, text: Callable[[], str]
) -> None:
    configure("pretty").calls(draft())
    assert "\x1b[" not in text()
    assert "call_id=call_1" in text()
    assert "None" not in text()


async def test_lost_lines_are_reported_as_an_event(
    configure: Configure, text: Callable[[], str]
) -> None:
    log = configure()
    log.writer.start()
    log.writer.dropped_lines = 3
    log.calls(draft())
    await log.writer.close()
    assert orjson.loads(text().splitlines()[-1])["lines"] == 3
