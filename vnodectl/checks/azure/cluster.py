"""The AKS cluster: its state, its network, and who may reach its API server."""

from __future__ import annotations

from typing import Any

from vnodectl.checks.azure.forgiving import Ask, forgiving
from vnodectl.checks.azure.ids import (
    NO_CLUSTER,
    NO_SUBNET,
    flags,
    inside,
    network_of,
    networks,
    part,
    properties,
    subnet_flags,
)
from vnodectl.checks.azure.rules import default_route
from vnodectl.checks.context import Context
from vnodectl.checks.model import (
    Answer,
    Check,
    Resource,
    Severity,
    failed,
    not_applicable,
    passed,
    warned,
)
from vnodectl.checks.readers import JSON
from vnodectl.checks.target import Target
from vnodectl.clouds.azure import AzureNotFound


async def cluster_runs(context: Context) -> Answer:
    target = context.target
    if not target.cluster:
        return not_applicable(NO_CLUSTER)
    named = flags(target)
    try:
        found = properties(await context.azure_facts.cluster())
    except AzureNotFound as error:
        return failed(
            f"there is no AKS cluster {target.cluster} in resource group {target.cluster_resource_group}",
            evidence=error.message,
            fix="az aks list -o table  # and name one of them with -g and -n",
        )
    state = str(found.get("provisioningState") or "Succeeded")
    power = str((found.get("powerState") or {}).get("code") or "Running")
    evidence = f"{target.cluster}: provisioning {state}, power {power}"
    if power != "Running":
        return failed("the cluster is stopped", evidence=evidence, fix=f"az aks start {named}")
    if state == "Failed":
        return warned("the cluster's last operation failed", evidence=evidence, fix=f"az aks update {named}")
    if state not in {"Succeeded", "Updating", "Upgrading", "Scaling"}:
        return failed(
            f"the cluster is {state}", evidence=evidence, fix=f"az aks wait {named} --created --updated"
        )
    return passed(evidence)


async def network(context: Context) -> Answer:
    """Microsoft's guides: virtual nodes need Azure CNI, with pods that have addresses of the VNet."""
    target = context.target
    if not target.cluster:
        return not_applicable(NO_CLUSTER)
    profile = properties(await context.azure_facts.cluster()).get("networkProfile") or {}
    plugin = str(profile.get("networkPlugin") or "")
    mode = str(profile.get("networkPluginMode") or "")
    evidence = f"network plug-in {plugin or 'unknown'}{f', mode {mode}' if mode else ''}"
    recreate = (
        f"az aks create -g {target.cluster_resource_group} -n <new cluster> --network-plugin azure"
        "  # a cluster cannot change to a network with addresses of the VNet"
    )
    if plugin == "azure" and not mode:
        return passed(evidence)
    if plugin == "azure":
        cause = f"Azure CNI in {mode} mode gives pods addresses that container groups cannot reach"
    elif plugin == "kubenet":
        cause = (
            "kubenet gives pods addresses that container groups cannot reach; virtual nodes need Azure CNI"
        )
    elif plugin == "none":
        return warned(
            "the cluster brings its own network plug-in; only Azure CNI is known to work",
            evidence=evidence,
            fix="make sure that pods have addresses of the VNet, or use --network-plugin azure",
        )
    else:
        cause = "virtual nodes need Azure CNI"
    return failed(cause, evidence=evidence, fix=recreate)


async def addon(context: Context) -> Answer:
    target = context.target
    if not target.cluster:
        return not_applicable(NO_CLUSTER)
    profiles = properties(await context.azure_facts.cluster()).get("addonProfiles") or {}
    found = next((value for key, value in profiles.items() if key.lower() == "aciconnectorlinux"), None) or {}
    if found.get("enabled"):
        return failed(
            "the cluster's own virtual-node add-on is enabled: pods for virtual nodes could land on either",
            evidence="addonProfiles.aciConnectorLinux is enabled",
            fix=f"az aks disable-addons --addons virtual-node {flags(target)}",
        )
    return passed("the virtual-node add-on is not enabled")


