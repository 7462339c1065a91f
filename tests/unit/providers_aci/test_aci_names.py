from __future__ import annotations

import re
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from vnodectl.clouds.azure.tags import Owner
from vnodectl.providers.aci.names import NAME_MAX, group_name, group_tags, pod_of
from vnodectl.runtime.provider import PodKey

UID = "0e6d5f0e-9f3c-4c5f-8a52-3f1f5a2b7c11"
VALID = re.compile(r"[a-z0-9](?!.*--)([-a-z0-9]*[a-z0-9])?")

labels = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", fullmatch=True)
pod_names = st.from_regex(r"[a-z0-9]([-.a-z0-9]{0,80}[a-z0-9])?", fullmatch=True)
uids = st.one_of(st.uuids().map(str), st.text(min_size=1, max_size=64))


def test_the_name_is_readable_and_ends_with_the_uid() -> None:
    assert group_name(PodKey("default", "web-0", UID)) == f"default-web-0-{UID}"


def test_dashes_in_names_do_not_make_two_pods_one() -> None:
    one, other = PodKey("a-b", "c", UID), PodKey("a", "b-c", str(UUID(int=7)))
    assert group_name(one) != group_name(other)
    # The readable part alone would be the same.
    assert group_name(one).removesuffix(UID) == group_name(other).removesuffix(str(UUID(int=7)))


@given(labels, pod_names, uids)
def test_every_name_is_one_that_aci_takes(namespace: str, name: str, uid: str) -> None:
    made = group_name(PodKey(namespace, name, uid))
    assert VALID.fullmatch(made)
    assert len(made) <= NAME_MAX
    assert made == group_name(PodKey(namespace, name, uid))


@given(st.sets(st.tuples(labels, pod_names, st.uuids().map(str)), min_size=2, max_size=6))
def test_two_uids_never_share_a_name(pods: set[tuple[str, str, str]]) -> None:
    by_uid = {uid: (namespace, name) for namespace, name, uid in pods}
    names = {group_name(PodKey(namespace, name, uid)) for uid, (namespace, name) in by_uid.items()}
    assert len(names) == len(by_uid)


def test_a_uid_that_is_no_uuid_is_hashed() -> None:
    names = {group_name(PodKey("a", "b", uid)) for uid in ("mirror-1", "mirror-2", UID)}
    assert len(names) == 3


def test_tags_lead_back_to_the_pod_and_only_for_its_owner() -> None:
    key, owner = PodKey("default", "web-0", UID), Owner("node", "release")
    group = {"tags": group_tags(key, owner, "2026-01-01T00:00:00Z")}
    assert pod_of(group, owner) == key
    for foreign in (Owner("other", "release"), Owner("node", "other")):
        assert pod_of(group, foreign) is None
    assert pod_of({}, owner) is None
    assert pod_of({"tags": None}, owner) is None
    del group["tags"]["vnodectl-uid"]
    assert pod_of(group, owner) is None
