"""Which objects have pods, and where in them the pod is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vnodectl.lint.documents import Source
from vnodectl.lint.model import JSON, Step, Steps
from vnodectl.lint.paths import look

_TEMPLATE: Steps = ("spec", "template")
TEMPLATES: Mapping[tuple[str, str], Steps] = {
    ("", "Pod"): (),
    ("", "PodTemplate"): ("template",),
    ("", "ReplicationController"): _TEMPLATE,
    ("apps", "Deployment"): _TEMPLATE,
    ("apps", "StatefulSet"): _TEMPLATE,
    ("apps", "ReplicaSet"): _TEMPLATE,
    ("apps", "DaemonSet"): _TEMPLATE,
    ("batch", "Job"): _TEMPLATE,
    ("batch", "CronJob"): ("spec", "jobTemplate", "spec", "template"),
}
"""By API group and kind: where the pod, or its template, is. Any version of the group will do."""


@dataclass(frozen=True, slots=True)
class Workload:
    """An object with pods. `pod` is its pod or template as it is written, at `at` in the object."""

    source: Source
    kind: str
    name: str
    namespace: str
    at: Steps
    pod: JSON

    @property
    def labels(self) -> JSON:
        return mapping(look(self.pod, ("metadata", "labels")))

    @property
    def spec(self) -> JSON:
        return mapping(self.pod.get("spec"))

    def steps(self, in_pod: Steps) -> Steps:
        """A path of the pod as one of the object."""
        return (*self.at, *in_pod)

    def line(self, in_pod: Steps) -> int:
        return self.source.line(self.steps(in_pod))


def workload(source: Source) -> Workload | None:
    """The object as a workload; None for a kind that has no pods, and for kinds that nobody knows here."""
    body = source.body
    group = str(body.get("apiVersion") or "").rpartition("/")[0]
    at = TEMPLATES.get((group, str(body.get("kind") or "")))
    if at is None:
        return None
    pod = look(body, at)
    metadata = mapping(body.get("metadata"))
    return Workload(
        source=source,
        kind=str(body["kind"]),
        name=str(metadata.get("name") or metadata.get("generateName") or ""),
        namespace=str(metadata.get("namespace") or "default"),
        at=at,
        pod=mapping(pod),
    )


def mapping(value: Any) -> JSON:
    """`value` where it is an object, else {}: what is written wrongly is somebody else's finding."""
    return value if isinstance(value, dict) else {}


def objects(value: Any) -> list[JSON]:
    """The objects of a list, in order; elements of another kind are {} so that indices stay."""
    return [mapping(one) for one in value] if isinstance(value, list) else []


def containers(spec: JSON) -> list[tuple[tuple[Step, Step], JSON]]:
    """Init containers, then containers, with their place in the spec."""
    return [
        ((kind, index), one)
        for kind in ("initContainers", "containers")
        for index, one in enumerate(objects(spec.get(kind)))
    ]
