"""The Azure side: account, AKS cluster, where groups go, their subnet, the connector's identity."""

from __future__ import annotations

from vnodectl.checks.azure import account, cluster, identity, offer, subnet

CHECKS = tuple(
    sorted(
        (*account.CHECKS, *cluster.CHECKS, *offer.CHECKS, *subnet.CHECKS, *identity.CHECKS),
        key=lambda check: check.id,
    )
)
