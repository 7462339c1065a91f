"""Resolved pods for tests of the ACI provider."""

from __future__ import annotations

import copy
from typing import Any

from vnodectl.runtime.provider import EnvVar, PodKey, RegistryCredential, ResolvedPod, Volume

UID = "0e6d5f0e-9f3c-4c5f-8a52-3f1f5a2b7c11"


def make_pod(
    spec: dict[str, Any] | None = None,
    *,
    name: str = "web-0",
    namespace: str = "default",
    uid: str = UID,
    annotations: dict[str, str] | None = None,
    env: dict[str, tuple[EnvVar, ...]] | None = None,
    volumes: dict[str, Volume] | None = None,
    credentials: tuple[RegistryCredential, ...] = (),
) -> ResolvedPod:
    """A pod of one nginx container unless `spec` says otherwise."""
    given = copy.deepcopy(spec) if spec else {}
    given.setdefault("containers", [{"name": "main", "image": "nginx"}])
    pod = {
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": uid,
            "creationTimestamp": "2026-01-02T03:04:05Z",
            "annotations": annotations or {},
        },
        "spec": given,
    }
    return ResolvedPod(PodKey(namespace, name, uid), pod, env or {}, volumes or {}, credentials)
