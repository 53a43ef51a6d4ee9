"""The command ``daobo``, run to its end: as a process, or much cheaper in the test's own."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

from gateway.cli import main

COMMAND = str(Path(sys.executable).with_name("daobo"))
END_TIMEOUT_S = 60.0
"""A command that takes longer hangs: even a machine with much else to do is done by then."""

Done = subprocess.CompletedProcess[str]


def environment(**more: str) -> dict[str, str]:
    """Nothing of whoever runs the tests: no keys, no proxies, no settings."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {**kept, "LANG": "C.UTF-8", "COLUMNS": "200", **more}


def daobo(folder: Path, *arguments: str, stdin: str = "", **environ: str) -> Done:
    """What the command says and ends with, run in ``folder``, without a process of its own.

    For commands that read, write and end. What is about processes (signals, workers, terminals, a
    full disk) takes ``daobo_process``, and so does one test of each command at least.
    """
    out, err = _Written(), _Written()
    with (
        contextlib.chdir(folder),
        mock.patch.dict(os.environ, environment(**environ), clear=True),
        mock.patch.object(sys, "argv", ["daobo", *arguments]),
        mock.patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode()), "utf-8")),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        code = _exit_code()
    return Done(["daobo", *arguments], code, out.text, err.text)


def daobo_process(folder: Path, *arguments: str, stdin: str = "", **environ: str) -> Done:
    """The same of a process."""
    return subprocess.run(
        [COMMAND, *arguments],
        cwd=folder,
        env=environment(**environ),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=END_TIMEOUT_S,
    )


def is_a_sentence(done: Done) -> bool:
    """One line for each problem, and none of them a traceback."""
    lines = done.stderr.splitlines()
    return bool(lines) and all(line.startswith("daobo: ") for line in lines)


def _exit_code() -> int:
    """As the interpreter works it out; any other exception is the test's to report."""
    try:
        main()
    except SystemExit as end:
        code = end.code or 0
    else:
        code = 0
    assert isinstance(code, int), code
    return code


class _Written(io.TextIOWrapper):
    """Text and bytes, in the order in which they were written."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), "utf-8", newline="", write_through=True)

    @property
    def text(self) -> str:
        assert isinstance(self.buffer, io.BytesIO)
        return self.buffer.getvalue().decode()
