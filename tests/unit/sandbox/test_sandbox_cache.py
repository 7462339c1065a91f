"""Things made once: whole or not there, one maker at a time."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from vnodectl.sandbox.cache import file_lock, making, remove_tree


async def test_a_directory_appears_whole_and_is_not_made_twice(tmp_path: Path) -> None:
    target = tmp_path / "tool"
    async with making(target) as unfinished:
        assert unfinished is not None
        (unfinished / "program").write_text("x")
        assert not target.exists()
    assert (target / "program").read_text() == "x"
    async with making(target) as again:
        assert again is None


async def test_an_error_leaves_nothing(tmp_path: Path) -> None:
    async def fail() -> None:
        async with making(tmp_path / "tool") as unfinished:
            assert unfinished is not None
            (unfinished / "half").write_text("x")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail()
    assert [path.name for path in tmp_path.iterdir()] == [".tool.lock"]


async def test_cancelling_leaves_nothing(tmp_path: Path) -> None:
    inside = asyncio.Event()

    async def make() -> None:
        async with making(tmp_path / "tool"):
            inside.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(make())
    await inside.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert [path.name for path in tmp_path.iterdir()] == [".tool.lock"]


async def test_what_a_killed_maker_left_is_taken_away(tmp_path: Path) -> None:
    stale = tmp_path / ".tool.tmp-dead"
    stale.mkdir()
    (stale / "half").write_text("x")
    async with making(tmp_path / "tool") as unfinished:
        assert unfinished is not None
    assert not stale.exists()


async def test_the_second_maker_waits_and_finds_the_work_done(tmp_path: Path) -> None:
    target = tmp_path / "tool"
    waiting = asyncio.Event()
    second: asyncio.Task[Path | None]

    async def make_second() -> Path | None:
        async with making(target, on_wait=waiting.set) as unfinished:
            return unfinished

    async with making(target):
        second = asyncio.create_task(make_second())
        await asyncio.wait_for(waiting.wait(), 10)
    assert await asyncio.wait_for(second, 10) is None


async def test_a_lock_excludes_and_is_given_free(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    waited = asyncio.Event()

    async def take() -> None:
        async with file_lock(path, on_wait=waited.set):
            pass

    async with file_lock(path):
        task = asyncio.create_task(take())
        await asyncio.wait_for(waited.wait(), 10)
        assert not task.done()
    await asyncio.wait_for(task, 10)


async def test_the_holder_of_a_lock_may_delete_its_file(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    waited, entered, leave = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def take() -> None:
        async with file_lock(path, on_wait=waited.set):
            entered.set()
            await leave.wait()

    async with file_lock(path):
        task = asyncio.create_task(take())
        await asyncio.wait_for(waited.wait(), 10)
        path.unlink()
    await asyncio.wait_for(entered.wait(), 10)
    waited.clear()
    third = asyncio.create_task(take())
    await asyncio.wait_for(waited.wait(), 10)
    leave.set()
    await asyncio.wait_for(asyncio.gather(task, third), 10)


def test_a_tree_with_read_only_parts_can_be_removed(tmp_path: Path) -> None:
    folder = tmp_path / "mod" / "deep"
    folder.mkdir(parents=True)
    (folder / "file").write_text("x")
    folder.chmod(0o500)
    remove_tree(tmp_path / "mod")
    assert not (tmp_path / "mod").exists()
    remove_tree(tmp_path / "mod")
