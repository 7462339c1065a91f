"""What checks work out from plain data: roles, rules, routes, addresses, policies, where pods land."""

from __future__ import annotations

import json

import pytest

from vnodectl.checks import landing
from vnodectl.checks.alibaba import ram
from vnodectl.checks.azure import roles
from vnodectl.checks.azure.ids import free_prefix, inside, networks, part
from vnodectl.checks.azure.roles import Permission
from vnodectl.checks.azure.rules import Destination, Passage, default_route, egress

GROUP = "Microsoft.ContainerInstance/containerGroups"


# --- Azure's roles --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("actions", "not_actions", "action", "allowed"),
    [
        (("*",), (), f"{GROUP}/write", True),
        (("*",), ("Microsoft.Authorization/*/Write",), f"{GROUP}/write", True),
        (("*",), (f"{GROUP}/*",), f"{GROUP}/write", False),
        (("*/read",), (), f"{GROUP}/read", True),
        (("*/read",), (), f"{GROUP}/write", False),
        (("microsoft.containerinstance/CONTAINERGROUPS/*",), (), f"{GROUP}/containers/exec/action", True),
        ((f"{GROUP}/write",), (), f"{GROUP}/writer", False),
        ((f"{GROUP}.*/write",), (), f"{GROUP}x/write", False),  # a dot is a dot
        ((), (), f"{GROUP}/read", False),
    ],
)
def test_what_a_permission_allows(actions, not_actions, action, allowed):
    assert Permission(actions, not_actions).allows(action) is allowed


def test_what_one_role_leaves_out_another_may_allow():
    limited = Permission(("*",), (f"{GROUP}/delete",))
    deleter = Permission((f"{GROUP}/delete",))
    assert roles.missing([limited], [f"{GROUP}/delete"]) == [f"{GROUP}/delete"]
    assert roles.missing([limited, deleter], [f"{GROUP}/delete"]) == []


@pytest.mark.parametrize(
    ("assigned", "scope", "holds"),
    [
        ("/subscriptions/s", "/subscriptions/s/resourceGroups/g", True),
        ("/subscriptions/S/", "/subscriptions/s/resourceGroups/g", True),
        ("/subscriptions/s/resourceGroups/g", "/subscriptions/s", False),
        ("/subscriptions/s/resourceGroups/g", "/subscriptions/s/resourceGroups/g2", False),
        ("/", "/subscriptions/s", True),
    ],
)
def test_where_an_assignment_holds(assigned, scope, holds):
    assert roles.holds_at(assigned, scope) is holds


def test_the_role_of_least_rights_has_all_that_is_wanted_and_nothing_by_a_pattern():
    role = roles.custom_role("/subscriptions/s")
    granted = [Permission(tuple(role["Actions"]), tuple(role["NotActions"]))]
    for wanted in roles.wanted("/subscriptions/s", "g", "/subnet"):
        assert roles.missing(granted, wanted.actions) == []
    assert not [action for action in role["Actions"] if "*" in action]
    assert role["AssignableScopes"] == ["/subscriptions/s"]


# --- Azure's network ------------------------------------------------------------------------------


def rule(name, priority, access, destination="*", port="*", protocol="*", direction="Outbound"):
    return {
        "name": name,
        "properties": {
            "priority": priority,
            "access": access,
            "direction": direction,
            "protocol": protocol,
            "destinationAddressPrefix": destination,
            "destinationPortRange": port,
        },
    }


DEFAULTS = [
    rule("AllowVnetOutBound", 65000, "Allow", "VirtualNetwork"),
    rule("AllowInternetOutBound", 65001, "Allow", "Internet"),
    rule("DenyAllOutBound", 65500, "Deny"),
]
INTERNET = Destination(443)
INSIDE = Destination(443, inside=True)


