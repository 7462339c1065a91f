"""The helm program as checks read it: a stand-in that says what the real one says (Helm 3.22 and 4.3)."""

from __future__ import annotations

from pathlib import Path

import pytest

from vnodectl.checks.helm import HelmProgram
from vnodectl.checks.readers import Signature
from vnodectl.errors import ToolMissing, UsageError

GOOD = (
    "Signed by: Tester <t@example.org>\nUsing Key With Fingerprint: 12F8\nChart Hash Verified: sha256:c8d5\n"
)
BAD = 'Error: sha256 sum does not match for chart.tgz: "sha256:1" != "sha256:2"\n'


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    (tmp_path / "chart.tgz").write_bytes(b"chart")
    (tmp_path / "chart.tgz.prov").write_text("provenance")
    return tmp_path / "chart.tgz"


def program(directory: Path, output: str, *, code: int = 0, stream: int = 1) -> HelmProgram:
    """Says `output` when it is asked to verify, and notes what it was asked."""
    (directory / "said").write_text(output)
    path = directory / "helm"
    path.write_text(
        f'#!/bin/sh\nprintf "%s\\n" "$@" >{directory}/asked\ncat {directory}/said >&{stream}\nexit {code}\n'
    )
    path.chmod(0o755)
    return HelmProgram(str(path))


async def test_a_good_signature_names_its_maker(archive: Path) -> None:
    helm = program(archive.parent, GOOD)
    assert await helm.signature(str(archive)) == Signature("Tester <t@example.org>")
    assert (archive.parent / "asked").read_text().splitlines() == ["verify", str(archive)]


async def test_a_bad_one_is_told_in_helm_s_words(archive: Path) -> None:
    helm = program(archive.parent, BAD, code=1, stream=2)
    found = await helm.signature(f"file://{archive}")
    assert found == Signature(problem=BAD.removeprefix("Error: ").strip())


async def test_helm_that_fails_without_a_word(archive: Path) -> None:
    found = await program(archive.parent, "", code=3).signature(str(archive))
    assert found == Signature(problem="helm verify ended with code 3")


async def test_what_has_no_signature_is_not_asked_about(archive: Path, repository: Path) -> None:
    helm = program(archive.parent, GOOD)
    Path(f"{archive}.prov").unlink()
    assert await helm.signature(str(archive)) is None
    assert await helm.signature(str(repository / "charts" / "vnode-connector")) is None
    assert not (archive.parent / "asked").exists()


async def test_a_chart_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no chart at"):
        await program(tmp_path, GOOD).signature(str(tmp_path / "none.tgz"))


async def test_no_helm(archive: Path) -> None:
    with pytest.raises(ToolMissing):
        await HelmProgram("/nowhere/helm").signature(str(archive))
