"""Which Kubernetes a sandbox can have, and the Go module that one is built from."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from vnodectl.errors import UsageError
from vnodectl.sandbox import gomodule, tools
from vnodectl.sandbox.lifecycle import Wishes
from vnodectl.sandbox.versions import DEFAULT, SUPPORTED, ControlPlane, control_plane

UPSTREAM = """// This is a generated file. Do not edit directly.

module k8s.io/kubernetes

go 1.23.0

godebug default=go1.23
godebug winsymlink=0

require (
	bitbucket.org/bertimus9/systemstat v0.5.0
	go.etcd.io/etcd/client/v3 v3.5.16
	k8s.io/api v0.0.0
	k8s.io/sample-apiserver v0.0.0
	k8s.io/utils v0.0.0-20240711033017-18e509b52bc8
)

require (
	github.com/old/thing v1.0.0 // indirect; kept
	go.etcd.io/etcd/server/v3 v3.5.13 // indirect
)

replace (
	github.com/old/thing v1.0.0 => github.com/new/thing v1.0.1
	k8s.io/api => ./staging/src/k8s.io/api
	k8s.io/sample-apiserver => ./staging/src/k8s.io/sample-apiserver
)
"""


@pytest.mark.parametrize("text", ["1.31", "v1.31", " 1.31 "])
def test_a_minor_is_its_newest_known_patch(text: str):
    assert control_plane(text) is SUPPORTED[0]


def test_an_exact_version_is_taken_with_its_minors_etcd():
    assert control_plane("1.34.1") == ControlPlane("v1.34.1", "v3.6.4")


@pytest.mark.parametrize("text", ["1.30", "1.99", "2.31", "latest", "1", "1.34.x", ""])
def test_other_versions_are_refused_with_those_there_are(text: str):
    with pytest.raises(UsageError, match="no sandbox has Kubernetes") as caught:
        control_plane(text)
    assert "1.31 to 1." in caught.value.hint


def test_every_minor_from_the_oldest_to_the_newest_is_there():
    minors = [one.minor for one in SUPPORTED]
    assert minors == list(range(31, minors[-1] + 1))
    assert DEFAULT in SUPPORTED


def test_the_module_in_the_package_is_of_the_default_versions():
    text = (Path(tools.__file__).with_name("controlplane") / "go.mod").read_text()
    assert re.search(rf"^\tk8s.io/kubernetes {re.escape(DEFAULT.kubernetes)}$", text, re.MULTILINE)
    assert re.search(rf"^\tgo.etcd.io/etcd/server/v3 {re.escape(DEFAULT.etcd)}$", text, re.MULTILINE)


def test_a_given_cluster_has_its_own_version(tmp_path: Path):
    with pytest.raises(UsageError, match="its own version"):
        Wishes(kubeconfig=tmp_path, kubernetes="1.31")
    Wishes(kubeconfig=tmp_path)


def test_staging_modules_without_examples():
    assert gomodule.staging(UPSTREAM) == ["k8s.io/api"]
    assert gomodule.examples(UPSTREAM) == ["sample-apiserver"]
    assert gomodule.published_as("v1.32.7") == "v0.32.7"


def test_the_module_says_what_kubernetes_own_one_says():
    made = gomodule.go_mod("v1.32.7", UPSTREAM, {"k8s.io/api": "v0.32.6"})
    lines = [line.strip() for line in made.splitlines()]
    for line in (
        "go 1.23.0",
        "default=go1.23",
        "winsymlink=0",
        "k8s.io/kubernetes v1.32.7",
        "k8s.io/api v0.0.0",
        "k8s.io/api => k8s.io/api v0.32.6",
        "k8s.io/sample-apiserver => ./unused/sample-apiserver",
        "github.com/old/thing v1.0.0 => github.com/new/thing v1.0.1",
        "github.com/old/thing v1.0.0",
        "bitbucket.org/bertimus9/systemstat v0.5.0",
    ):
        assert line in lines
    assert "go.etcd.io/etcd/server/v3 v3.5.16" in lines, "the client's, not an older one of tests"
    assert "./staging" not in made


def test_any_other_module_is_refused():
    with pytest.raises(ValueError, match="Kubernetes"):
        gomodule.staging("module example\n\ngo 1.23\n")
