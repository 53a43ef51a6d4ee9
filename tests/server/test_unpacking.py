"""Packed bodies are read like others, and no more of them is unpacked than somebody takes."""

import gzip
import zlib

import pytest

from gateway.server.unpacking import SLICE_BYTES, Unpacker

TEXT = "雨夜，便利店。".encode() * 1000


def raw_deflate(text):
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(text) + packer.flush()


def pieces_of(packed, size):
    return [packed[at : at + size] for at in range(0, len(packed), size)]


@pytest.mark.parametrize(
    ("coding", "packed"),
    [
        ("gzip", gzip.compress(TEXT, mtime=0)),
        ("gzip", gzip.compress(TEXT[:9], mtime=0) + gzip.compress(TEXT[9:], mtime=0)),
        ("deflate", zlib.compress(TEXT)),
        ("deflate", raw_deflate(TEXT)),
    ],
    ids=["gzip", "two members", "deflate", "deflate without its wrapping"],
)
@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_a_packed_body_is_unpacked_however_it_comes(coding, packed, size):
    unpacker = Unpacker(coding)

    slices = [each for piece in pieces_of(packed, size) for each in unpacker.unpacked(piece)]

    assert b"".join(slices) == TEXT
    assert unpacker.is_whole


def test_what_grows_without_end_is_unpacked_a_slice_at_a_time():
    slices = Unpacker("gzip").unpacked(gzip.compress(bytes(SLICE_BYTES * 4), mtime=0))

    assert [len(next(slices)) for _ in range(3)] == [SLICE_BYTES] * 3


def test_a_body_that_stops_in_the_middle_is_not_whole():
    unpacker = Unpacker("gzip")

    list(unpacker.unpacked(gzip.compress(TEXT, mtime=0)[:-1]))

    assert not unpacker.is_whole
