"""Unpacks a body as it comes, a slice at a time.

aiohttp would do it by itself: also to bodies that nobody reads, because they are refused, and
without letting go of the event loop, for seconds where four megabytes hold four gigabytes.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

SLICE_BYTES = 256 * 1024
"""Unpacked; takes half a millisecond."""
_RAW = -zlib.MAX_WBITS
_WINDOW_BITS = {"gzip": zlib.MAX_WBITS | 16, "deflate": zlib.MAX_WBITS}
CODINGS = frozenset(_WINDOW_BITS)


class Unpacker:
    """Of one body with one of the ``CODINGS``."""

    def __init__(self, coding: str) -> None:
        self._window_bits = _WINDOW_BITS[coding]
        self._stream = zlib.decompressobj(self._window_bits)
        self._has_begun = False

    def unpacked(self, packed: bytes) -> Iterator[bytes]:
        """Slices, unpacked as they are asked for. Raises zlib.error."""
        if not self._has_begun:
            self._begin(packed)
        while packed:
            if self._stream.eof:  # gzip may have several members
                self._stream = zlib.decompressobj(self._window_bits)
            piece = self._stream.decompress(packed, SLICE_BYTES)
            packed = self._stream.unconsumed_tail or self._stream.unused_data
            if piece:
                yield piece

    @property
    def is_whole(self) -> bool:
        return self._stream.eof or not self._has_begun

    def _begin(self, packed: bytes) -> None:
        self._has_begun = True
        # "deflate" means zlib's wrapping, yet some leave it out; a zlib header always names method
        # 8 in its low four bits.
        if self._window_bits == zlib.MAX_WBITS and packed[0] & 0x0F != 8:
            self._window_bits = _RAW
            self._stream = zlib.decompressobj(_RAW)
