from __future__ import annotations

import os
import stat
import tarfile
from pathlib import Path

import pytest

from vnodectl.errors import UsageError, VnodectlError
from vnodectl.sysdump import archive

MEMBERS = {"b/2.json": b"{}", "manifest.json": b"{}", "a.txt": b"text"}


def write(path: Path, *, force: bool = False) -> int:
    return archive.write(path, "top", MEMBERS, at=1_700_000_000.5, force=force)


def there(path: Path) -> list[str]:
    return [one.name for one in path.iterdir()]


def test_one_folder_the_manifest_first_and_only_for_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    size = write(path)
    assert size == path.stat().st_size
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with tarfile.open(path) as found:
        members = found.getmembers()
        assert [one.name for one in members] == ["top/manifest.json", "top/a.txt", "top/b/2.json"]
        assert {(one.mtime, one.uid, one.gid, one.uname, one.mode) for one in members} == {
            (1_700_000_000, 0, 0, "", 0o600)
        }


def test_the_same_content_is_the_same_bytes(tmp_path: Path) -> None:
    write(tmp_path / "a.tar.gz")
    write(tmp_path / "b.tar.gz")
    assert (tmp_path / "a.tar.gz").read_bytes() == (tmp_path / "b.tar.gz").read_bytes()


def test_nothing_is_overwritten_without_force(tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    path.write_text("mine")
    with pytest.raises(UsageError, match="exists"):
        archive.check_place(path, force=False)
    with pytest.raises(UsageError, match="exists"):
        write(path)
    assert path.read_text() == "mine"
    assert there(tmp_path) == ["a.tar.gz"]
    archive.check_place(path, force=True)
    write(path, force=True)
    assert tarfile.is_tarfile(path)
    assert there(tmp_path) == ["a.tar.gz"]


def test_places_where_it_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="exists"):
        archive.check_place(tmp_path, force=True)
    with pytest.raises(UsageError, match="no directory"):
        archive.check_place(tmp_path / "not" / "there", force=False)
    with pytest.raises(VnodectlError, match="cannot be written"):
        write(tmp_path / "not" / "there")


def test_an_interruption_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(archive, "_fill", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "a.tar.gz")
    assert there(tmp_path) == []


def test_file_systems_without_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    path = tmp_path / "a.tar.gz"
    write(path)
    assert tarfile.is_tarfile(path)
    with pytest.raises(UsageError, match="exists"):
        write(path)
    assert there(tmp_path) == ["a.tar.gz"]
