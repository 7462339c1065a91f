"""Which program is used and from where; with stand-ins for Go and Helm on PATH, and no network."""

from __future__ import annotations

import asyncio
import io
import os
from pathlib import Path

import pytest
from pytest_mock import MockerFixture
from rich.console import Console

from vnodectl.sandbox import golang, processes, tools
from vnodectl.sandbox.download import Sources
from vnodectl.sandbox.programs import ProgramFailed
from vnodectl.sandbox.report import Reporter, Step
from vnodectl.sandbox.versions import control_plane

# Says its version, lists two packages of which it then "compiles" both, and writes the program. Downloads are
# empty but for Kubernetes' own; $GO_LACKS is a version of a module that the proxy does not have.
_GO = """#!/bin/sh
case "$1" in
  version) echo "go version go$GO_IS linux/amd64" ;;
  list) printf 'example/a\\nexample/b\\n' ;;
  mod)
    [ "$4" != "$GO_LACKS" ] || exit 1
    mkdir -p "$GOMODCACHE/source"; cp "${GO_UPSTREAM:-/dev/null}" "$GOMODCACHE/source/go.mod"
    : > "$GOMODCACHE/source/go.sum"
    printf '{"Dir": "%s/source", "Version": "%s"}' "$GOMODCACHE" "${4#*@}" ;;
  build)
    echo "$GOFLAGS $@" >> "$GO_CALLS"; cp go.mod "$GO_CALLS.mod" 2>/dev/null
    [ -z "$GO_HANGS" ] || { echo example/a >&2; exec sleep 600; }
    echo example/a >&2; echo example/b >&2
    [ -z "$GO_FAILS" ] || { echo "undefined: x" >&2; exit 1; }
    while [ "$1" != -o ]; do shift; done
    printf '#!/bin/sh\\n' > "$2"; chmod +x "$2" ;;
esac
"""
_NOWHERE = Sources(kubernetes="http://127.0.0.1:9", etcd="http://127.0.0.1:9", helm="http://127.0.0.1:9")


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that, with the system's own, is all of PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.defpath}")
    monkeypatch.setenv("GO_CALLS", str(tmp_path / "calls"))
    for name in ("GOPATH", "GOCACHE", "GOMODCACHE", "GOROOT", "GO_FAILS", "GO_HANGS"):
        monkeypatch.delenv(name, raising=False)
    return folder


def _install(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    path.chmod(0o755)
    return path


def _reporter() -> tuple[Reporter, io.StringIO]:
    said = io.StringIO()
    return Reporter(Console(file=said, force_terminal=False, width=200)), said


@pytest.mark.parametrize(
    ("version", "suitable"),
    [
        ("v3.16.0", True),
        ("v3.22.1", True),
        ("v4.3.1", True),
        ("v3.17.0-rc.1+g123", True),
        ("v4.3", False),
        ("v3.7.2", False),
        ("v2.17.0", False),
        ("v5.0.0", False),
        ("", False),
    ],
)
def test_which_helm_is_good_enough(version: str, suitable: bool) -> None:
    assert tools.suitable_helm(version) is suitable


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("go version go1.26.8 linux/amd64", (1, 26, 8)),
        ("go version go1.27 linux/amd64", (1, 27, 0)),
        ("go version devel go1.28-abc", (1, 28, 0)),
        ("nothing", None),
    ],
)
def test_go_versions(text: str, version: golang.Version | None) -> None:
    assert golang.parse_version(text) == version


def test_the_version_that_our_module_needs() -> None:
    module = Path(tools.__file__).with_name("controlplane") / "go.mod"
    assert golang.required_version(module.read_text()) >= (1, 26, 0)


def test_go_keeps_its_files_in_our_cache_unless_told_otherwise(tmp_path: Path) -> None:
    ours = golang.go_environment(tmp_path, {"HOME": "/home/me"})
    for name in ("GOPATH", "GOCACHE", "GOMODCACHE", "GOTMPDIR"):
        assert ours[name].startswith(str(tmp_path))
    theirs = golang.go_environment(tmp_path, {"GOPATH": "/gopath", "GOCACHE": "/gocache"})
    assert (theirs["GOMODCACHE"], theirs["GOCACHE"]) == ("/gopath/pkg/mod", "/gocache")


