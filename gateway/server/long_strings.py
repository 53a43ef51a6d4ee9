"""Reads the long strings of a large JSON text a slice at a time.

A parser written in C keeps all threads waiting until it has finished: some 20 milliseconds for a
script of 8 MiB. Here a long string is cut out, and a short one stands in its place while the rest
is parsed. What is cut out is parsed in slices, each a JSON string of its own, and put back.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import orjson

SLICE_BYTES = 128 * 1024
LONG_BYTES = 16 * 1024
MAX_STRINGS = 50_000
"""In a text with more of them, cutting some out costs more than it spares."""
STAND_IN = "\ue000a long string\ue000"
"""Not in any script. In a text that has it all the same, nothing is cut out."""
_STAND_IN = orjson.dumps(STAND_IN)

_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(")?', re.DOTALL)
"""One that never ends goes on to the end: looked for again behind each of its quotes, it would take
a time that grows with its square."""
_REST = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+(")?', re.DOTALL)
_UNITS = re.compile(
    rb"[^\\]*+(?:\\(?:[^u]|u(?![dD][89a-bA-B])....|u[dD][89a-bA-B]..\\u....)[^\\]*+)*+", re.DOTALL
)
"""Whole escapes, and whole pairs of surrogates."""
_COLON = re.compile(rb"[ \t\r\n]{0,256}+:")
"""Farther from its key it is not looked for: that could take long. The key is cut out then, and is
missed when the values are put back."""


class Span(NamedTuple):
    """Of a string, within its quotes."""

    start: int
    stop: int


class Large(NamedTuple):
    """A text without its long strings."""

    frame: bytes
    cut_out: list[Span]


def without_long_strings(raw: bytes, breathe: Callable[[], None]) -> Large | None:
    """None if nothing can be cut out that is worth it. ``breathe`` is called after each slice."""
    cut_out: list[Span] = []
    frame: list[bytes] = []
    end = 0
    for count, span in enumerate(strings_of(raw, breathe)):
        if count > MAX_STRINGS:
            return None
        if span.stop - span.start >= LONG_BYTES and not _COLON.match(raw, span.stop + 1):
            cut_out.append(span)
            frame += (raw[end : span.start - 1], _STAND_IN)
            end = span.stop + 1
    if not cut_out:
        return None
    return Large(b"".join([*frame, raw[end:]]), cut_out)


def put_back(
    body: Any, size: int, cut_out: list[Span], raw: bytes, breathe: Callable[[], None]
) -> tuple[Any, int] | None:
    """What the frame was parsed to, its long strings in place again, and its size with them; None
    where one is no valid string, or where it is not clear which goes where."""
    root = [body]
    places = list(_places(root))
    if len(places) != len(cut_out):
        return None
    for (holder, key), span in zip(places, cut_out, strict=True):
        try:
            holder[key], string_bytes = _read(raw, span, breathe)
        except orjson.JSONDecodeError:
            return None
        size += string_bytes - (len(_STAND_IN) - 2)
    return root[0], size


def strings_of(raw: bytes, breathe: Callable[[], None]) -> Iterator[Span]:
    """Every string, keys too, but none that never ends. ``breathe`` is called after each slice."""
    at = 0
    while at < len(raw):
        stop = min(at + SLICE_BYTES, len(raw))
        begun = at
        at = stop
        for found in _STRING.finditer(raw, begun, stop):
            end, closed = found.end(), found.lastindex is not None
            while not closed and end < len(raw):
                breathe()
                rest = _REST.match(raw, end, end + SLICE_BYTES)
                if rest is None or rest.end() == end:
                    end, closed = len(raw), False
                    break
                end, closed = rest.end(), rest.lastindex is not None
            if not closed:
                return
            yield Span(found.start() + 1, end - 1)
            at = max(stop, end)
        breathe()


def _places(node: Any) -> Iterator[tuple[Any, Any]]:
    """Where a stand-in stands, in the order of the text."""
    for key, value in node.items() if type(node) is dict else enumerate(node):
        if type(value) is str:
            if value == STAND_IN:
                yield node, key
        elif type(value) is dict or type(value) is list:
            yield from _places(value)


def _read(raw: bytes, span: Span, breathe: Callable[[], None]) -> tuple[str, int]:
    """The string, and its bytes in the shortest JSON. Raises JSONDecodeError."""
    texts: list[str] = []
    size, at = 0, span.start
    while at < span.stop:
        stop = _boundary(raw, at, span.stop)
        piece = raw[at:stop]
        texts.append(orjson.loads(b'"%b"' % piece))
        size += len(piece) if b"\\" not in piece else len(orjson.dumps(texts[-1])) - 2
        at = stop
        breathe()
    return "".join(texts), size


def _boundary(raw: bytes, at: int, end: int) -> int:
    """Where a slice ends so that it parts neither a character nor an escape; ``end`` is the
    string's."""
    stop = at + SLICE_BYTES
    if stop >= end:
        return end
    if raw.find(b"\\", at, stop) >= 0:
        units = _UNITS.match(raw, at, stop)
        stop = units.end() if units is not None and units.end() > at else end
    while raw[stop] & 0xC0 == 0x80 and stop > at + 1:
        stop -= 1
    return stop
