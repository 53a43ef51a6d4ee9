"""Numbers that somebody else keeps, read once for each scrape."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Literal

from prometheus_client import ProcessCollector

from .cells import Series

Reading = float | Mapping[tuple[str, ...], float]

_PROCESS_MERGE: Mapping[str, Literal["min"]] = {
    "process_start_time_seconds": "min",
    "process_max_fds": "min",
}


class Readings:
    """The build, the configuration, the process, and whatever another room wants to show."""

    def __init__(self, version: str) -> None:
        self._watched: dict[str, tuple[Series, Callable[[], Reading]]] = {}
        self._process = ProcessCollector(registry=None)
        self._config_version = ""
        self._config_loaded_at_s = 0.0
        self._config_is_newest = True
        self._config_loads: dict[tuple[str, ...], int] = {("ok",): 0, ("rejected",): 0}
        self.watch(
            "daobo_build_info",
            "Processes by gateway version.",
            lambda: {(version,): 1},
            labels=("version",),
        )
        self._watch_config()

    def watch(
        self,
        name: str,
        documentation: str,
        read: Callable[[], Reading],
        *,
        kind: Literal["counter", "gauge"] = "gauge",
        merge: Literal["sum", "min", "max"] = "sum",
        labels: tuple[str, ...] = (),
    ) -> None:
        """Show what ``read`` returns; with ``labels``, a mapping from their values to numbers.

        ``merge`` says what the values of several workers become; counters always add. A counter
        is named without ``_total``. Label values must be names of a bounded set.
        """
        if kind == "counter" and merge != "sum":
            raise ValueError(f"{name} is a counter, several workers' counts can only be added")
        self._watched[name] = Series(documentation, kind, merge, labels), read

    def watch_gateway(
        self, in_flight: Callable[[], int], lost_log_lines: Callable[[], int]
    ) -> None:
        """The two figures of the running gateway that no call's record can carry."""
        self.watch("daobo_calls_in_flight", "Calls that are being answered.", in_flight)
        self.watch(
            "daobo_log_lines_lost",
            "Log lines that were dropped because nobody read them in time.",
            lost_log_lines,
            kind="counter",
        )

    def watch_overload(
        self,
        lag_s: Callable[[], Reading],
        shed: Callable[[], int],
        bound: Callable[[], int],
    ) -> None:
        """Whether there is too much to do, and what is done about it."""
        self.watch(
            "daobo_event_loop_lag_seconds",
            "What had to wait for the event loop in the last minute; quantile 1 is the longest.",
            lag_s,
            merge="max",
            labels=("quantile",),
        )
        self.watch(
            "daobo_calls_shed",
            "Calls refused at the door because there was too much to do.",
            shed,
            kind="counter",
        )
        self.watch("daobo_calls_in_flight_bound", "Calls in flight that are allowed now.", bound)

    def config_loaded(self, version: str, at_s: float) -> None:
        """``version`` names the configuration's content, ``at_s`` is Unix time."""
        self._config_version, self._config_loaded_at_s = version, at_s
        self._config_is_newest = True
        self._config_loads["ok",] += 1

    def config_rejected(self) -> None:
        """A new configuration was not taken; the old one still holds."""
        self._config_is_newest = False
        self._config_loads["rejected",] += 1

    def _watch_config(self) -> None:
        self.watch(
            "daobo_config_info",
            "Processes by version of the configuration they run on.",
            lambda: {(self._config_version,): 1},
            labels=("version",),
        )
        self.watch(
            "daobo_config_is_newest",
            "0 while a process runs on an older configuration because the newest was rejected.",
            lambda: int(self._config_is_newest),
            merge="min",
        )
        self.watch(
            "daobo_config_loaded_timestamp_seconds",
            "When the configuration in use was loaded, of the process furthest behind.",
            lambda: self._config_loaded_at_s,
            merge="min",
        )
        self.watch(
            "daobo_config_loads",
            "Configurations read, by whether they were taken.",
            lambda: self._config_loads,
            kind="counter",
            labels=("outcome",),
        )

    def _read(self) -> dict[str, Series]:
        series = _process_series(self._process)
        for name, (watched, read) in self._watched.items():
            reading = read()
            values: Mapping[Any, float] = reading if isinstance(reading, Mapping) else {(): reading}
            series[name] = replace(watched, values=dict(values))
        return series


def _process_series(collector: ProcessCollector) -> dict[str, Series]:
    """CPU, memory and descriptors of this process; empty where there is no /proc."""
    return {
        family.name: Series(
            family.documentation,
            "counter" if family.type == "counter" else "gauge",
            _PROCESS_MERGE.get(family.name, "sum"),
            (),
            {(): family.samples[0].value},
        )
        for family in collector.collect()
    }
