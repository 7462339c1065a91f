"""Both sides of one pod, as last heard, and what was done about it."""

from __future__ import annotations

from dataclasses import dataclass

from vnodectl.runtime.facts import Notice
from vnodectl.runtime.provider import JSON, PodKey
from vnodectl.runtime.status import Trouble

NEVER = float("-inf")


@dataclass(slots=True)
class Record:
    """Times are the event loop's, in seconds. `exists` is None while nobody knows whether the cloud has
    the pod's group.

    `waiting_since` is when the pod was first seen, until it is shown running. `asked_grace` is the grace
    period that the provider was last asked to stop the pod with, in seconds; `ending_at` is when its
    deletion was first looked at. `told` is what events said of
    the last try to create it; `refused` are the ephemeral containers that an event was about.
    """

    key: PodKey
    pod: JSON | None = None
    seen: JSON | None = None
    exists: bool | None = None
    waiting_since: float | None = None
    accepted_at: float = NEVER
    create_called: bool = False
    orphan_confirmed: bool = False
    create_again_at: float = NEVER
    delete_again_at: float = NEVER
    asked_grace: float | None = None
    ending_at: float = NEVER
    trouble: Trouble | None = None
    told: tuple[Notice, ...] = ()
    refused: frozenset[str] = frozenset()
    sent: int = 0
    sent_at: float = NEVER


def key_of(pod: JSON) -> PodKey:
    meta = pod["metadata"]
    return PodKey(meta["namespace"], meta["name"], meta["uid"])


def phase_of(pod: JSON) -> str:
    return str((pod.get("status") or {}).get("phase") or "Pending")


def terminal(pod: JSON) -> bool:
    return phase_of(pod) in ("Succeeded", "Failed")


def mirror(pod: JSON) -> bool:
    """A mirror pod only shows what some kubelet runs from a file: nobody may run it from here."""
    return "kubernetes.io/config.mirror" in (pod["metadata"].get("annotations") or {})
