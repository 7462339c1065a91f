"""/configz: how this node is configured, in the words of a KubeletConfiguration (v1beta1).

Only settings that mean something here, with the values that really hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vnodectl.runtime.http.authn import TOKEN_TTL
from vnodectl.runtime.http.authz import ALLOW_TTL, DENY_TTL
from vnodectl.runtime.http.server import KubeletServerConfig
from vnodectl.runtime.node import LEASE_SECONDS, RENEW_SECONDS, STATUS_SECONDS

JSON = dict[str, Any]


def configuration(server: KubeletServerConfig, *, port: int, capacity: Mapping[str, str]) -> JSON:
    """`port` is the one really served; `capacity` is the node's, as Kubernetes quantities.

    Like a kubelet's answer it has neither `kind` nor `apiVersion`.
    """
    pods = capacity.get("pods", "")
    return {
        "enableServer": True,
        "address": server.address,
        "port": port,
        "readOnlyPort": 0,
        "authentication": {
            "x509": {},
            "webhook": {"enabled": True, "cacheTTL": duration(TOKEN_TTL)},
            "anonymous": {"enabled": server.anonymous_auth},
        },
        "authorization": {
            "mode": str(server.authorization_mode),
            "webhook": {
                "cacheAuthorizedTTL": duration(ALLOW_TTL),
                "cacheUnauthorizedTTL": duration(DENY_TTL),
            },
        },
        "streamingConnectionIdleTimeout": duration(server.limits.idle),
        "nodeStatusUpdateFrequency": duration(RENEW_SECONDS),
        "nodeStatusReportFrequency": duration(STATUS_SECONDS),
        "nodeLeaseDurationSeconds": LEASE_SECONDS,
        "registerNode": True,
        **({"maxPods": int(pods)} if pods.isdecimal() else {}),
        "enableDebuggingHandlers": True,
    }


def duration(seconds: float) -> str:
    """As Go writes one: `4h0m0s`, `2m0s`, `30s`, `1.5s`."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    tail = f"{rest:g}s"
    if hours:
        return f"{hours}h{minutes}m{tail}"
    return f"{minutes}m{tail}" if minutes else tail
