"""The ledger as files: FOCUS, its own rows as CSV, and one JSON object for each request."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TextIO

import orjson

from gateway.ledger import AttemptRow, LedgerRow, RequestRow
from gateway.report_text import iso, spreadsheet_text

from .entries import Entry, read_entries
from .focus import COLUMNS, focus_rows
from .queries import snapshot

LEDGER_COLUMNS = (
    "started_at",
    *RequestRow._fields,
    "cny_per_usd_nano",
    *(f"attempt_{name}" for name in AttemptRow._fields[1:]),
    *LedgerRow._fields[2:],
)


def export(url: str, file: TextIO, format: str, since_us: int | None, until_us: int | None) -> int:
    """Write what the ledger has; the number of rows. Raises CallError(LEDGER_UNAVAILABLE).

    ``format`` is a key of ``FORMATS``; times are Unix microseconds.
    """
    with snapshot(url) as connection:
        return FORMATS[format](read_entries(connection, since_us, until_us), file)


def write_focus(entries: Iterable[Entry], file: TextIO) -> int:
    rows = csv.writer(file, lineterminator="\n")
    rows.writerow(COLUMNS)
    cells = (row for entry in entries for row in focus_rows(entry))
    return _count(rows.writerow, ([row.get(name, "") for name in COLUMNS] for row in cells))


def write_ledger(entries: Iterable[Entry], file: TextIO) -> int:
    """The table ``ledger``, each row with what its request and attempt say."""
    rows = csv.writer(file, lineterminator="\n")
    rows.writerow(LEDGER_COLUMNS)
    return _count(rows.writerow, (row for entry in entries for row in _ledger_rows(entry)))


def write_requests(entries: Iterable[Entry], file: TextIO) -> int:
    return _count(file.write, (f"{_request_json(entry)}\n" for entry in entries))


FORMATS: Mapping[str, Callable[[Iterable[Entry], TextIO], int]] = {
    "focus": write_focus,
    "csv": write_ledger,
    "jsonl": write_requests,
}


def _count(write: Callable[[Any], object], rows: Iterable[Any]) -> int:
    count = 0
    for row in rows:
        write(row)
        count += 1
    return count


def _ledger_rows(entry: Entry) -> Iterator[list[Any]]:
    request, rate = entry.request, entry.rate
    known = [iso(request.started_us), *request, rate.cny_per_usd_nano if rate else None]
    for attempt, lines in entry.attempts:
        for line in lines:
            yield [_cell(value) for value in (*known, *attempt[1:], *line[2:])]


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    return spreadsheet_text(value) if isinstance(value, str) else value


def _request_json(entry: Entry) -> str:
    attempts = [
        _fields(attempt, 1) | {"lines": [_fields(line, 2) for line in lines]}
        for attempt, lines in entry.attempts
    ]
    request = {"started_at": iso(entry.request.started_us)} | entry.request._asdict()
    rate = entry.rate._asdict() if entry.rate else None
    return orjson.dumps(request | {"exchange_rate": rate, "attempts": attempts}).decode()


def _fields(row: AttemptRow | LedgerRow, skip: int) -> dict[str, Any]:
    """A row without the keys that its place in the object says already."""
    return dict(list(row._asdict().items())[skip:])
