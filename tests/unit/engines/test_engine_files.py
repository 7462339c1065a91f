"""Volumes on disk, records of groups, and log files."""

from __future__ import annotations

import asyncio
import stat
import tracemalloc
from pathlib import Path

import pytest

from vnodectl.engines.api import (
    ContainerSpec,
    EngineError,
    FileContent,
    GroupSpec,
    LogQuery,
    Mount,
    Probe,
    PullPolicy,
    RegistryAuth,
    RestartPolicy,
    VolumeSpec,
)
from vnodectl.engines.codec import decode, encode
from vnodectl.engines.crilog import LogWriter, read_log
from vnodectl.engines.payload import write_payload
from vnodectl.engines.workspace import Wanted, Workspace

FULL = GroupSpec(
    "full",
    (
        ContainerSpec(
            "web",
            "app:1",
            command=("a", "b"),
            args=(),
            env={"K": "v"},
            address_env=("IP",),
            mounts=(Mount("v", "/v", True, "sub"),),
            cpu=0.5,
            memory=64,
            pull_policy=PullPolicy.NEVER,
            liveness=Probe(http_path="/", port=80, http_headers=(("a", "b"),)),
        ),
    ),
    (ContainerSpec("init", "app:1"),),
    RestartPolicy.ON_FAILURE,
    {"label": "x"},
    {"v": VolumeSpec(files=(FileContent("a/b", b"\x00\xff", 0o400),)), "m": VolumeSpec(memory=True)},
    (RegistryAuth("server", "user", "word"),),
    "host",
    (("1.2.3.4", "name"),),
    ports=(80,),
    termination_grace=1.5,
)


def test_a_spec_survives_json():
    assert decode(GroupSpec, encode(FULL)) == FULL


def test_defaults_are_left_out():
    assert encode(GroupSpec("g", (ContainerSpec("c", "i"),))) == {
        "name": "g",
        "containers": [{"name": "c", "image": "i"}],
    }


@pytest.mark.parametrize("data", [{"nme": "x"}, {"name": "x"}, [], {"name": "x", "containers": 3}])
def test_other_shapes_are_refused(data):
    with pytest.raises(ValueError, match="not a GroupSpec"):
        decode(GroupSpec, data)


def test_a_payload_is_replaced_in_one_step(tmp_path):
    write_payload(tmp_path, [FileContent("a", b"1"), FileContent("gone", b"x"), FileContent("d/e", b"2")])
    assert (tmp_path / "d/e").read_text() == "2"
    write_payload(tmp_path, [FileContent("a", b"3", 0o400), FileContent("d/f", b"4")])
    assert (tmp_path / "a").read_text() == "3"
    assert (tmp_path / "d/f").read_text() == "4"
    assert not (tmp_path / "d/e").exists()
    assert not (tmp_path / "gone").is_symlink()
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o400
    assert (tmp_path / "..data").is_symlink()
    assert (tmp_path / "a").readlink() == Path("..data/a")
    generations = [one for one in tmp_path.iterdir() if one.name.startswith("..") and one.is_dir()]
    assert len([one for one in generations if not one.is_symlink()]) == 1, "the old one is removed"


@pytest.mark.parametrize("path", ["", "/abs", "../up", "a/../../up", "..data"])
def test_a_payload_stays_inside(tmp_path, path):
    with pytest.raises(EngineError, match="not inside"):
        write_payload(tmp_path, [FileContent(path, b"")])
    assert list(tmp_path.iterdir()) == []


def test_a_workspace_is_private_and_holds_no_contents(tmp_path):
    spec = GroupSpec("g", (ContainerSpec("c", "i"),), volumes=FULL.volumes)
    workspace = Workspace.create(tmp_path, spec, 12.5)
    record = workspace.path / "group.json"
    assert stat.S_IMODE(record.stat().st_mode) == 0o600
    assert stat.S_IMODE(workspace.path.stat().st_mode) == 0o700
    [again] = Workspace.load_all(tmp_path)
    assert again.record.created == 12.5
    assert again.spec.volumes["v"].files == (FileContent("a/b", b"", 0o400),)
    assert (workspace.path / "volumes/v/a/b").read_bytes() == b"\x00\xff"


def test_what_is_wanted_is_remembered(tmp_path):
    Workspace.create(tmp_path, FULL, 1.0).want(Wanted.DELETE, 99.0)
    [again] = Workspace.load_all(tmp_path)
    assert (again.record.wanted, again.record.deadline) == (Wanted.DELETE, 99.0)


