from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vnodectl.providers.eci import annotations as notes
from vnodectl.providers.eci.annotations import TABLE, Effect, parameters
from vnodectl.runtime.provider import Rejected

P = notes.PREFIX


def test_the_table_is_fit_for_a_page() -> None:
    names = [one.name for one in TABLE]
    assert len(set(names)) == len(names)
    for one in TABLE:
        if one.effect is Effect.OLDER:
            assert one.why in names, one.name
            continue
        assert one.meaning.endswith("."), one.name
        assert one.example, one.name
        assert (one.effect is Effect.SET) != bool(one.why), one.name
        assert not (one.parameter and one.effect is not Effect.SET), one.name


@pytest.mark.parametrize("one", [one for one in TABLE if one.parse], ids=lambda one: one.name)
def test_every_example_can_be_read(one: notes.Annotation) -> None:
    found = parameters({one.name: one.example})
    assert list(found) == ([one.parameter] if one.parameter else [])


@pytest.mark.parametrize(
    ("name", "value", "parameter", "expected"),
    [
        (f"{P}eci-vswitch", "vsw-1, vsw-2", "VSwitchId", "vsw-1,vsw-2"),
        (f"{P}eci-schedule-strategy", "vSwitchOrdered", "ScheduleStrategy", "VSwitchOrdered"),
        (f"{P}eci-spot-price-limit", "0.125", "SpotPriceLimit", "0.125"),
        (f"{P}eci-spot-duration", "0", "SpotDuration", 0),
        (f"{P}eci-auto-imc", "TRUE", "AutoMatchImageCache", True),
        (f"{P}eci-extra-ephemeral-storage", "50Gi", "EphemeralStorage", 50),
        (f"{P}eci-extra-ephemeral-storage", "1500Mi", "EphemeralStorage", 2),
        ("kubernetes.io/ingress-bandwidth", "40M", "IngressBandwidth", 320_000_000),
        ("kubernetes.io/egress-bandwidth", "1.5KB", "EgressBandwidth", 12_000),
        ("kubernetes.io/egress-bandwidth", "1000", "EgressBandwidth", 8000),
        (f"{P}eci-ntp-server", "100.100.5.1,100.100.5.2", "NtpServer", ["100.100.5.1", "100.100.5.2"]),
        (f"{P}eip-isp", "bgp_pro", "EipISP", "BGP_PRO"),
        (f"{P}eci-enable-ipv6", "true", "Ipv6AddressCount", 1),
        (f"{P}eci-compute-category", "economy,general", "ComputeCategory", ["economy", "general"]),
    ],
)
def test_values(name: str, value: str, parameter: str, expected: Any) -> None:
    assert parameters({name: value}) == {parameter: expected}


def test_older_names_stand_for_the_newer_ones_unless_those_are_given() -> None:
    found = notes.by_newer_names(
        {f"{P}eci-image-snapshot-id": "imc-1", f"{P}eci-instance-type": "ecs.c5.large"}
    )
    assert parameters(found) == {"ImageSnapshotId": "imc-1"}
    assert found[notes.USE_SPECS] == "ecs.c5.large"
    both = {f"{P}eci-image-cache": "true", f"{P}eci-auto-imc": "false"}
    assert parameters(notes.by_newer_names(both)) == {"AutoMatchImageCache": False}


def test_no_ipv6_is_no_parameter() -> None:
    assert parameters({f"{P}eci-enable-ipv6": "false"}) == {}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (f"{P}eci-vswitch", ","),
        (f"{P}eci-vswitch", ",".join(f"v{n}" for n in range(11))),
        (f"{P}eci-security-group", ",".join(f"s{n}" for n in range(6))),
        (f"{P}eci-schedule-strategy", "Sometimes"),
        (f"{P}eci-spot-price-limit", "0.1234"),
        (f"{P}eci-spot-price-limit", "nan"),
        (f"{P}eci-spot-price-limit", "-1"),
        (f"{P}eci-max-pending-minute", "9"),
        (f"{P}eci-max-pending-minute", "1441"),
        (f"{P}eci-max-pending-minute", "ten"),
        (f"{P}eci-auto-imc", "yes"),
        (f"{P}eci-extra-ephemeral-storage", "a lot"),
        (f"{P}eci-extra-ephemeral-storage", "0"),
        (f"{P}eci-ram-role-name", " "),
        (f"{P}eip-bandwidth", "0"),
        (f"{P}eci-fail-strategy", "never"),
        ("kubernetes.io/ingress-bandwidth", "fast"),
    ],
)
def test_a_wrong_value_is_rejected_with_its_annotation(name: str, value: str) -> None:
    with pytest.raises(Rejected) as caught:
        parameters({name: value})
    assert caught.value.field == f"metadata.annotations[{name}]"
    assert caught.value.reason == "InvalidAnnotation"


@pytest.mark.parametrize(
    "one",
    [one for one in TABLE if one.effect in {Effect.IGNORED, Effect.REJECTED}],
    ids=lambda one: one.name,
)
def test_what_the_api_does_not_have(one: notes.Annotation) -> None:
    if one.effect is Effect.IGNORED:
        assert parameters({one.name: "anything"}) == {}
        return
    with pytest.raises(Rejected) as caught:
        parameters({one.name: one.example})
    assert one.why in caught.value.message


def test_other_annotations_are_nobody_s_business_here() -> None:
    assert parameters({"example.com/x": "1", f"{P}eci-instance-id": "eci-1"}) == {}


@given(st.sampled_from([one.name for one in TABLE]), st.text())
def test_any_value_is_read_or_rejected(name: str, value: str) -> None:
    field = f"metadata.annotations[{name}]"
    with suppress(Rejected):
        parameters({name: value})
        return
    with pytest.raises(Rejected) as caught:
        parameters({name: value})
    assert caught.value.field == field


def test_json_values() -> None:
    given_ = {"a": '[{"host": "x", "ip": "1.2.3.4", "more": 1}]'}
    assert notes.json_list(given_, "a", "host", "ip") == [{"host": "x", "ip": "1.2.3.4"}]
    assert notes.json_list({}, "a", "host") == []
    assert notes.json_object({"a": '{"b": "c"}'}, "a") == {"b": "c"}
    assert notes.json_object({}, "a") == {}
    for wrong in ("{", "1", '["x"]', '[{"host": {}}]'):
        with pytest.raises(Rejected):
            notes.json_list({"a": wrong}, "a", "host")
    for wrong in ("{", "[]", '{"a": 1}'):
        with pytest.raises(Rejected):
            notes.json_object({"a": wrong}, "a")