@pytest.mark.parametrize(
    ("rules", "destination", "passage"),
    [
        ([], INTERNET, Passage(True, "AllowInternetOutBound")),
        ([], INSIDE, Passage(True, "AllowVnetOutBound")),
        ([], Destination(443, "20.1.2.3"), Passage(True, "AllowInternetOutBound")),
        ([], Destination(443, "10.1.2.3"), Passage(True, "AllowVnetOutBound")),
        ([rule("no", 100, "Deny", "Internet")], INTERNET, Passage(False, "no")),
        ([rule("no", 100, "Deny", "Internet")], INSIDE, Passage(True, "AllowVnetOutBound")),
        ([rule("no", 100, "Deny", port="80")], INTERNET, Passage(True, "AllowInternetOutBound")),
        ([rule("no", 100, "Deny", port="400-500")], INTERNET, Passage(False, "no")),
        ([rule("no", 100, "Deny", protocol="Udp")], INTERNET, Passage(True, "AllowInternetOutBound")),
        ([rule("no", 100, "Deny", direction="Inbound")], INTERNET, Passage(True, "AllowInternetOutBound")),
        # The lower number decides, wherever it is listed.
        ([rule("no", 200, "Deny"), rule("yes", 100, "Allow", "*", "443")], INTERNET, Passage(True, "yes")),
        (
            [
                rule("mcr", 100, "Allow", "MicrosoftContainerRegistry", "443"),
                rule("no", 200, "Deny", "Internet"),
            ],
            INTERNET,
            Passage(False, "no", ("mcr",)),
        ),
        # Allowing private addresses, or the network itself, opens nothing of the Internet.
        (
            [rule("hub", 100, "Allow", "10.0.0.0/8"), rule("no", 200, "Deny", "Internet")],
            INTERNET,
            Passage(False, "no"),
        ),
        (
            [rule("api", 100, "Allow", "20.1.2.0/24"), rule("no", 200, "Deny")],
            Destination(443, "20.1.2.3"),
            None,
        ),
    ],
)
def test_which_rule_decides(rules, destination, passage):
    group = {"properties": {"securityRules": rules, "defaultSecurityRules": DEFAULTS}}
    assert egress(group, destination) == (passage or Passage(True, "api"))


def test_several_prefixes_and_ports_of_one_rule():
    many = rule("no", 100, "Deny")
    many["properties"] |= {
        "destinationAddressPrefix": "",
        "destinationAddressPrefixes": ["10.0.0.0/8", "Internet"],
        "destinationPortRange": "",
        "destinationPortRanges": ["80", "443"],
    }
    group = {"properties": {"securityRules": [many], "defaultSecurityRules": DEFAULTS}}
    assert egress(group, INTERNET) == Passage(False, "no")
    assert egress(group, Destination(8443)).allowed


def test_the_default_route():
    def table(prefix, hop, address=""):
        body = {"addressPrefix": prefix, "nextHopType": hop, "nextHopIpAddress": address}
        return {"properties": {"routes": [{"properties": body}]}}

    assert default_route({}) == ("Internet", "")
    assert default_route(table("10.0.0.0/8", "None")) == ("Internet", "")
    assert default_route(table("0.0.0.0/0", "VirtualAppliance", "10.0.0.4")) == (
        "VirtualAppliance",
        "10.0.0.4",
    )


@pytest.mark.parametrize(
    ("space", "taken", "prefix"),
    [
        (["10.0.0.0/8"], [], "10.0.0.0/24"),
        (["10.0.0.0/8"], ["10.0.0.0/23"], "10.0.2.0/24"),
        (["10.0.0.0/24"], ["10.0.0.0/25"], "10.0.0.128/27"),
        (["10.0.0.0/24"], ["10.0.0.0/24"], ""),
        (["10.0.0.0/28"], [], ""),
        (["fd00::/48", "10.0.0.0/16"], ["fd00::/64", "10.0.0.0/24"], "10.0.1.0/24"),
        ([], [], ""),
    ],
)
def test_room_for_a_subnet(space, taken, prefix):
    assert free_prefix(space, taken) == prefix


