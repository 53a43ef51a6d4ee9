"""A script on disk: read without changing a byte, and written in parts that join to it again."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from .cli_options import bytes_of
from .errors import ConfigError

UTF8 = "utf-8"
CHINESE = "gb18030"
_MARKED = ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
"""Marks at the beginning of a file that name its encoding. The mark stays in the text."""
_ALIASES = {"utf_16": _MARKED, "utf_8_sig": ((codecs.BOM_UTF8, UTF8),)}


class ScriptFile(NamedTuple):
    """A file's text, line ends and byte order mark included, and how to write it."""

    name: str
    text: str
    raw: bytes
    encoding: str

    def parts(self, bounds: Sequence[tuple[int, int]]) -> list[bytes]:
        """The bytes of stretches of the text. Raises ConfigError if they do not join to the file,
        which old encodings with two ways to write a character may cause."""
        parts = [self.text[start:end].encode(self.encoding) for start, end in bounds]
        if b"".join(parts) != self.raw:
            raise ConfigError(
                f"{self.name}: its parts cannot be written byte for byte in {self.encoding}; "
                f"convert it first: {_conversion(self.name, self.encoding)}"
            )
        return parts


def read_script(file: str, encoding: str | None) -> ScriptFile:
    """``file``: a path, or ``-`` for the standard input. ``encoding``: a codec's name; None for
    UTF-8. Raises ConfigError."""
    raw = bytes_of(file)
    if not raw:
        raise ConfigError(f"{file} is empty: there is nothing to split")
    codec = _codec(encoding, raw) if encoding else UTF8
    try:
        text = raw.decode(codec)
    except UnicodeDecodeError as error:
        raise ConfigError(_not_decoded(file, raw, codec, error)) from None
    if text == "\ufeff":
        raise ConfigError(f"{file} is empty but for a byte order mark: there is nothing to split")
    return ScriptFile(file, text, raw, codec)


def write_parts(folder: Path, parts: Sequence[bytes], suffix: str) -> list[Path]:
    """As ``part-001.txt`` and so on. Raises ConfigError, also where there are parts already that
    are not these: of another run, or changed by hand since."""
    digits = max(3, len(str(len(parts))))
    paths = [folder / f"part-{n:0{digits}}{suffix}" for n in range(1, len(parts) + 1)]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        now = dict(zip(paths, parts, strict=True))
        if others := [p for p in sorted(folder.glob("part-*")) if not _holds(p, now.get(p))]:
            raise ConfigError(
                f"{folder} has other parts already, {others[0].name} for one, and nothing is "
                "written over them; name an empty folder"
            )
        for path, part in zip(paths, parts, strict=True):
            path.write_bytes(part)
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be written: {error.strerror}") from None
    return paths


def _holds(path: Path, data: bytes | None) -> bool:
    return data is not None and path.is_file() and path.read_bytes() == data


def _codec(name: str, raw: bytes) -> str:
    """The codec that takes the file's mark as a character, so that it is written as it was."""
    try:
        codec = codecs.lookup(name)
        "".encode(codec.name)
    except LookupError:
        raise ConfigError(
            f"--encoding {name} is not known; there are utf-8, gb18030, big5, utf-16 and the like"
        ) from None
    marked = _ALIASES.get(codec.name.replace("-", "_"), ())
    return next((own for mark, own in marked if raw.startswith(mark)), codec.name)


def _not_decoded(file: str, raw: bytes, codec: str, error: UnicodeDecodeError) -> str:
    line = raw.count(b"\n", 0, error.start) + 1
    said = (
        f"{file} is not {codec.upper()}: byte 0x{raw[error.start]:02X} at offset {error.start} "
        f"(line {line})"
    )
    found = _likely(raw) if codec == UTF8 else None
    if found is None:
        return f"{said}; name its encoding with --encoding, or convert it to UTF-8"
    advice = f"read it with --encoding {found}, or convert it: {_conversion(file, found)}"
    return f"{said}. It looks like {found.upper()}: {advice}"


def _likely(raw: bytes) -> str | None:
    """What the file may be in instead."""
    for mark, _ in _MARKED:
        if raw.startswith(mark):
            return "utf-16"
    try:
        raw.decode(CHINESE)
    except UnicodeDecodeError:
        return None
    return CHINESE


def _conversion(file: str, encoding: str) -> str:
    stem = Path(file if file != "-" else "script.txt")
    return f"iconv -f {encoding.upper()} -t UTF-8 {file} > {stem.stem}-utf8{stem.suffix}"
