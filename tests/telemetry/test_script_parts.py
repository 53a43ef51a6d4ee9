"""What metrics and the log say of calls that were cut into parts."""

from __future__ import annotations

from typing import Any

import pytest
from records import BILL, CHEAP, GOOD, billed, draft, metrics, samples, value

from gateway.errors import Outcome
from gateway.schema import Attempt, CallRecord, PartCounts
from gateway.telemetry.logs import LEVELS, MAX_ATTEMPTS, CallLog, call_fields
from gateway.telemetry.redaction import MAX_TEXT_CHARS

FLAG = "part 2, 3-2: is the source's text: the answer ended in the middle"


def at(part: int, attempt: Attempt) -> Attempt:
    return attempt._replace(part=part)


def cut(*attempts: Attempt, flags: tuple[str, ...] = (), **counts: int) -> CallRecord:
    return draft(attempts=attempts, parts=PartCounts(**counts), flags=flags)


TWO_PARTS = (
    at(1, billed(CHEAP, BILL)),
    at(2, billed(CHEAP, BILL, Outcome.DISCARDED)),
    at(2, billed(GOOD, BILL)),
)


def test_parts_are_counted_by_what_became_of_them() -> None:
    counting = metrics()
    counting(cut(*TWO_PARTS, answered=1, repeated=1))
    counting(cut(at(1, billed(CHEAP, BILL)), answered=1, kept=3))
    found = {
        labels["result"]: (labels["task"], number)
        for labels, number in samples(counting.render())["daobo_script_parts_total"]
    }
    assert found == {"answered": ("draft", 2), "repeated": ("draft", 1), "kept": ("draft", 3)}


def test_flags_are_counted_and_not_read() -> None:
    counting = metrics()
    counting(cut(*TWO_PARTS, answered=1, source=1, flags=(FLAG, FLAG)))
    ((labels, number),) = samples(counting.render())["daobo_script_flags_total"]
    assert (labels, number) == ({"task": "draft"}, 2)


def test_a_task_that_is_not_configured_is_other() -> None:
    counting = metrics()
    counting(cut(*TWO_PARTS, answered=2, flags=(FLAG,))._replace(task="made up"))
    text = counting.render()
    assert value(text, "daobo_script_parts_total", task="other", result="answered") == 2
    assert value(text, "daobo_script_flags_total", task="other") == 1


def test_a_cut_call_is_one_call_with_its_attempts() -> None:
    counting = metrics()
    counting(cut(*TWO_PARTS, answered=1, repeated=1))
    text = counting.render()
    assert value(text, "daobo_requests_total") == 1
    assert value(text, "daobo_attempts_total", outcome="ok") == 2
    assert value(text, "daobo_attempts_total", outcome="discarded") == 1
    assert value(text, "daobo_cost_total") == 3 * 0.00125
    assert value(text, "daobo_wasted_cost_total", outcome="discarded") == 0.00125


def test_a_fallback_is_a_parts_own() -> None:
    counting = metrics()
    elsewhere = [at(number, billed(GOOD, BILL)) for number in (3, 4)]
    counting(cut(*TWO_PARTS, *elsewhere, answered=3, repeated=1))
    ((labels, number),) = samples(counting.render())["daobo_fallbacks_total"]
    assert (labels, number) == ({"from_provider": "deepseek", "to_provider": "anthropic"}, 1)


def test_the_stream_of_a_cut_call_says_nothing_of_its_models_pace() -> None:
    counting = metrics()
    timed: dict[str, Any] = {"stream": True, "time_to_first_token_s": 40.0, "chunks": 9}
    counting(cut(*TWO_PARTS, answered=2)._replace(**timed))
    assert "gen_ai_client_operation_time_to_first_chunk_seconds_count" not in samples(
        counting.render()
    )


def test_an_ordinary_call_has_no_parts_in_metrics_or_log() -> None:
    counting = metrics()
    counting(draft())
    assert not [name for name in samples(counting.render()) if "script" in name]
    assert not {"parts", "flags", "attempts_made"} & call_fields(draft()).keys()


def test_the_line_of_a_cut_call_has_counts_and_what_went_wrong() -> None:
    fields = call_fields(cut(*TWO_PARTS, answered=1, repeated=1))
    assert fields["parts"] == {"answered": 1, "mended": 0, "repeated": 1, "kept": 0, "source": 0}
    assert (fields["flags"], fields["attempts_made"], fields["level"]) == (0, 3, "info")
    (wrong,) = fields["attempts"]
    assert (wrong["part"], wrong["outcome"]) == (2, "discarded")


def test_the_line_is_bounded_whatever_a_call_was_cut_into() -> None:
    failed = Attempt(CHEAP, Outcome.UPSTREAM_FAILED, 1.0, "x" * 10_000)
    record = cut(*(at(number, failed) for number in range(1, 5_000)), flags=(FLAG,) * 101)
    fields = call_fields(record)
    assert len(fields["attempts"]) == MAX_ATTEMPTS
    assert len(str(fields)) < MAX_ATTEMPTS * (MAX_TEXT_CHARS + 200) + 2_000


def test_nothing_that_a_flag_says_is_logged() -> None:
    assert "3-2" not in str(call_fields(cut(*TWO_PARTS, source=1, flags=(FLAG,))))


@pytest.mark.parametrize(("flags", "lines"), [((FLAG,), 1), ((), 0)])
def test_an_answer_with_flags_is_worth_a_warning(flags: tuple[str, ...], lines: int) -> None:
    written: list[bytes] = []
    CallLog(written.append, LEVELS["warning"])(cut(*TWO_PARTS, source=1, flags=flags))
    assert len(written) == lines
