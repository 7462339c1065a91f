"""The rights that are asked for are those that the chart really needs."""

from __future__ import annotations

import re

import pytest

from vnodectl.checks import rights
from vnodectl.checks.rights import Right

NAMESPACE = "vnode-system"


@pytest.fixture
def documents(repository):
    """The chart's RBAC objects. The templates' rules are plain YAML flow lists, so no Helm is needed."""
    text = (repository / "charts/vnode-connector/templates/rbac.yaml").read_text()
    text = text.replace("{{ .Release.Namespace }}", NAMESPACE)
    return [
        (
            re.search(r"^kind: (\w+)", part, re.MULTILINE)[1],
            (re.search(r"^  namespace: ([\w-]+)", part, re.MULTILINE) or "  ")[1],
            part,
        )
        for part in text.split("\n---\n")
    ]


def rules(part):
    pattern = r"apiGroups: \[(.*?)\]\n\s+resources: \[(.*?)\]\n(?:\s+resourceNames: .*\n)?\s+verbs: \[(.*?)\]"
    for groups, resources, verbs in re.findall(pattern, part):
        yield [[word.strip().strip('"') for word in text.split(",")] for text in (groups, resources, verbs)]


def test_what_the_chart_grants_is_what_the_caller_must_hold(documents):
    granted = {
        Right(verb, resource, group, namespace.strip())
        for kind, namespace, part in documents
        if kind in {"ClusterRole", "Role"}
        for groups, resources, verbs in rules(part)
        for group in groups
        for resource in resources
        for verb in verbs
    }
    assert granted == set(rights.granted(NAMESPACE))


def test_the_webhook_takes_what_its_roles_grant(repository):
    text = (repository / "charts/vnode-connector/templates/webhook.yaml").read_text()
    text = text.replace("{{ .Release.Namespace }}", NAMESPACE)
    roles = [
        part for part in text.split("\n---\n") if re.search(r"^kind: (Cluster)?Role$", part, re.MULTILINE)
    ]
    granted = {
        (verb, resource)
        for part in roles
        for _, named, verbs in rules(part)
        for resource in named
        for verb in verbs
    }
    assert len(granted) == 5
    assert granted <= {(right.verb, right.resource) for right in rights.webhook(NAMESPACE)}


def test_following_the_profile_takes_what_its_role_grants(repository):
    text = (repository / "charts/vnode-connector/templates/eci-profile.yaml").read_text()
    role = next(part for part in text.split("\n---\n") if re.search(r"^kind: Role$", part, re.MULTILINE))
    place = re.search(r"^  namespace: ([\w-]+)$", role, re.MULTILINE)[1]
    name = re.search(r"resourceNames: \[(.*)\]", role)[1]
    granted = {
        Right(verb, resource, group, place, name)
        for groups, resources, verbs in rules(role)
        for group in groups
        for resource in resources
        for verb in verbs
    }
    assert granted == set(rights.profile_granted())
    assert {right.namespace for right in rights.profile()} == {place}
    assert {right.resource for right in rights.profile()} == {"roles"}


def test_every_kind_that_the_chart_creates_may_be_created(documents, repository):
    asked = (*rights.own(NAMESPACE), *rights.webhook(NAMESPACE))
    created = {right.resource for right in asked if right.verb == "create"}
    templates = repository / "charts/vnode-connector/templates"
    kinds = {
        kind
        for path in templates.glob("*.yaml")
        for kind in re.findall(r"^kind: (\w+)", path.read_text(), re.MULTILINE)
    }
    assert {kind.lower() + "s" for kind in kinds} <= created
    places = {namespace.strip() for kind, namespace, _ in documents if kind == "RoleBinding"}
    asked = {right.namespace for right in rights.own(NAMESPACE) if right.resource == "rolebindings"}
    assert places == asked


def test_a_right_says_what_it_is():
    right = Right("update", "nodes/status", namespace="")
    assert right.attributes() == {"verb": "update", "resource": "nodes", "subresource": "status"}
    assert str(Right("get", "leases", "coordination.k8s.io", "a")) == "get leases.coordination.k8s.io in a"
    named = Right("get", "configmaps", "", "kube-system", "eci-profile")
    assert str(named) == "get configmaps eci-profile in kube-system"
    assert named.attributes()["name"] == "eci-profile"
