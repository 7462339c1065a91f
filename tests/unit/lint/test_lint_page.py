"""The page of the docs, and that no limitation which the clouds' documents name is without a rule."""

from __future__ import annotations

from pathlib import Path

import pytest

from vnodectl.lint import asked, translated
from vnodectl.lint.catalogue import RULES
from vnodectl.lint.page import page
from vnodectl.lint.rule import ALIBABA, AZURE, Rule

AZURE_LIMITS = {
    # Virtual nodes on AKS, known limitations
    "registries that only a service principal or the nodes can pull from": "VN-L-070",
    "network policies do not hold": "VN-L-060",
    "host aliases": "VN-L-022",
    "arguments of kubectl exec": "VN-L-039",
    "DaemonSets": "VN-L-012",
    "Windows containers: one container, no init containers": "VN-L-080",
    "Windows containers: no volumes": "VN-L-046",
    "Azure Files wants general-purpose v2 accounts": "VN-L-049",
    "persistent volumes and claims": "VN-L-041",
    "IPv6": "VN-L-062",
    "container lifecycle hooks": "VN-L-030",
    "taints: pods need a toleration": "VN-L-010",
    "node selectors: pods need to ask": "VN-L-011",
    # Azure Container Instances
    "host networking and other host namespaces": "VN-L-020",
    "host paths": "VN-L-040",
    "host ports": "VN-L-023",
    "privileged containers": "VN-L-024",
    "added Linux capabilities": "VN-L-026",
    "kernel parameters": "VN-L-027",
    "TCP, gRPC and startup probes": "VN-L-031",
    "containers of a group": "VN-L-037",
    "ports of a group": "VN-L-038",
    "volumes of a group": "VN-L-045",
    "the largest size of a region": "VN-L-055",
    "limits above the group's requests": "VN-L-053",
    "GPUs by SKU": "VN-L-052",
    "DNS settings only in a virtual network": "VN-L-061",
    "secret volumes are flat": "VN-L-047",
    "sub-paths of volumes": "VN-L-043",
    "extended resources": "VN-L-050",
    "the pod's address in its environment": "VN-L-090",
    "side-car init containers": "VN-L-033",
    "args without a command": "VN-L-029",
    "service links": "VN-L-063",
    "users other than the image's": "VN-L-015",
    "host names of containers": "VN-L-065",
    "images that are never pulled": "VN-L-071",
}
ALIBABA_LIMITS = {
    # Elastic Container Instance, limits and unsupported features of Kubernetes
    "HostPath": "VN-L-040",
    "HostNetwork": "VN-L-020",
    "DaemonSet": "VN-L-012",
    "privileged containers": "VN-L-025",
    "Services of type NodePort": "VN-L-064",
    "vCPUs of an instance": "VN-L-054",
    "containers of an instance": "VN-L-037",
    "volumes of an instance": "VN-L-045",
    "Windows": "VN-L-013",
    "size of configuration files": "VN-L-047",
    "environment variables of a container": "VN-L-063",
    "annotations that only the managed add-on knows": "VN-L-092",
    "GPUs by instance type": "VN-L-052",
    "probes of init containers": "VN-L-034",
    "IPv6 only when asked for": "VN-L-062",
    "network policies": "VN-L-060",
}


def rule(code: str) -> Rule:
    return next(one for one in RULES if one.code == code)


@pytest.mark.parametrize(
    ("cloud", "limit", "code"),
    [
        *((AZURE, limit, code) for limit, code in AZURE_LIMITS.items()),
        *((ALIBABA, limit, code) for limit, code in ALIBABA_LIMITS.items()),
    ],
)
def test_each_limitation_has_a_rule_for_its_cloud(cloud: str, limit: str, code: str) -> None:
    assert cloud in rule(code).clouds


def test_the_page_is_not_stale(repository: Path) -> None:
    """Mend with: .venv/bin/python -m vnodectl.lint.page > docs/lint.md"""
    assert (repository / "docs" / "lint.md").read_text() == page()


def test_every_rule_has_a_section_where_its_anchor_points(repository: Path) -> None:
    sections = [line for line in page().splitlines() if line.startswith("## VN-L-")]
    assert sections == [f"## {one.code}" for one in RULES]
    assert all(one.doc == f"lint.md#{one.code.lower()}" for one in RULES)


def test_the_catalogue_is_whole() -> None:
    made = [one for module in (asked, translated) for one in vars(module).values() if isinstance(one, Rule)]
    assert sorted(made, key=lambda one: one.code) == list(RULES)
    assert len({one.code for one in RULES}) == len({one.name for one in RULES}) == len(RULES)
    assert all(one.why and one.remedy and one.clouds for one in RULES)
