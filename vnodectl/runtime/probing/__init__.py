"""Probes that the runtime runs itself, for providers whose cloud cannot: what a kubelet's prober does.

`spec` reads a probe out of a container, `http`, `grpc` and `actions` carry one out once, `worker` counts
results and knows when to ask again, `manager` keeps the workers of all pods and lays what they found over
what the provider says.
"""

from vnodectl.runtime.probing.manager import PROBE_LABELS, Probing

__all__ = ["PROBE_LABELS", "Probing"]