def test_addresses_and_ids():
    assert inside("203.0.113.9", networks(["203.0.113.0/24", "no address"]))
    assert inside("203.0.113.0/28", networks(["203.0.113.0/24"]))
    assert not inside("203.0.113.9", networks(["fd00::/8"]))
    assert part("/subscriptions/s/resourcegroups/G/x", "resourceGroups") == "G"
    assert part("/subscriptions", "subscriptions") == ""


# --- Alibaba Cloud's policies ---------------------------------------------------------------------


def statement(effect, *actions, key="Action"):
    return {"Effect": effect, key: list(actions) if len(actions) > 1 else actions[0], "Resource": "*"}


@pytest.mark.parametrize(
    ("granted", "missing"),
    [
        ([statement("Allow", "*")], False),
        ([statement("Allow", "eci:*")], False),
        ([statement("Allow", "ECI:Create*")], False),
        ([statement("Allow", "eci:Describe*")], True),
        ([statement("Allow", "*"), statement("Deny", "eci:Create*")], True),
        ([statement("Allow", "ram:*", key="NotAction")], False),
        ([statement("Allow", "eci:*", "ram:*", key="NotAction")], True),
        ([], True),
    ],
)
def test_what_policies_allow(granted, missing):
    assert bool(ram.missing(granted, ["eci:CreateContainerGroup"])) is missing


def test_the_policy_of_least_rights_is_enough():
    assert ram.missing(ram.statements(json.dumps(ram.policy()))) == []
    assert ram.statements("no json") == []


# --- where pods land ------------------------------------------------------------------------------

LABELS = landing.labels("Linux", "vnode-1")
TAINT = "virtual-kubelet.io/provider"


def affinity(*terms):
    return {
        "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": list(terms)}}
    }


def term(key, operator, *values):
    return {"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}]}


@pytest.mark.parametrize(
    ("toleration", "yes"),
    [
        ({"operator": "Exists"}, True),
        ({"operator": "Exists", "effect": "NoExecute"}, False),
        ({"operator": "Exists", "effect": "NoSchedule"}, True),
        ({"key": TAINT, "operator": "Exists"}, True),
        ({"key": TAINT, "operator": "Equal", "value": "azure"}, True),
        ({"key": TAINT, "value": "azure", "effect": "NoSchedule"}, True),
        ({"key": TAINT, "value": "other"}, False),
        ({"key": "node-role", "operator": "Exists"}, False),
    ],
)
def test_what_tolerates_the_taint(toleration, yes):
    assert landing.tolerates({"tolerations": [toleration]}) is yes


@pytest.mark.parametrize(
    ("spec", "yes"),
    [
        ({}, True),
        ({"nodeSelector": {"kubernetes.io/os": "linux"}}, True),
        ({"nodeSelector": {"kubernetes.io/os": "windows"}}, False),
        ({"affinity": affinity(term("type", "NotIn", "virtual-kubelet"))}, False),
        ({"affinity": affinity(term("type", "DoesNotExist"))}, False),
        ({"affinity": affinity(term("type", "Exists"))}, True),
        ({"affinity": affinity(term("pool", "In", "a"), term("type", "In", "virtual-kubelet"))}, True),
        ({"affinity": affinity(term("size", "Gt", "3"))}, False),
        ({"affinity": affinity({})}, False),
        (
            {
                "affinity": affinity(
                    {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["vnode-1"]}]}
                )
            },
            True,
        ),
    ],
)
def test_what_selects_the_node(spec, yes):
    assert landing.selects(spec, LABELS) is yes


@pytest.mark.parametrize(
    "spec", [{}, {"affinity": affinity(term("pool", "In", "a"), term("pool", "In", "b"))}]
)
def test_after_the_patch_it_selects_none_and_all_else_is_kept(spec):
    patch = landing.exclusion(spec)["spec"]["template"]["spec"]
    assert not landing.selects(patch, LABELS)
    if spec:
        assert landing.selects(patch, {"pool": "b"})
        assert not landing.selects(patch, {"pool": "c"})
    else:
        assert landing.selects(patch, {"any": "worker"})
    assert spec == {} or len(spec["affinity"]["nodeAffinity"]) == 1
