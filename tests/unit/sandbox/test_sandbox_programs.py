"""Programs run to their end, and nothing of them stays when we are interrupted."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import pytest

from vnodectl.errors import ToolMissing
from vnodectl.sandbox import processes
from vnodectl.sandbox.programs import ProgramFailed, fail, run


async def test_output_lines_and_exit_code() -> None:
    program = "import sys; print('out'); print('err', file=sys.stderr)"
    lines: list[str] = []
    finished = await run([sys.executable, "-c", program], on_line=lines.append)
    assert finished.output == "out\n"
    assert sorted(lines) == ["err", "out"]


async def test_standard_input_is_given() -> None:
    program = "import sys; print(sys.stdin.read().upper())"
    assert (await run([sys.executable, "-c", program], stdin="text")).output == "TEXT\n"


async def test_a_failure_has_code_and_last_lines() -> None:
    program = "import sys; print('broken pipe wrench', file=sys.stderr); sys.exit(3)"
    with pytest.raises(ProgramFailed, match="broken pipe wrench") as caught:
        await run([sys.executable, "-c", program])
    assert caught.value.code == 3


async def test_no_such_program() -> None:
    with pytest.raises(ToolMissing, match="no-such-program"):
        await run(["no-such-program"], hint="install it")


async def test_cancelling_ends_the_program_and_its_children() -> None:
    program = (
        "import subprocess, sys; child = subprocess.Popen([sys.executable, '-c', 'input()'],"
        " stdin=subprocess.PIPE); print(child.pid, flush=True); child.wait()"
    )
    pids: list[int] = []
    told = asyncio.Event()

    def line(text: str) -> None:
        pids.append(int(text))
        told.set()

    task = asyncio.create_task(run([sys.executable, "-c", program], on_line=line))
    await asyncio.wait_for(told.wait(), 20)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await _until_gone(pids[0])


async def test_a_program_whose_step_is_made_to_fail_tidies_up(tmp_path: Path) -> None:
    step = "import time; print(1, flush=True); time.sleep(600)"
    program = (
        "import pathlib, signal, subprocess, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        f" ended = subprocess.call([sys.executable, '-c', {step!r}]);"
        " pathlib.Path(sys.argv[1]).write_text(str(ended))"
    )
    told = asyncio.Event()
    argv = [sys.executable, "-c", program, str(tmp_path / "tidied")]
    task = asyncio.create_task(run(argv, on_line=lambda _: told.set(), ending=fail))
    await asyncio.wait_for(told.wait(), 20)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (tmp_path / "tidied").read_text() == "-9"


async def test_a_program_that_does_not_fail_is_stopped() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "import time; time.sleep(600)", start_new_session=True
    )
    await fail(process, grace=0.2)
    assert process.returncode == -signal.SIGTERM


async def test_a_program_dies_with_the_one_that_started_it(tmp_path: Path) -> None:
    """Killed outright, a parent can tell its children nothing; the kernel does."""
    parent = (
        "import asyncio, sys\n"
        "from vnodectl.sandbox.programs import run\n"
        "child = [sys.executable, '-c', 'import os,time; print(os.getpid(), flush=True); time.sleep(600)']\n"
        "asyncio.run(run(child, on_line=lambda line: print(line, flush=True)))\n"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", parent, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    pid = int(await asyncio.wait_for(process.stdout.readline(), 20))
    assert processes.start_time(pid) is not None
    process.kill()
    await process.wait()
    await _until_gone(pid)


async def _until_gone(pid: int) -> None:
    started = processes.start_time(pid)
    if started is not None:
        await asyncio.wait_for(processes.ended(pid, started), 10)
