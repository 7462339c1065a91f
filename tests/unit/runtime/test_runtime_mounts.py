"""Mounts that cannot be made."""

from __future__ import annotations

import pytest

from vnodectl.runtime.facts import Unresolved
from vnodectl.runtime.mounts import check, sub_path_of
from vnodectl.runtime.provider import EnvVar


def container(**mount: str) -> dict:
    return {"name": "c", "volumeMounts": [{"name": "v", "mountPath": "/v", **mount}]}


@pytest.mark.parametrize(
    ("mount", "path"),
    [
        ({}, ""),
        ({"subPath": "a/b"}, "a/b"),
        ({"subPath": "a..b"}, "a..b"),
        ({"subPathExpr": "logs/$(POD)"}, "logs/web-0"),
        ({"subPathExpr": "$$(POD)"}, "$(POD)"),
    ],
)
def test_what_is_mounted(mount, path):
    one = container(**mount)
    assert sub_path_of(one, one["volumeMounts"][0], {"POD": "web-0"}) == path


@pytest.mark.parametrize(
    ("mount", "why"),
    [
        ({"subPathExpr": "$(NOBODY)"}, "missing value for 'NOBODY'"),
        ({"subPathExpr": "$(IP)"}, "missing value for 'IP'"),
        ({"subPathExpr": "$(UP)/x"}, "must not contain '..'"),
        ({"subPathExpr": "$(ROOT)"}, "must not be an absolute path"),
        ({"subPath": "a/../../b"}, "must not contain '..'"),
    ],
)
def test_what_cannot_be_mounted_makes_its_container_wait(mount, why):
    known = (EnvVar("UP", ".."), EnvVar("ROOT", "/etc"), EnvVar("IP", "", late="status.podIP"))
    with pytest.raises(Unresolved) as waiting:
        check(container(**mount), known)
    assert why in waiting.value.notice.message
    assert "volumeMount v of container c" in waiting.value.notice.message
