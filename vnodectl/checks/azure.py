"""The Azure side: identity, resource provider, the AKS cluster and its network, where groups go."""

from __future__ import annotations

from vnodectl.checks.context import Context
from vnodectl.checks.model import Answer, Check, Resource, failed, not_applicable, passed, warned
from vnodectl.checks.readers import JSON
from vnodectl.checks.target import Target
from vnodectl.clouds.azure import AzureNotFound

PROVIDER = "Microsoft.ContainerInstance"
REGISTER = f"az provider register --namespace {PROVIDER} --wait"

SUBSCRIPTIONS_API = "2022-12-01"

_NO_CLUSTER = "no AKS cluster is named (-g and -n)"


async def subscription(context: Context) -> Answer:
    """Asks for a token, and for the subscription with it."""
    body = await context.azure.arm("GET", context.azure.subscription, SUBSCRIPTIONS_API)
    name, state = body.get("displayName") or "", str(body.get("state") or "")
    evidence = f"{body.get('subscriptionId') or context.azure.subscription.rpartition('/')[2]} {name}".strip()
    if state not in {"", "Enabled"}:
        # Warned and PastDue subscriptions still run what they have; Disabled and Deleted ones do not.
        usable = state in {"Warned", "PastDue"}
        cause = f"the subscription is {state}"
        fix = "reactivate it: https://learn.microsoft.com/azure/cost-management-billing/manage/subscription-disabled"
        return (
            warned(cause, evidence=evidence, fix=fix) if usable else failed(cause, evidence=evidence, fix=fix)
        )
    return passed(evidence)


async def provider_registered(context: Context) -> Answer:
    state = str((await context.azure_facts.provider(PROVIDER)).get("registrationState") or "NotRegistered")
    if state == "Registered":
        return passed(f"{PROVIDER} is Registered")
    if state == "Registering":
        return failed(
            f"{PROVIDER} is still being registered",
            evidence=f"state {state}",
            fix=f"wait: az provider register --namespace {PROVIDER} --wait",
        )
    return failed(f"the subscription has not registered {PROVIDER}", evidence=f"state {state}", fix=REGISTER)


async def cluster_runs(context: Context) -> Answer:
    target = context.target
    if not target.cluster:
        return not_applicable(_NO_CLUSTER)
    flags = _flags(target)
    try:
        properties = _properties(await context.azure_facts.cluster())
    except AzureNotFound as error:
        return failed(
            f"there is no AKS cluster {target.cluster} in resource group {target.cluster_resource_group}",
            evidence=error.message,
            fix="az aks list -o table, and name one of them with -g and -n",
        )
    state = str(properties.get("provisioningState") or "Succeeded")
    power = str((properties.get("powerState") or {}).get("code") or "Running")
    evidence = f"{target.cluster}: provisioning {state}, power {power}"
    if power != "Running":
        return failed("the cluster is stopped", evidence=evidence, fix=f"az aks start {flags}")
    if state == "Failed":
        return warned("the cluster's last operation failed", evidence=evidence, fix=f"az aks update {flags}")
    if state not in {"Succeeded", "Updating", "Upgrading", "Scaling"}:
        return failed(
            f"the cluster is {state}", evidence=evidence, fix=f"az aks wait {flags} --created --updated"
        )
    return passed(evidence)


