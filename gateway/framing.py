"""Cuts a byte stream into server-sent events at blank lines, however the pieces arrive.

https://html.spec.whatwg.org/multipage/server-sent-events.html (read 2026-11-22): lines end with
LF, CRLF or CR, an event with a blank line.
"""

from __future__ import annotations

import re

from .errors import CallError, Outcome
from .schema import Event

MAX_EVENT_BYTES = 16 * 1024 * 1024
_BLANK_LINE = re.compile(rb"\r\n\r\n|\n\n|\r\r(?!\n)|\n\r\n|\r\n\n")


class EventSplitter:
    """Feed bytes, get the events that they complete; ``flush`` at the end gives what is left."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, data: bytes) -> list[Event]:
        if not self._pending and _is_one_line(data):
            return [Event(data, data[6:-2])]
        # A blank line may straddle the seam by up to three bytes; earlier ones were searched.
        searched = max(0, len(self._pending) - 3)
        self._pending += data
        if _BLANK_LINE.search(self._pending, searched) is None:
            return self._bounded([])
        data = bytes(self._pending)
        events = []
        start = 0
        for blank in _BLANK_LINE.finditer(data, searched):
            if blank.end() == len(data) and blank[0] == b"\r\r":
                break  # an LF may follow
            events.append(parse_event(data[start : blank.end()]))
            start = blank.end()
        self._pending = bytearray(data[start:])
        return self._bounded(events)

    def _bounded(self, events: list[Event]) -> list[Event]:
        if len(self._pending) > MAX_EVENT_BYTES:
            raise CallError(
                Outcome.UPSTREAM_GARBLED, f"a stream event of over {MAX_EVENT_BYTES} bytes"
            )
        return events

    def flush(self) -> list[Event]:
        """The last event, if the upstream forgot the blank line behind it."""
        rest, self._pending = bytes(self._pending), bytearray()
        return [parse_event(rest.rstrip(b"\r\n") + b"\n\n")] if rest.strip() else []


def _is_one_line(raw: bytes) -> bool:
    """What nearly all events of nearly all upstreams look like."""
    return (
        raw.find(b"\n") == len(raw) - 2
        and raw[:6] == b"data: "
        and raw[-1:] == b"\n"
        and b"\r" not in raw
    )


def events_in(chunk: bytes) -> list[Event]:
    """The events of bytes that end with one, as a translation yields them."""
    return [Event(chunk, chunk[6:-2])] if _is_one_line(chunk) else EventSplitter().feed(chunk)


def parse_event(raw: bytes) -> Event:
    """``raw`` with its closing blank line to an Event."""
    if _is_one_line(raw):
        return Event(raw, raw[6:-2])
    data: list[bytes] = []
    name = b""
    for line in raw.removeprefix(b"\xef\xbb\xbf").splitlines():
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value
    return Event(raw, b"\n".join(data), name.decode("utf-8", "replace"))