async def test_offline_with_a_new_go_everything_is_built_once(
    programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GO_IS", "1.99.0")
    _install(programs, "go", _GO)
    reporter, said = _reporter()
    found = await tools.prepare(tmp_path / "home", reporter, sources=_NOWHERE)
    assert (found.control_plane / "kube-apiserver").is_file()
    assert (found.control_plane / "etcd").resolve() == found.control_plane / "controlplane"
    assert found.helm.is_file()
    assert not found.helm_on_path
    assert "Go from PATH" in said.getvalue()
    calls = (tmp_path / "calls").read_text()
    assert "-X k8s.io/component-base/version.gitVersion=v1." in calls
    assert "-X helm.sh/helm/v4/internal/version.version=v4." in calls
    await tools.prepare(tmp_path / "home", reporter, sources=_NOWHERE)
    assert (tmp_path / "calls").read_text() == calls
    hidden = {path.name for path in (tmp_path / "home" / "tools").glob(".*") if path.suffix != ".lock"}
    assert hidden == set()


async def test_progress_counts_compiled_packages(
    programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mocker: MockerFixture
) -> None:
    monkeypatch.setenv("GO_IS", "1.99.0")
    _install(programs, "go", _GO)
    reporter, _ = _reporter()
    with reporter.step("build") as step:
        progress = mocker.spy(step, "progress")
        go = await golang.find_go((1, 26, 0), tmp_path / "work", step)
        await golang.build(go, tmp_path, ".", tmp_path / "out", variables={}, step=step)
    assert [call.args[:2] for call in progress.call_args_list] == [(0, 3), (1, 3), (2, 3), (3, 3)]


async def test_an_old_go_is_replaced_by_the_wheel(
    programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mocker: MockerFixture
) -> None:
    monkeypatch.setenv("GO_IS", "1.19.8")
    _install(programs, "go", _GO)
    wheel = mocker.patch.object(golang, "_wheel", return_value=Path("/wheel/go"))
    reporter, _ = _reporter()
    with reporter.step("build") as step:
        go = await golang.find_go((1, 26, 0), tmp_path / "work", step)
    assert go.command == "/wheel/go"
    wheel.assert_awaited_once()


async def test_a_failed_build_shows_the_compiler_and_keeps_nothing(
    programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GO_IS", "1.99.0")
    monkeypatch.setenv("GO_FAILS", "yes")
    _install(programs, "go", _GO)
    reporter, said = _reporter()
    with pytest.raises(ProgramFailed, match="undefined: x"):
        await tools.prepare(tmp_path / "home", reporter, sources=_NOWHERE)
    assert list((tmp_path / "home" / "tools").glob("controlplane-*")) == []
    assert "✗" in said.getvalue()


async def test_cancelling_a_build_keeps_nothing_and_ends_the_compiler(
    programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mocker: MockerFixture
) -> None:
    monkeypatch.setenv("GO_IS", "1.99.0")
    monkeypatch.setenv("GO_HANGS", "yes")
    monkeypatch.setenv(processes.RUN_VARIABLE, str(tmp_path))
    _install(programs, "go", _GO)
    compiling = asyncio.Event()
    mocker.patch.object(Step, "progress", side_effect=lambda done, *_: compiling.set() if done else None)
    task = asyncio.create_task(tools.prepare(tmp_path / "home", _reporter()[0], sources=_NOWHERE))
    await asyncio.wait_for(compiling.wait(), 20)
    async with asyncio.timeout(20):
        # /proc shows no environment during an exec, and tells nobody when it does.
        while not list(processes.of_run(str(tmp_path))):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert list(processes.of_run(str(tmp_path))) == []
    left = [path.name for path in (tmp_path / "home" / "tools").iterdir() if path.suffix != ".lock"]
    assert left == [".go"]


async def test_a_suitable_helm_on_path_is_used_as_it_is(
    programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GO_IS", "1.99.0")
    _install(programs, "go", _GO)
    helm = _install(programs, "helm", "#!/bin/sh\necho v3.16.2\n")
    kubectl = _install(programs, "kubectl", "#!/bin/sh\n")
    found = await tools.prepare(tmp_path / "home", _reporter()[0], sources=_NOWHERE)
    assert (found.helm, found.helm_on_path) == (helm, True)
    assert (found.kubectl, found.kubectl_on_path) == (kubectl, True)


_UPSTREAM = """module k8s.io/kubernetes

go 1.22.0

require (
	go.etcd.io/etcd/client/v3 v3.5.14
	k8s.io/api v0.0.0
	k8s.io/sample-controller v0.0.0
)

replace (
	k8s.io/api => ./staging/src/k8s.io/api
	k8s.io/sample-controller => ./staging/src/k8s.io/sample-controller
)
"""


@pytest.mark.parametrize(("lacks", "api"), [("", "v0.31.14"), ("k8s.io/api@v0.31.14", "v0.31")])
async def test_another_version_is_built_from_a_module_made_for_it(
    programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lacks: str, api: str
) -> None:
    upstream = tmp_path / "upstream.mod"
    upstream.write_text(_UPSTREAM)
    monkeypatch.setenv("GO_IS", "1.99.0")
    monkeypatch.setenv("GO_UPSTREAM", str(upstream))
    monkeypatch.setenv("GO_LACKS", lacks)
    _install(programs, "go", _GO)
    _install(programs, "helm", "#!/bin/sh\necho v3.20.0\n")
    found = await tools.prepare(
        tmp_path / "home", _reporter()[0], version=control_plane("1.31"), sources=_NOWHERE
    )
    assert found.control_plane.name.startswith("controlplane-v1.31.14-")
    (call,) = (tmp_path / "calls").read_text().splitlines()
    assert call.startswith("-mod=mod build")
    assert "version.gitVersion=v1.31.14" in call
    made = (tmp_path / "calls.mod").read_text()
    assert f"k8s.io/api => k8s.io/api {api}\n" in made
    assert "k8s.io/kubernetes v1.31.14\n" in made


async def test_metrics_server_is_built_where_it_is_wanted(
    programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GO_IS", "1.99.0")
    _install(programs, "go", _GO)
    _install(programs, "helm", "#!/bin/sh\necho v3.20.0\n")
    found = await tools.prepare(tmp_path / "home", _reporter()[0], metrics=True, sources=_NOWHERE)
    assert found.metrics_server is not None
    assert found.metrics_server.is_file()
    assert "./cmd/metrics-server" in (tmp_path / "calls").read_text()


async def test_who_has_everything_does_not_wait_for_somebody_elses_build(
    programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GO_IS", "1.99.0")
    _install(programs, "go", _GO)
    home = tmp_path / "home"
    await tools.prepare(home, _reporter()[0], sources=_NOWHERE)
    (tmp_path / "upstream.mod").write_text(_UPSTREAM)
    monkeypatch.setenv("GO_UPSTREAM", str(tmp_path / "upstream.mod"))
    monkeypatch.setenv("GO_HANGS", "yes")
    before = (tmp_path / "calls").read_text()
    another = asyncio.create_task(
        tools.prepare(home, _reporter()[0], version=control_plane("1.31"), sources=_NOWHERE)
    )
    try:
        async with asyncio.timeout(20):
            while (tmp_path / "calls").read_text() == before:  # noqa: ASYNC110 - another process writes it
                await asyncio.sleep(0.01)
            await tools.prepare(home, _reporter()[0], sources=_NOWHERE)
        assert (home / "tools" / ".go").is_dir(), "what the other build works with is left alone"
    finally:
        another.cancel()
        await asyncio.gather(another, return_exceptions=True)
