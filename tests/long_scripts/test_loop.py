"""While a script of megabytes is read, counted, cut, sent and put together, others are served: the
event loop is never late by more than a few milliseconds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import orjson

from tests.chunking.scripts import write_script
from tests.end_to_end.gateway_process import quiet_environment
from tests.faults.processes import ROOT

from .loop_watch import ENOUGH_S
from .replies import read_stream

SIZES = (500_000, 2_000_000)
SCENE_BYTES = 2_000


def test_the_loop_is_never_late_by_more_than_5_ms(tmp_path: Path) -> None:
    scripts, bodies = [], []
    for size in SIZES:
        episodes = size // SCENE_BYTES // 20
        scripts.append(write_script("mixed", episodes=episodes, scenes=20, scene_chars=800))
        assert len(scripts[-1].encode()) >= size
        message = {"role": "user", "content": scripts[-1]}
        asked = {"model": "rehearsal-echo", "stream": True, "messages": [message]}
        bodies.append(tmp_path / str(size))
        bodies[-1].write_bytes(orjson.dumps(asked))
    command = [sys.executable, "-m", "tests.long_scripts.loop_watch", tmp_path, *bodies]
    watched = subprocess.run(
        command, cwd=ROOT, env=quiet_environment(), capture_output=True, text=True
    )
    assert watched.returncode == 0, watched.stderr
    for script, body, line in zip(scripts, bodies, watched.stdout.splitlines(), strict=True):
        assert read_stream(body.with_suffix(".answered").read_bytes(), {}).text == script
        late_s = orjson.loads(line)
        assert min(late_s) <= ENOUGH_S, [f"{each_s * 1000:.1f} ms" for each_s in late_s]
