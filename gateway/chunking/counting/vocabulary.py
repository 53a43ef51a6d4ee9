"""Exact counts: a vocabulary that the package ships, and the encoder that reads it.

Sources, licences and checksums of the vocabularies stand in ``vocabularies/README.md``; why
kitoken reads them, in ``docs/decisions/0021-vocabularies-in-the-package.md``.
"""

from __future__ import annotations

import lzma
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from functools import cache
from pathlib import Path
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kitoken import Kitoken

BLOCK_CHARS = 16_384
"""Longer texts are encoded block by block. The encoder's regular expressions give up within a
run of a million spaces, and end the process; its merging within one run of letters is slower than
linear; and a list of tokens is made under the interpreter's lock, a millisecond for a block."""

_SEAM = re.compile(r"(?<=[^\W_])[\s，。！？；：、]")
"""Before white space or a comma behind a letter every vocabulary begins a new piece, so a cut
there changes no count."""

_SEAM_CHARS = 512
"""How far back a seam is looked for."""

_TEXT_CHARS = 32
"""What a text takes besides its characters, in their measure."""

FOLDER = Path(__file__).with_name("vocabularies")


class Vocabulary:
    """Counts the tokens of one byte-pair vocabulary; thread-safe.

    The first count loads it, in whatever thread (0.1 to 0.2 s, 26 to 76 MB); others wait. Neither
    loading nor encoding holds the interpreter's lock. Special tokens are text like any other.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._lock = Lock()
        self._encoder: Kitoken | None = None

    @property
    def is_loaded(self) -> bool:
        return self._encoder is not None

    def count(self, text: str) -> int:
        """Exact where every block ends at a seam; otherwise a token or two a block too high."""
        encode = self._loaded().encode
        return sum(len(encode(block)) for block in blocks(well_formed(text)))

    def count_all(self, texts: Sequence[str]) -> list[int]:
        """``count`` of each."""
        encode_all = self._loaded().encode_all
        counts: list[int] = []
        for batch in batches(texts):
            if len(batch) == 1:
                counts.append(self.count(batch[0]))
            else:
                counts.extend(map(len, encode_all(list(map(well_formed, batch)))))
        return counts

    def _loaded(self) -> Kitoken:
        if self._encoder is None:
            with self._lock:
                if self._encoder is None:
                    self._encoder = _read(FOLDER / f"{self.name}.kit.xz")
        return self._encoder


def blocks(text: str) -> Iterator[str]:
    """Stretches of at most ``BLOCK_CHARS`` characters that join to the text."""
    start = 0
    while len(text) - start > BLOCK_CHARS:
        end = _seam_before(text, start + BLOCK_CHARS)
        yield text[start:end]
        start = end
    yield text[start:] if start else text


def batches(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    """Neighbours that have a block's length together, so that a call of the encoder is long enough
    for other threads to run meanwhile; a longer text is alone."""
    first = chars = 0
    for at, text in enumerate(texts):
        chars += len(text) + _TEXT_CHARS
        if chars > BLOCK_CHARS and at > first:
            yield texts[first:at]
            first, chars = at, len(text) + _TEXT_CHARS
    if texts:
        yield texts[first:]


def _seam_before(text: str, end: int) -> int:
    seam = end
    for found in _SEAM.finditer(text, end - _SEAM_CHARS, end):
        seam = found.start()
    return seam


def well_formed(text: str) -> str:
    """The text with U+FFFD for half a surrogate pair, which no UTF-8 can carry."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _read(path: Path) -> Kitoken:
    with _importing:
        encoder = _encoder_class()
    return encoder(lzma.decompress(path.read_bytes()))


_importing = Lock()


@cache
def _encoder_class() -> type[Kitoken]:
    """Imported by a thread that never ends: kitoken's allocator belongs to the thread that imports
    it, and once that thread has ended, the next call in another ends the process. With the
    gateway it is not imported, for most processes never need its 8 MB."""
    imported: Future[type[Kitoken]] = Future()
    Thread(target=_import_and_stay, args=(imported,), name="kitoken", daemon=True).start()
    return imported.result()


def _import_and_stay(imported: Future[type[Kitoken]]) -> None:
    try:
        from kitoken import Kitoken
    except ImportError as error:
        imported.set_exception(error)
    else:
        imported.set_result(Kitoken)
        Event().wait()


@cache
def vocabulary_of(name: str) -> Vocabulary:
    """The one that the process has of this name; no other is ever loaded."""
    return Vocabulary(name)
