"""What the runtime tells a tracer: one span for each look at a pod, one for each call of the provider."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Protocol

from vnodectl.runtime.provider import PodKey


class Span(Protocol):
    def say(self, name: str, value: str) -> None:
        """Add an attribute."""


class Tracer(Protocol):
    """Spans nest by task. One that ends with an error tells it."""

    def span(
        self, name: str, attributes: Mapping[str, str], *, current: bool = True
    ) -> AbstractContextManager[Span]:
        """`current` false: nothing nests in it, and it may be left in another task than it was entered."""


def pod_attributes(key: PodKey, node: str) -> dict[str, str]:
    """In the words of OpenTelemetry's semantic conventions for Kubernetes resources."""
    return {
        "k8s.node.name": node,
        "k8s.namespace.name": key.namespace,
        "k8s.pod.name": key.name,
        "k8s.pod.uid": key.uid,
    }
