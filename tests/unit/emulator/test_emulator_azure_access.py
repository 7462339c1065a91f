"""Roles, the actions of calls, scopes and filters: what decides about a right."""

from __future__ import annotations

import pytest

from vnodectl.emulator.azure.access import action, within
from vnodectl.emulator.azure.authorization import Filter
from vnodectl.emulator.azure.errors import ArmError
from vnodectl.emulator.azure.roles import BUILT_IN, allows, find
from vnodectl.emulator.router import Route, Router

GROUP = "/subscriptions/{subscriptionId}/resourceGroups/{resourceGroupName}"
ACI = f"{GROUP}/providers/Microsoft.ContainerInstance/containerGroups/{{containerGroupName}}"


@pytest.mark.parametrize(
    ("role", "wanted", "allowed"),
    [
        ("Owner", "Microsoft.Authorization/roleAssignments/write", True),
        ("Contributor", "Microsoft.Authorization/roleAssignments/write", False),
        ("Contributor", "microsoft.containerinstance/CONTAINERGROUPS/write", True),
        ("Reader", "Microsoft.ContainerInstance/containerGroups/read", True),
        ("Reader", "Microsoft.ContainerInstance/containerGroups/containers/exec/action", False),
        ("Network Contributor", "Microsoft.Network/virtualNetworks/subnets/join/action", True),
        ("Network Contributor", "Microsoft.ContainerInstance/containerGroups/read", False),
        (
            "Managed Identity Operator",
            "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action",
            True,
        ),
        (
            "Managed Identity Operator",
            "Microsoft.ManagedIdentity/userAssignedIdentities/write",
            False,
        ),
    ],
)
def test_what_a_role_allows(role: str, wanted: str, allowed: bool) -> None:
    found = find(BUILT_IN, role)
    assert found is not None
    assert allows(found, wanted) is allowed


def test_roles_are_found_by_name_guid_and_id() -> None:
    reader = find(BUILT_IN, "reader")
    assert reader is not None
    assert find(BUILT_IN, reader.guid.upper()) is reader
    assert find(BUILT_IN, f"/providers/Microsoft.Authorization/roleDefinitions/{reader.guid}") is reader
    assert find(BUILT_IN, "King") is None


@pytest.mark.parametrize(
    ("method", "template", "wanted"),
    [
        ("GET", ACI, "Microsoft.ContainerInstance/containerGroups/read"),
        ("PUT", ACI, "Microsoft.ContainerInstance/containerGroups/write"),
        ("POST", f"{ACI}/start", "Microsoft.ContainerInstance/containerGroups/start/action"),
        ("DELETE", GROUP, "Microsoft.Resources/subscriptions/resourceGroups/delete"),
        (
            "GET",
            "/subscriptions/{subscriptionId}/providers",
            "Microsoft.Resources/subscriptions/providers/read",
        ),
        (
            "POST",
            "/subscriptions/{subscriptionId}/providers/{resourceProviderNamespace}/register",
            "Microsoft.Network/register/action",
        ),
        (
            "PUT",
            "/{+scope}/providers/Microsoft.Authorization/roleAssignments/{name}",
            "Microsoft.Authorization/roleAssignments/write",
        ),
    ],
)
def test_the_action_of_a_call(method: str, template: str, wanted: str) -> None:
    assert action(method, template, {"resourceProviderNamespace": "Microsoft.Network"}) == wanted


def test_scopes_hold_what_is_below_them() -> None:
    assert within("/subscriptions/a/resourceGroups/b", "/subscriptions/A/")
    assert within("/subscriptions/a", "/subscriptions/a")
    assert not within("/subscriptions/ab", "/subscriptions/a")


def test_filters_of_role_assignments() -> None:
    assert Filter.read("") == Filter()
    assert Filter.read("atScope() and assignedTo('ABC')") == Filter(at_scope=True, principal="abc")
    assert Filter.read("principalId eq 'abc'") == Filter(principal="abc")
    with pytest.raises(ArmError, match="UnsupportedQuery"):
        Filter.read("roleName eq 'x'")


def test_a_route_below_any_path() -> None:
    router = Router(
        [
            Route("GET", "/{+scope}/providers/X/things/{name}", "thing", 1),
            Route("GET", "/subscriptions/{s}/providers/X/things/{name}", "exact", 2),
        ]
    )
    deep = router.match("GET", "/subscriptions/a/resourceGroups/b/providers/x/THINGS/c")
    assert deep is not None
    assert deep.params == {"scope": "/subscriptions/a/resourceGroups/b", "name": "c"}
    exact = router.match("GET", "/subscriptions/a/providers/X/things/c")
    assert exact is not None
    assert exact.route.operation == "exact"
    top = router.match("GET", "/providers/X/things/c")
    assert top is not None
    assert top.params["scope"] == "/"
    assert router.match("GET", "/things/c") is None
