from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from vnodectl.clouds.alibaba import tags as tag
from vnodectl.clouds.alibaba.tags import Owner
from vnodectl.providers.eci.names import NAME_MAX, client_token, group_name, group_tags, pod_of
from vnodectl.runtime.provider import PodKey

OWNER = Owner("virtual-kubelet", "ack-virtual-node")
UID = "0e6d5f0e-9f3c-4c5f-8a52-3f1f5a2b7c11"
labels = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,40}[a-z0-9])?", fullmatch=True)
names = st.from_regex(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?", fullmatch=True)
uids = st.one_of(
    st.uuids().map(str), st.text("0123456789abcdef", min_size=1, max_size=64), st.text(min_size=1)
)


def _group(key: PodKey, owner: Owner = OWNER) -> dict[str, object]:
    return {"Tags": tag.as_list(group_tags(key, owner, "2026-01-02T03:04:05Z"))}


@given(labels, names, uids)
def test_a_name_is_one_that_eci_takes_and_a_token_fits(namespace: str, name: str, uid: str) -> None:
    key = PodKey(namespace, name, uid)
    made = group_name(key)
    assert re.fullmatch(r"[a-z0-9][a-z0-9-]{0,126}[a-z0-9]", made)
    assert len(made) <= NAME_MAX
    for attempt in (1, 2, 1234):
        assert re.fullmatch(r"[\x00-\x7f]{1,64}", client_token(key, attempt), re.DOTALL)


@given(labels, names, uids)
def test_tags_lead_back_to_the_pod_and_fit(namespace: str, name: str, uid: str) -> None:
    key = PodKey(namespace, name, uid)
    group = _group(key)
    assert pod_of(group, OWNER) == key
    assert all(len(one["Value"]) <= 128 for one in group["Tags"] if one["Key"] != tag.UID)  # type: ignore[attr-defined]


def test_the_token_is_the_uid_and_another_for_another_group() -> None:
    key = PodKey("default", "web-0", UID)
    assert client_token(key, 1) == UID
    assert client_token(key, 2) == f"{UID}-2"
    assert client_token(PodKey("default", "web-0", "other"), 1) != client_token(key, 1)


def test_names_do_not_collide() -> None:
    assert group_name(PodKey("a-b", "c", "1")) != group_name(PodKey("a", "b-c", "2"))


def test_foreign_groups_are_nobody_s() -> None:
    key = PodKey("default", "web-0", UID)
    assert pod_of({}, OWNER) is None
    assert pod_of({"Tags": None}, OWNER) is None
    assert pod_of(_group(key, Owner("another", "ack-virtual-node")), OWNER) is None
    assert pod_of(_group(key, Owner("virtual-kubelet", "another")), OWNER) is None
    half = [one for one in _group(key)["Tags"] if one["Key"] != tag.UID]  # type: ignore[attr-defined]
    assert pod_of({"Tags": half}, OWNER) is None
