from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from vnodectl.providers.eci.profile import LiveProfile, Profile, Selector, parse
from vnodectl.providers.eci.settings import EciSettings

DATA = {
    "enableClusterIp": "true",
    "enableHybridMode": "false",
    "enableLinuxArm64Node": "false",
    "enableLogController": "false",
    "enablePVCController": "false",
    "enablePrivateZone": "false",
    "featureGates": "WaitForFirstConsumer=false,Other=true",
    "securityGroupId": "sg-1",
    "selectors": "",
    "slsMachineGroup": "group",
    "vSwitchIds": "vsw-1,vsw-2",
    "vpcId": "vpc-1",
    "resourceGroupId": "rg-1",
}


def _parse(**changes: Any) -> tuple[Profile, list[str]]:
    return parse({"data": {**DATA, **changes}})


def _selectors(*entries: Any) -> tuple[Profile, list[str]]:
    return _parse(selectors=json.dumps(entries))


def test_the_documented_config_map() -> None:
    profile, problems = _parse()
    assert problems == []
    assert (profile.vpc, profile.vswitches, profile.security_group) == ("vpc-1", ("vsw-1", "vsw-2"), "sg-1")
    assert (profile.resource_group, profile.sls_machine_group) == ("rg-1", "group")
    assert profile.switches["enableClusterIp"] is True
    assert profile.switches["enablePrivateZone"] is False
    assert profile.gates == {"WaitForFirstConsumer": False, "Other": True}


def test_no_config_map_is_an_empty_profile() -> None:
    assert parse(None) == (Profile(), [])
    assert parse({}) == (Profile(), [])
    assert parse({"data": None}) == (Profile(), [])
    assert parse({"data": []}) == (Profile(), [])
    assert parse({"data": "x"}) == (Profile(), ["data is not a map"])


def test_the_profile_comes_before_the_connector_s_settings() -> None:
    settings = EciSettings(("mine",), "sg-mine", cluster_dns="10.0.0.10")
    assert Profile().over(settings) == settings
    profile, _ = _parse(securityGroupId="")
    assert profile.over(settings) == EciSettings(
        ("vsw-1", "vsw-2"), "sg-mine", "vpc-1", "rg-1", cluster_dns="10.0.0.10"
    )


def test_bad_content_is_reported_and_the_rest_counts() -> None:
    profile, problems = _parse(
        enableClusterIp="maybe",
        featureGates="a=true,b,c=x",
        vSwitchIds=",".join(f"vsw-{n}" for n in range(12)),
        selectors="{not json",
    )
    assert len(profile.vswitches) == 10
    assert profile.gates == {"a": True}
    assert "enableClusterIp" not in profile.switches
    assert profile.security_group == "sg-1"
    assert [problem.partition(" ")[0] for problem in problems] == [
        "vSwitchIds",
        "selectors",
        "enableClusterIp",
        "featureGates:",
        "featureGates:",
    ]


def test_one_bad_selector_does_not_spoil_the_others() -> None:
    good = {"name": "good", "objectSelector": {"matchLabels": {"eci": "true"}}}
    profile, problems = _selectors(
        good,
        1,
        {"objectSelector": {"matchLabels": {"a": "b"}}},
        {"name": "all"},
        {"name": "n", "objectSelector": {"matchLabels": {"a": 1}}},
        {"name": "n", "objectSelector": {"matchExpressions": []}},
        {"name": "n", "namespaceSelector": []},
        {"name": "n", "namespaceSelector": {"matchLabels": {"a": "b"}}, "effect": {"labels": ["x"]}},
        {"name": "n", "namespaceSelector": {"matchLabels": {"a": "b"}}, "effect": "x"},
    )
    assert [one.name for one in profile.selectors] == ["good"]
    assert [problem.partition(":")[0] for problem in problems] == [f"selectors[{n}]" for n in range(1, 9)]


def test_selectors_that_are_no_list() -> None:
    assert _parse(selectors='{"a": 1}')[1] == ["selectors is not a list"]


def test_what_is_not_known_is_reported() -> None:
    selector = {"name": "n", "objectSelector": {"matchLabels": {"a": "b"}}, "policy": {"fair": {}}}
    profile, problems = _parse(vswitchIds="vsw-typo", selectors=json.dumps([selector]))
    assert len(profile.selectors) == 1
    assert problems == ["there is no key 'vswitchIds'", "selectors[0]: there is no policy"]


def test_what_makes_no_difference_is_told() -> None:
    told = _parse(enableHybridMode="true")[0].without_effect()
    assert [one.partition(":")[0] for one in told] == [
        "enableClusterIp",
        "enableHybridMode",
        "featureGates Other",
    ]
    assert Profile().without_effect() == []


def test_a_live_profile_is_what_was_taken_last() -> None:
    live = LiveProfile()
    assert (live.current, live.problems) == (Profile(), ())
    live.take({"data": {"vSwitchIds": "vsw-1", "selectors": "{"}})
    assert live.current.vswitches == ("vsw-1",)
    assert len(live.problems) == 1
    live.take(None)
    assert (live.current, live.problems) == (Profile(), ())


def test_effects_of_all_matching_selectors_the_first_wins() -> None:
    profile, problems = _selectors(
        {
            "name": "first",
            "objectSelector": {"matchLabels": {"eci": "true"}},
            "effect": {"annotations": {"a": "1", "b": "1"}, "labels": {"made-by": "first"}},
        },
        {
            "name": "second",
            "objectSelector": {"matchLabels": {"eci": "true"}},
            "namespaceSelector": {"matchLabels": {"team": "x"}},
            "effect": {"annotations": {"b": "2", "c": "2"}},
        },
        {
            "name": "no",
            "objectSelector": {"matchLabels": {"eci": "no"}},
            "effect": {"annotations": {"d": "3"}},
        },
    )
    assert problems == []
    assert profile.effects({"eci": "true"}, {"team": "x"}) == (
        {"a": "1", "b": "1", "c": "2"},
        {"made-by": "first"},
    )
    assert profile.effects({"eci": "true"}, None)[0] == {"a": "1", "b": "1"}
    assert profile.effects({"eci": "true"}, {})[0] == {"a": "1", "b": "1"}
    assert profile.effects({}, {"team": "x"}) == ({}, {})


def test_which_pods_belong_on_the_node() -> None:
    both = Selector("both", {"eci": "true"}, {"team": "x"})
    profile = Profile(selectors=(both,))
    assert profile.selects({"eci": "true"}, {"team": "x"}) is both
    assert profile.selects({"eci": "true"}, {}) is None
    assert profile.selects({}, {"team": "x"}) is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(
        st.sampled_from([*DATA]), st.one_of(st.text(), json_values, json_values.map(json.dumps)), max_size=8
    )
)
def test_no_content_breaks_the_parser(data: dict[str, Any]) -> None:
    profile, problems = parse({"data": data})
    assert all(isinstance(problem, str) for problem in problems)
    profile.effects({"a": "b"}, {"a": "b"})
