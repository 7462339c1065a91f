"""What probes amount to, where a cloud has fewer kinds than Kubernetes."""

from __future__ import annotations

from vnodectl.runtime.provider import JSON


def startup_delay(probe: JSON) -> int:
    """Seconds that a startup probe gives a container before it is killed, with Kubernetes' defaults."""
    delay = int(probe.get("initialDelaySeconds") or 0)
    return delay + int(probe.get("periodSeconds") or 10) * int(probe.get("failureThreshold") or 3)
