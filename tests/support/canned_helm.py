"""Helm and registries in memory, for checks."""

from __future__ import annotations

from typing import Any

from vnodectl.checks.readers import ImageFound, Signature

IMAGE = "registry.example/connector:1.0"

RESTRICTED = {
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def deployment(image: str = IMAGE, **spec: Any) -> dict[str, Any]:
    """One whose pod keeps to the restricted profile, as the chart's does."""
    container = {
        "name": "connector",
        "image": image,
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}},
    }
    pod = {
        "serviceAccountName": "connector",
        "securityContext": RESTRICTED,
        "containers": [container],
        **spec,
    }
    return {"kind": "Deployment", "spec": {"template": {"metadata": {"labels": {"a": "b"}}, "spec": pod}}}


class CannedHelm:
    """A HelmReader."""

    def __init__(
        self, *manifests: dict[str, Any], version: str = "v4.3.1", signature: Signature | None = None
    ) -> None:
        self._signature = signature
        self._manifests = [{"kind": "Namespace"}, *(manifests or (deployment(),))]
        self._version = version

    async def found(self):
        return "/usr/bin/helm"

    async def version(self):
        return self._version

    async def manifests(self):
        return self._manifests

    async def signature(self, chart):
        return self._signature


class CannedRegistry:
    """A RegistryReader that answers every image with the same, or raises it."""

    def __init__(self, answer: ImageFound | Exception = ImageFound(200)) -> None:  # noqa: B008 - frozen
        self._answer = answer

    async def manifest(self, reference, secrets=()):
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer
