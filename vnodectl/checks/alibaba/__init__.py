"""The Alibaba Cloud side: account, region and stock, network, rights, and the ACK cluster."""

from __future__ import annotations

from vnodectl.checks.alibaba import account, cluster, network

CHECKS = tuple(sorted((*account.CHECKS, *network.CHECKS, *cluster.CHECKS), key=lambda one: one.id))