async def network_policy(context: Context) -> Answer:
    target = context.target
    if not target.cluster:
        return not_applicable(NO_CLUSTER)
    profile = properties(await context.azure_facts.cluster()).get("networkProfile") or {}
    policy = str(profile.get("networkPolicy") or "none")
    if policy == "none":
        return passed("the cluster has no network policies")
    return warned(
        f"network policies ({policy}) do not hold for pods on virtual nodes: no agent of theirs runs there",
        evidence=f"networkPolicy {policy}",
        fix="limit such pods with a network security group on their subnet (--subnet-id)",
    )


async def same_network(context: Context) -> Answer:
    """Container groups reach pods and services of the cluster only from a subnet of its own network."""
    target = context.target
    if not target.cluster:
        return not_applicable(NO_CLUSTER)
    if not target.subnet_id:
        return not_applicable(NO_SUBNET)
    cluster = properties(await context.azure_facts.cluster())
    ours = network_of(target.subnet_id)
    pools = cluster.get("agentPoolProfiles") or ()
    theirs = {network_of(str(pool["vnetSubnetID"])) for pool in pools if pool.get("vnetSubnetID")}
    if ours in theirs:
        return passed(f"both are in {part(ours, 'virtualNetworks')}")
    node_group = str(cluster.get("nodeResourceGroup") or "").lower()
    if not theirs and part(ours, "resourceGroups").lower() == node_group:
        return passed(f"both are in the network that AKS manages in {node_group}")
    peerings = properties(await context.azure_facts.network()).get("virtualNetworkPeerings") or ()
    connected = {
        str((properties(one).get("remoteVirtualNetwork") or {}).get("id") or "").lower()
        for one in peerings
        if properties(one).get("peeringState") == "Connected"
    }
    shown = ", ".join(sorted(part(one, "virtualNetworks") for one in theirs)) or "a network that AKS manages"
    evidence = f"the subnet is in {part(ours, 'virtualNetworks')}, the cluster in {shown}"
    choose = "choose a subnet of the cluster's own network with --subnet-id"
    if connected & theirs:
        return warned(
            "the subnet is in a peered network: cluster DNS and service addresses may not work across it",
            evidence=evidence,
            fix=choose,
        )
    return failed(
        "the subnet is in a network that the cluster's is not joined to", evidence=evidence, fix=choose
    )


async def private_cluster(context: Context) -> Answer:
    target = context.target
    if not target.cluster:
        return not_applicable(NO_CLUSTER)
    access = properties(await context.azure_facts.cluster()).get("apiServerAccessProfile") or {}
    if not access.get("enablePrivateCluster"):
        return passed("the API server has a public address")
    if target.subnet_id:
        return passed("the cluster is private, and container groups are in a subnet")
    return failed(
        "the cluster is private: container groups without a subnet cannot reach its API server",
        evidence="apiServerAccessProfile.enablePrivateCluster is true",
        fix="name a subnet of the cluster's network with --subnet-id",
    )


async def authorized_ranges(context: Context) -> Answer:
    """Pods on virtual nodes that use the API reach it from their subnet's egress address."""
    target = context.target
    if not target.cluster:
        return not_applicable(NO_CLUSTER)
    access = properties(await context.azure_facts.cluster()).get("apiServerAccessProfile") or {}
    ranges = [str(one) for one in access.get("authorizedIPRanges") or ()]
    if access.get("enablePrivateCluster") or not ranges:
        return passed("the API server does not ask where its callers are")
    evidence = f"authorised: {', '.join(ranges)}"
    if not target.subnet_id:
        return failed(
            "the API server answers some addresses only, and groups without a subnet have no fixed one",
            evidence=evidence,
            fix="give them a subnet with a NAT gateway (--subnet-id), and authorise its address",
        )
    subnet = properties(await context.azure_facts.subnet())
    hop, address = "", ""
    if table := (subnet.get("routeTable") or {}).get("id"):
        hop, address = default_route(await context.azure_facts.network_part(table))
    if hop == "VirtualAppliance":
        return warned(
            f"the subnet's traffic leaves through {address}, whose public address must be authorised",
            evidence=evidence,
            fix=f"{_authorize(target)} {','.join(ranges)},<address>",
        )
    addresses = await _egress(context, subnet)
    if not addresses:
        return failed(
            "the API server answers some addresses only, and the subnet's egress has no fixed address",
            evidence=f"{evidence}; the subnet has no NAT gateway",
            fix=(
                f"az network vnet subnet update {subnet_flags(target.subnet_id)} --nat-gateway <gateway>"
                "  # then authorise its address"
            ),
        )
    outside = [one for one in addresses if not inside(one, networks(ranges))]
    if outside:
        return failed(
            f"the API server does not answer the subnet's egress address {', '.join(outside)}",
            evidence=evidence,
            fix=f"{_authorize(target)} {','.join([*ranges, *outside])}",
        )
    return passed(f"the subnet's egress {', '.join(addresses)} is authorised")


