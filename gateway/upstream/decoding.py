"""Undoes the compression of upstreams that compress although identity was asked for."""

from __future__ import annotations

import zlib
from collections.abc import Callable

from gateway.errors import CallError, Outcome

_PIECE_BYTES = 64 * 1024
_FREE_BYTES = 1024 * 1024
_MAX_EXPANSION = 100
_GZIP = zlib.MAX_WBITS | 16
_RAW = -zlib.MAX_WBITS
_WINDOW_BITS = {"gzip": _GZIP, "x-gzip": _GZIP, "deflate": zlib.MAX_WBITS}


class Inflater:
    """Decodes gzip or deflate as it comes, in pieces of at most 64 KiB.

    Beyond the first MiB the output may be 100 times the input: more is an attack, not an answer.
    """

    def __init__(self, encoding: str) -> None:
        """Raises CallError(UPSTREAM_GARBLED) for an encoding that nobody asked for."""
        self._window_bits = _WINDOW_BITS.get(encoding.lower(), 0)
        if not self._window_bits:
            raise CallError(
                Outcome.UPSTREAM_GARBLED,
                f"The upstream encoded its answer as {encoding[:40]!r} though identity was asked.",
            )
        self._stream = zlib.decompressobj(self._window_bits)
        self._taken_bytes = 0
        self._given_bytes = 0

    def feed(self, data: bytes, receive: Callable[[bytes], None]) -> None:
        """Decode ``data`` into ``receive``. Raises CallError(UPSTREAM_GARBLED)."""
        if not self._taken_bytes:
            self._guess_raw_deflate(data)
        self._taken_bytes += len(data)
        try:
            while data:
                if self._stream.eof:
                    self._stream = zlib.decompressobj(self._window_bits)
                piece = self._stream.decompress(data, _PIECE_BYTES)
                data = self._stream.unconsumed_tail or self._stream.unused_data
                self._count(piece)
                if piece:
                    receive(piece)
        except zlib.error:
            raise CallError(
                Outcome.UPSTREAM_GARBLED, "The upstream's answer is compressed, and damaged."
            ) from None

    def finish(self) -> None:
        """Raises CallError(UPSTREAM_CUT) if the compressed data has no end."""
        if self._taken_bytes and not self._stream.eof:
            raise CallError(
                Outcome.UPSTREAM_CUT, "The upstream's compressed answer ends in the middle."
            )

    def _guess_raw_deflate(self, data: bytes) -> None:
        # "deflate" means zlib's wrapping, yet some servers leave it out; a zlib header always
        # names method 8 in its low four bits.
        if data and self._window_bits == zlib.MAX_WBITS and data[0] & 0x0F != 8:
            self._window_bits = _RAW
            self._stream = zlib.decompressobj(_RAW)

    def _count(self, piece: bytes) -> None:
        self._given_bytes += len(piece)
        if self._given_bytes > max(_FREE_BYTES, self._taken_bytes * _MAX_EXPANSION):
            raise CallError(
                Outcome.UPSTREAM_GARBLED,
                f"The upstream's answer grows over {_MAX_EXPANSION} times when it is unpacked.",
            )
