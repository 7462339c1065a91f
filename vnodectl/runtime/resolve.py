"""A pod and the facts it needs → a `ResolvedPod`. Pure."""

from __future__ import annotations

from vnodectl.runtime import env, mounts, registry, volumes
from vnodectl.runtime.facts import Facts, Notice, containers, mounted
from vnodectl.runtime.provider import JSON, PodKey, ResolvedPod


def resolve(key: PodKey, pod: JSON, facts: Facts) -> tuple[ResolvedPod, list[Notice]]:
    """The resolved pod and events about what was optional and missing. Raises Unresolved and Rejected."""
    notices: list[Notice] = []
    variables = {}
    for container in containers(pod):
        variables[container["name"]], found = env.resolve(pod, container, facts)
        notices += found
        mounts.check(container, variables[container["name"]])
    contents, found = volumes.resolve(pod, facts, mounted(pod))
    notices += found
    credentials, found = registry.credentials(pod, facts)
    notices += found
    unique = list(dict.fromkeys(notices))
    return ResolvedPod(key, pod, variables, contents, credentials), unique