async def network(context: Context) -> Answer:
    """Microsoft's guides: virtual nodes need Azure CNI, with pods that have addresses of the VNet."""
    target = context.target
    if not target.cluster:
        return not_applicable(_NO_CLUSTER)
    profile = _properties(await context.azure_facts.cluster()).get("networkProfile") or {}
    plugin = str(profile.get("networkPlugin") or "")
    mode = str(profile.get("networkPluginMode") or "")
    evidence = f"network plug-in {plugin or 'unknown'}{f', mode {mode}' if mode else ''}"
    recreate = (
        f"az aks create -g {target.cluster_resource_group} -n <new cluster> --network-plugin azure"
        " (a cluster cannot leave this network for one with addresses of the VNet)"
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
        return not_applicable(_NO_CLUSTER)
    profiles = _properties(await context.azure_facts.cluster()).get("addonProfiles") or {}
    found = next((value for key, value in profiles.items() if key.lower() == "aciconnectorlinux"), None) or {}
    if found.get("enabled"):
        return failed(
            "the cluster's own virtual-node add-on is enabled: pods for virtual nodes could land on either",
            evidence="addonProfiles.aciConnectorLinux is enabled",
            fix=f"az aks disable-addons --addons virtual-node {_flags(target)}",
        )
    return passed("the virtual-node add-on is not enabled")


async def resource_group(context: Context) -> Answer:
    name = context.target.resource_group
    if not name:
        return not_applicable("no resource group is named (--aci-resource-group)")
    try:
        body = await context.azure_facts.resource_group()
    except AzureNotFound as error:
        place = context.target.region or "<region>"
        return failed(
            f"there is no resource group {name}",
            evidence=error.message,
            fix=f"az group create -n {name} -l {place}",
        )
    state = str(_properties(body).get("provisioningState") or "Succeeded")
    location = str(body.get("location") or "")
    if state == "Deleting":
        return failed(
            "the resource group is being deleted",
            evidence=f"{name} in {location}",
            fix=f"az group create -n <another name> -l {location}",
        )
    return passed(f"{name} in {location}")


async def region(context: Context) -> Answer:
    wanted = context.target.region
    if not wanted:
        return not_applicable("no region is named (-l)")
    kinds = (await context.azure_facts.provider(PROVIDER)).get("resourceTypes") or []
    offered = sorted(
        {
            place.replace(" ", "").lower()
            for kind in kinds
            if str(kind.get("resourceType") or "").lower() == "containergroups"
            for place in kind.get("locations") or ()
        }
    )
    if not offered:
        return not_applicable("the provider does not say which regions it is in")
    if wanted not in offered:
        shown = ", ".join(offered[:12]) + (" …" if len(offered) > 12 else "")
        return failed(
            f"{wanted} has no Azure Container Instances",
            evidence=f"offered in {len(offered)} regions: {shown}",
            fix="choose one of them with -l/--location",
        )
    return passed(f"{wanted} is one of {len(offered)} regions with container groups")


def _flags(target: Target) -> str:
    return f"-g {target.cluster_resource_group} -n {target.cluster}"


def _properties(body: JSON) -> JSON:
    properties: JSON = body.get("properties") or {}
    return properties


_AZURE = frozenset({Resource.AZURE})
_PLANNED = frozenset({Resource.AZURE, Resource.PLAN})

CHECKS = (
    Check(
        "VN-AZ-001",
        "azure",
        "Do the credentials work, and see the subscription?",
        subscription,
        resources=_AZURE,
    ),
    Check(
        "VN-AZ-002",
        "azure",
        f"Is {PROVIDER} registered?",
        provider_registered,
        needs=("VN-AZ-001",),
        resources=_AZURE,
    ),
    Check(
        "VN-AZ-003",
        "azure",
        "Does the AKS cluster exist, and run?",
        cluster_runs,
        needs=("VN-AZ-001",),
        resources=_PLANNED,
    ),
    Check(
        "VN-AZ-004",
        "azure",
        "Is the cluster's network Azure CNI?",
        network,
        needs=("VN-AZ-003",),
        resources=_PLANNED,
    ),
    Check(
        "VN-AZ-005",
        "azure",
        "Is the AKS virtual-node add-on off?",
        addon,
        needs=("VN-AZ-003",),
        resources=_PLANNED,
    ),
    Check(
        "VN-AZ-006",
        "azure",
        "Does the resource group for container groups exist?",
        resource_group,
        needs=("VN-AZ-001",),
        resources=_PLANNED,
    ),
    Check(
        "VN-AZ-007",
        "azure",
        "Does the region offer container groups?",
        region,
        needs=("VN-AZ-002",),
        resources=_PLANNED,
    ),
)