def test_a_half_written_group_is_cleared_away(tmp_path):
    (tmp_path / "half/volumes").mkdir(parents=True)
    assert Workspace.load_all(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def workspace_with(tmp_path: Path, **volumes: VolumeSpec) -> Workspace:
    return Workspace.create(tmp_path, GroupSpec("g", (ContainerSpec("c", "i"),), volumes=volumes), 0)


def test_empty_directories_are_for_everybody(tmp_path):
    workspace = workspace_with(tmp_path, v=VolumeSpec())
    source = workspace.source(Mount("v", "/v"))
    assert stat.S_IMODE(source.stat().st_mode) == 0o777
    assert workspace.source(Mount("v", "/v", sub_path="a/b")).is_dir()


def test_sub_paths_of_files(tmp_path):
    workspace = workspace_with(tmp_path, v=VolumeSpec(files=(FileContent("a/b", b"x"),)))
    assert workspace.source(Mount("v", "/v", sub_path="a/b")).read_bytes() == b"x"
    with pytest.raises(EngineError, match="has no missing"):
        workspace.source(Mount("v", "/v", sub_path="missing"))


def test_a_sub_path_does_not_follow_a_link_out(tmp_path):
    workspace = workspace_with(tmp_path / "state", v=VolumeSpec())
    (workspace.source(Mount("v", "/v")) / "link").symlink_to(tmp_path)
    for sub_path in ("link", "link/made", "../../group.json", "/etc"):
        with pytest.raises(EngineError):
            workspace.source(Mount("v", "/v", sub_path=sub_path))
    assert not (tmp_path / "made").exists()


def test_only_volumes_of_files_are_rewritten(tmp_path):
    workspace = workspace_with(tmp_path, v=VolumeSpec(memory=True))
    with pytest.raises(EngineError, match="made of files"):
        workspace.write_files("v", [])
    with pytest.raises(EngineError, match="made of files"):
        workspace.write_files("other", [])


@pytest.fixture
def log_file(tmp_path: Path) -> Path:
    times = iter([100.0, 101.0, 102.0, 103.5])
    path = tmp_path / "log"
    log = LogWriter(path, lambda: next(times))
    log.write("stdout", b"one\n")
    log.write("stderr", b"two ")
    log.write("stderr", b"2\n")
    log.write("stdout", b"last")
    log.close()
    return path


async def read(path: Path, **query) -> bytes:
    return b"".join([line async for line in read_log(path, LogQuery(**query), lambda: True)])


async def test_logs_are_given_back_as_written(log_file):
    assert await read(log_file) == b"one\ntwo 2\nlast"


async def test_log_queries(log_file):
    assert await read(log_file, tail=0) == b""
    assert await read(log_file, tail=1) == b"last"
    assert await read(log_file, tail=2) == b"two 2\nlast"
    assert await read(log_file, tail=9) == b"one\ntwo 2\nlast"
    assert await read(log_file, since=102) == b"2\nlast"
    assert (await read(log_file, timestamps=True)).startswith(b"1970-01-01T00:01:40.000000000Z one\n")


async def test_streams_that_interleave_have_their_own_partial_lines(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b"T stdout F one\nT stdout P b\nT stderr F err\n")
    assert await read(path) == b"one\nberr\n"
    assert await read(path, tail=1) == b"err\n"
    assert await read(path, tail=2) == b"berr\n"
    assert await read(path, tail=3) == b"one\nberr\n"


async def test_a_line_in_parts_has_one_timestamp(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b"T1 stdout P lo\nT2 stdout F ng\nT3 stdout F next\n")
    assert await read(path, timestamps=True) == b"T1 long\nT3 next\n"


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        (b"2026-11-27T20:34:43.613118116+00:00", b"2026-11-27T20:34:43.613118116Z"),
        (b"2026-11-27T20:34:43.5Z", b"2026-11-27T20:34:43.500000000Z"),
        (b"2026-11-27T20:34:43Z", b"2026-11-27T20:34:43.000000000Z"),
        (b"2026-11-27T20:34:43.613118116+05:30", b"2026-11-27T15:04:43.613118116Z"),
    ],
)
async def test_times_are_in_nanoseconds_and_utc(tmp_path, written, shown):
    path = tmp_path / "log"
    path.write_bytes(written + b" stdout F one\n")
    assert await read(path, timestamps=True) == shown + b" one\n"


async def test_what_is_still_being_written_is_left_for_later(tmp_path):
    path = tmp_path / "log"
    done = False
    path.write_bytes(b"T stdout F one\nT stdout F tw")
    assert await read(path, tail=1) == b"one\n"
    lines = read_log(path, LogQuery(follow=True, tail=0), lambda: done)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(anext(lines))
        await asyncio.sleep(0)
        with path.open("ab") as file:
            file.write(b"o\n")
    assert task.result() == b"two\n"
    done = True
    assert [line async for line in lines] == []


async def test_damaged_records_are_left_out(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b"T stdout F one\n\0\0\nT stdout F two\n")
    assert await read(path) == b"one\ntwo\n"
    assert await read(path, tail=2) == b"one\ntwo\n"


@pytest.mark.parametrize("size", [1, 100, 40_000])
async def test_a_long_log_is_never_in_memory_as_a_whole(tmp_path, size):
    """Records that fill blocks, and such as are longer than one."""
    path = tmp_path / "log"
    count = min(20_000, 4_000_000 // size)
    with path.open("wb") as file:
        for number in range(count):
            file.write(b"T stdout F %08d%s\n" % (number, b"x" * size))
    tracemalloc.start()
    try:
        for tail in (None, 3, count - 1):
            [total, last] = [0, b""]
            async for chunk in read_log(path, LogQuery(tail=tail), lambda: True):
                total += len(chunk)
                last = chunk
            shown = count if tail is None else tail
            assert total == shown * (size + 9)
            assert last.endswith(b"%08d%s\n" % (count - 1, b"x" * size))
        assert tracemalloc.get_traced_memory()[1] < 1_500_000
    finally:
        tracemalloc.stop()


async def test_following_a_log_ends_with_the_program(log_file):
    done = False
    log = LogWriter(log_file, lambda: 104.0)
    lines = read_log(log_file, LogQuery(follow=True, tail=1), lambda: done)
    assert await anext(lines) == b"last"
    log.write("stdout", b"more\n")
    assert await anext(lines) == b"more\n"
    log.write("stdout", b"end\n")
    done = True
    assert [line async for line in lines] == [b"end\n"]
    log.close()
