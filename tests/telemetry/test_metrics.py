"""What the numbers on /metrics say about calls that were made."""

from __future__ import annotations

import pytest
from records import CHEAP, GOOD, STAND_IN, billed, draft, metrics, samples, value

from gateway.errors import Outcome
from gateway.ledger import Bill
from gateway.schema import Attempt, Target, Usage
from gateway.telemetry.metrics import MAX_CELLS, Metrics


def test_a_call_is_counted_under_the_names_it_was_routed_by() -> None:
    counting = metrics()
    counting(draft())
    (found,) = samples(counting.render())["daobo_requests_total"]
    assert found == (
        {
            "endpoint": "chat",
            "task": "draft",
            "gen_ai_provider_name": "deepseek",
            "gen_ai_request_model": "deepseek-flash",
            "outcome": "ok",
            "stream": "false",
            "rehearsal": "false",
        },
        1.0,
    )


def test_tokens_are_counted_in_disjoint_classes() -> None:
    counting = metrics()
    counting(draft(usage=Usage(input_tokens=10, cache_read_tokens=90, reasoning_tokens=7)))
    text = counting.render()
    by_class = {
        labels["gen_ai_token_type"]: number
        for labels, number in samples(text)["daobo_tokens_total"]
    }
    assert by_class == {"input": 10, "cache_read": 90, "reasoning": 7}
    assert value(text, "gen_ai_client_token_usage_sum", gen_ai_token_type="input") == 100
    assert value(text, "gen_ai_client_token_usage_sum", gen_ai_token_type="output") == 7


def test_estimated_tokens_stand_apart() -> None:
    counting = metrics()
    counting(draft(usage=Usage(input_tokens=5)))
    counting(draft(usage=Usage(input_tokens=7, estimated=True)))
    text = counting.render()
    assert value(text, "daobo_tokens_total", estimated="false") == 5
    assert value(text, "daobo_tokens_total", estimated="true") == 7


def test_a_duration_on_a_bound_falls_into_its_bucket() -> None:
    counting = metrics()
    counting(draft(duration_s=1.28))
    text = counting.render()
    name = "gen_ai_client_operation_duration_seconds_bucket"
    assert value(text, name, le="0.64") == 0
    assert value(text, name, le="1.28") == 1
    assert value(text, name, le="+Inf") == 1
    assert value(text, "gen_ai_client_operation_duration_seconds_sum") == 1.28


def test_a_failed_call_carries_its_error_type_in_the_duration() -> None:
    counting = metrics()
    counting(draft(outcome=Outcome.UPSTREAM_TIMEOUT, usage=Usage()))
    ((labels, _),) = samples(counting.render())["gen_ai_client_operation_duration_seconds_count"]
    assert labels["error_type"] == "upstream_timeout"


def test_a_stream_shows_its_first_chunk_and_the_pace_after_it() -> None:
    counting = metrics()
    counting(draft(stream=True, time_to_first_token_s=0.5, duration_s=1.5, chunks=11))
    text = counting.render()
    assert value(text, "gen_ai_client_operation_time_to_first_chunk_seconds_sum") == 0.5
    assert value(text, "gen_ai_client_operation_time_per_output_chunk_seconds_sum") == 0.1


def test_a_whole_answer_has_no_first_chunk() -> None:
    counting = metrics()
    counting(draft(stream=False, time_to_first_token_s=0.5, chunks=1))
    text = counting.render()
    assert value(text, "gen_ai_client_operation_time_to_first_chunk_seconds_count") == 0


def test_a_fallback_names_both_providers_and_counts_both_attempts() -> None:
    counting = metrics()
    attempts = (Attempt(GOOD, Outcome.UPSTREAM_TIMEOUT, 30.0), Attempt(CHEAP, Outcome.OK, 1.0))
    counting(draft(attempts=attempts))
    counting(draft())
    text = counting.render()
    assert samples(text)["daobo_fallbacks_total"] == [
        ({"from_provider": "anthropic", "to_provider": "deepseek"}, 1.0)
    ]
    assert value(text, "daobo_attempts_total", outcome="upstream_timeout") == 1
    assert value(text, "daobo_attempts_total", gen_ai_provider_name="deepseek", outcome="ok") == 2


def test_a_call_that_failed_everywhere_is_no_fallback() -> None:
    counting = metrics()
    tries = tuple(Attempt(t, Outcome.UPSTREAM_FAILED, 1.0) for t in (GOOD, CHEAP))
    counting(draft(outcome=Outcome.UPSTREAM_FAILED, attempts=tries))
    assert "daobo_fallbacks_total" not in samples(counting.render())


@pytest.mark.parametrize(
    ("outcome", "source"),
    [
        (Outcome.UNKNOWN_MODEL, "client"),
        (Outcome.CLIENT_GONE, "client"),
        (Outcome.OVERLOADED, "gateway"),
        (Outcome.INTERNAL, "gateway"),
        (Outcome.UPSTREAM_FAILED, "upstream"),
        (Outcome.CONTENT_POLICY, "upstream"),
    ],
)
def test_an_error_says_whose_doing_it_was(outcome: Outcome, source: str) -> None:
    counting = metrics()
    counting(draft(outcome=outcome))
    ((labels, number),) = samples(counting.render())["daobo_errors_total"]
    assert (labels["error_source"], labels["error_type"], number) == (source, outcome.label, 1)


