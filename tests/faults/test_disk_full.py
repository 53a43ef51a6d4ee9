"""The disk of the ledger is full, and has room again later."""

import contextlib
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .conftest import Note
from .processes import GatewayProcess, UpstreamProcess, written_config
from .test_database_gone import SHORT, Length, check

DISK_BYTES = 4 * 1024 * 1024
LENGTHS = pytest.mark.parametrize(
    "length",
    [
        pytest.param(SHORT, id="short"),
        pytest.param(Length(3.0, answer_s=1.5, back_s=5.0), id="long", marks=pytest.mark.soak),
    ],
)


@contextmanager
def small_disk(mount_point: Path) -> Iterator[Path]:
    """A file system of a few megabytes, gone afterwards. Only root can make one."""
    mount_point.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", mount_point],
        capture_output=True,
        check=False,
    )
    if made.returncode:
        pytest.skip("nothing can be mounted here; the other test limits the size of files instead")
    try:
        yield mount_point
    finally:
        subprocess.run(["umount", "-l", mount_point], check=True)


@contextmanager
def filled(disk: Path) -> Iterator[None]:
    """Not a byte is free, and what becomes free is taken at once."""
    filler = disk / "filler"
    over = threading.Event()

    def fill() -> None:
        with filler.open("wb", buffering=0) as file:
            while not over.wait(0.01):
                with contextlib.suppress(OSError):
                    file.write(bytes(64 * 1024))

    thread = threading.Thread(target=fill)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        filler.unlink()


@contextmanager
def no_file_may_grow(gateway: GatewayProcess) -> Iterator[None]:
    """As on a full disk, for whoever is not root: not a byte can be written to any file."""
    gateway.limit_file_bytes(0)
    try:
        yield
    finally:
        gateway.limit_file_bytes(-1)


@LENGTHS
async def test_a_full_disk(
    length: Length, upstream: UpstreamProcess, tmp_path: Path, note: Note
) -> None:
    with small_disk(tmp_path / "disk") as disk:
        gateway = GatewayProcess(written_config(tmp_path, upstream.root), disk / "state")
        try:
            note("disk full", await check(gateway, upstream, lambda: filled(disk), length))
        finally:
            gateway.kill()


@LENGTHS
async def test_files_that_cannot_grow(
    length: Length, upstream: UpstreamProcess, tmp_path: Path, note: Note
) -> None:
    gateway = GatewayProcess(written_config(tmp_path, upstream.root), tmp_path / "state")
    try:
        found = await check(gateway, upstream, lambda: no_file_may_grow(gateway), length)
        note("files of the gateway cannot grow (EFBIG)", found)
    finally:
        gateway.kill()
