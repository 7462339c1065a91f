from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

_PROGRAM = """
import asyncio, pathlib, sys
from vnodectl.cli.run import run

async def work(path):
    path.touch()
    try:
        print("ready", flush=True)
        await asyncio.Event().wait()
    finally:
        path.unlink()

try:
    run(work(pathlib.Path(sys.argv[1])))
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_lets_the_work_clean_up(number: signal.Signals, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    with subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, str(mark)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        assert mark.exists()
        process.send_signal(number)
        assert process.wait(timeout=30) == 130
    assert not mark.exists()


@pytest.mark.parametrize("verbose", [0, 2])
def test_what_sdks_log_is_never_printed(verbose: int) -> None:
    program = (
        f"from vnodectl.cli.run import log_to_stderr; log_to_stderr({verbose}); import logging;"
        "logging.getLogger('azure.identity').warning('Content: %s', 'marker')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "marker" not in done.stdout + done.stderr
