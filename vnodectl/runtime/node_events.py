"""Events on the Node, as a kubelet sends them (pkg/kubelet/kubelet_node_status.go): once for each change."""

from __future__ import annotations

from vnodectl.runtime.events import EventRecorder
from vnodectl.runtime.provider import JSON


class NodeEvents:
    """Of one node. As a kubelet's, they give its name as its UID: `kubectl describe node` shows these,
    but not in all its versions others."""

    def __init__(self, events: EventRecorder, name: str) -> None:
        self._events = events
        self._name = name
        self._about: JSON = {"kind": "Node", "metadata": {"name": name, "uid": name}}
        self._told_of_ready = False
        self._unschedulable: bool | None = None

    def starting(self) -> None:
        self._events.record(self._about, "Normal", "Starting", "Starting kubelet.")

    def ready(self, before: str, now: str) -> None:
        """The Ready condition was written; `before` is "" where the Node had none.

        That counts only the first time: what the watch gives may be older than what was written last.
        """
        if before != now and (before or not self._told_of_ready):
            self._record("NodeReady" if now == "True" else "NodeNotReady")
        self._told_of_ready = True

    def seen(self, node: JSON | None) -> None:
        """The Node as it is now; None where there is none. How it was found is no change."""
        before = self._unschedulable
        self._unschedulable = None if node is None else bool(node["spec"].get("unschedulable"))
        if None not in (before, self._unschedulable) and before != self._unschedulable:
            self._record("NodeNotSchedulable" if self._unschedulable else "NodeSchedulable")

    def _record(self, reason: str) -> None:
        message = f"Node {self._name} status is now: {reason}"
        self._events.record(self._about, "Normal", reason, message)