def _authorize(target: Target) -> str:
    return f"az aks update {flags(target)} --api-server-authorized-ip-ranges"


async def _egress(context: Context, subnet: JSON) -> list[str]:
    """The public addresses and prefixes of the subnet's NAT gateway."""
    gateway_id = (subnet.get("natGateway") or {}).get("id")
    if not gateway_id:
        return []
    gateway = properties(await context.azure_facts.network_part(gateway_id))
    found: list[str] = []
    for field, key in (("publicIpAddresses", "ipAddress"), ("publicIpPrefixes", "ipPrefix")):
        for one in gateway.get(field) or ():
            text = properties(await context.azure_facts.network_part(one["id"])).get(key)
            found += [str(text)] if text else []
    return found


async def address_families(context: Context) -> Answer:
    target = context.target
    if not target.cluster:
        return not_applicable(NO_CLUSTER)
    profile = properties(await context.azure_facts.cluster()).get("networkProfile") or {}
    families = [str(one) for one in profile.get("ipFamilies") or ("IPv4",)]
    if families == ["IPv4"]:
        return passed("IPv4")
    if "IPv4" not in families:
        return failed(
            "the cluster has IPv6 alone, and container groups have IPv4 alone",
            evidence=f"ipFamilies {', '.join(families)}",
            fix="az aks create -g <group> -n <new cluster> --network-plugin azure --ip-families ipv4",
        )
    return warned(
        "pods on virtual nodes get no IPv6 address, so dual-stack services leave them out of their IPv6 half",
        evidence=f"ipFamilies {', '.join(families)}",
        fix="give services that such pods are behind ipFamilyPolicy: SingleStack",
    )


_PLANNED = frozenset({Resource.AZURE, Resource.PLAN})


def _check(number: int, title: str, ask: Ask, why: str, **more: Any) -> Check:
    return Check(
        f"VN-AZ-{number:03}",
        "azure",
        title,
        ask,
        needs=more.pop("needs", ("VN-AZ-003",)),
        resources=_PLANNED,
        why=why,
        **more,
    )


CHECKS = (
    _check(
        3,
        "Does the AKS cluster exist, and run?",
        cluster_runs,
        "A stopped cluster has no API server, and one that is being changed may refuse the connector.",
        needs=("VN-AZ-001",),
    ),
    _check(
        4,
        "Is the cluster's network Azure CNI?",
        network,
        "Container groups reach pods only where those have addresses of the virtual network.",
    ),
    _check(
        5,
        "Is the AKS virtual-node add-on off?",
        addon,
        "Two virtual kubelets with the same taint share one cluster badly: pods land on either.",
    ),
    _check(
        9,
        "Do network policies hold on virtual nodes?",
        network_policy,
        "Network policies are enforced by an agent on each node, and virtual nodes run none.",
        severity=Severity.WARNING,
    ),
    _check(
        10,
        "Is the subnet in the cluster's network?",
        forgiving(same_network),
        "Pods on virtual nodes talk to the cluster's pods and services through the virtual network.",
        needs=("VN-AZ-003", "VN-AZ-016"),
    ),
    _check(
        11,
        "Can container groups reach a private API server?",
        private_cluster,
        "A private cluster's API server has an address of the virtual network only.",
        severity=Severity.WARNING,
    ),
    _check(
        12,
        "Does the API server answer the egress of container groups?",
        forgiving(authorized_ranges),
        "With authorised address ranges the API server refuses pods whose egress address is not among them.",
        severity=Severity.WARNING,
        needs=("VN-AZ-003", "VN-AZ-016"),
    ),
    _check(
        13,
        "Is the cluster's network IPv4?",
        address_families,
        "Container groups have IPv4 addresses only.",
    ),
)