def test_a_guessed_task_is_counted_and_a_named_one_is_not() -> None:
    counting = metrics()
    counting(draft(route_reason="auto-classifier", task="review"))
    counting(draft(route_reason="auto-header", task="draft"))
    assert samples(counting.render())["daobo_classifier_guesses_total"] == [({"task": "review"}, 1)]


def test_rehearsal_is_a_label_of_its_own() -> None:
    counting = metrics()
    counting(draft(target=STAND_IN))
    assert value(counting.render(), "daobo_requests_total", rehearsal="true") == 1


def test_a_refused_call_for_a_task_names_no_model() -> None:
    counting = metrics()
    counting(draft(target=None, attempts=(), outcome=Outcome.BUDGET_EXHAUSTED))
    assert value(counting.render(), "daobo_requests_total", gen_ai_request_model="") == 1


def test_300_000_hostile_names_add_no_series() -> None:
    counting = metrics()
    for number in range(100_000):
        name = f'x{number}\n"}}evil'
        target = Target(name, name, name)
        counting(draft(target=None, attempts=(), requested_model=name))
        counting(draft(task=name, target=target, attempts=(Attempt(target, Outcome.OK, 1.0),)))
        counting(
            draft(
                endpoint=name,
                attempts=(
                    billed(target, Bill(name, 1, 1), Outcome.UPSTREAM_CUT),
                    *draft().attempts,
                ),
            )
        )
    text = counting.render()
    assert b"evil" not in text
    assert sum(map(len, samples(text).values())) < 250
    assert value(text, "daobo_requests_total") == 300_000


def test_the_combinations_of_known_names_are_bounded_too() -> None:
    counting = Metrics("1.2.3")
    names = [f"name{i}" for i in range(60)]
    counting.set_known(names, names, names)
    for task in names:
        for model in names:
            target = Target("name0", model, model)
            counting(draft(task=task, target=target, attempts=()))
    text = counting.render()
    assert len(samples(text)["daobo_requests_total"]) == MAX_CELLS + 1
    assert value(text, "daobo_requests_total") == 3600


def test_a_busy_installation_stays_below_a_megabyte() -> None:
    counting = Metrics("1.2.3")
    models = [f"vendor-model-{i}" for i in range(30)]
    tasks = [f"task-{i}" for i in range(8)]
    counting.set_known(tasks, models, ["provider"])
    outcomes = (Outcome.OK, Outcome.UPSTREAM_TIMEOUT, Outcome.CLIENT_GONE)
    for model in models:
        target = Target("provider", model, model)
        for task in tasks:
            for outcome in outcomes:
                counting(
                    draft(
                        target=target,
                        task=task,
                        outcome=outcome,
                        stream=True,
                        time_to_first_token_s=0.4,
                        chunks=9,
                        attempts=(Attempt(target, outcome, 1.0),),
                    )
                )
    assert len(counting.render()) < 1_000_000


def test_numbers_of_other_rooms_are_read_when_prometheus_asks() -> None:
    counting = metrics()
    in_flight = 0
    counting.watch_gateway(in_flight=lambda: in_flight, lost_log_lines=lambda: 2)
    counting.watch(
        "daobo_circuit_open",
        "Circuits.",
        lambda: {("deepseek",): 1.0},
        labels=("gen_ai_provider_name",),
    )
    in_flight = 3
    text = counting.render()
    assert value(text, "daobo_calls_in_flight") == 3
    assert value(text, "daobo_log_lines_lost_total") == 2
    assert value(text, "daobo_circuit_open", gen_ai_provider_name="deepseek") == 1


def test_a_rejected_configuration_shows_until_a_good_one_is_loaded() -> None:
    counting = metrics()
    counting.config_loaded("aaa", 100.0)
    counting.config_rejected()
    text = counting.render()
    assert value(text, "daobo_config_is_newest") == 0
    assert value(text, "daobo_config_info", version="aaa") == 1
    assert value(text, "daobo_config_loads_total", outcome="rejected") == 1
    counting.config_loaded("bbb", 200.0)
    text = counting.render()
    assert value(text, "daobo_config_is_newest") == 1
    assert value(text, "daobo_config_loaded_timestamp_seconds") == 200
    assert [labels for labels, _ in samples(text)["daobo_config_info"]] == [{"version": "bbb"}]


def test_the_process_and_the_build_are_described() -> None:
    text = metrics().render()
    assert value(text, "daobo_build_info", version="1.2.3") == 1
    assert value(text, "process_resident_memory_bytes") > 1_000_000
    assert value(text, "python_info") == 1


async def test_a_scrape_off_the_loop_says_the_same() -> None:
    counting = metrics()
    counting(draft())
    assert (
        samples(await counting.scrape())["daobo_requests_total"]
        == (samples(counting.render())["daobo_requests_total"])
    )
