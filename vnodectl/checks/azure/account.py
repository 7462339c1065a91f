"""The subscription and its resource providers, and Azure's clock."""

from __future__ import annotations

from vnodectl.checks.azure.forgiving import forgiving
from vnodectl.checks.clocks import clock_answer
from vnodectl.checks.context import Context, gather
from vnodectl.checks.model import Answer, Check, Repair, Resource, Severity, failed, passed, warned
from vnodectl.checks.readers import JSON

PROVIDER = "Microsoft.ContainerInstance"
REGISTER_PROVIDER = "register-provider"

SUBSCRIPTIONS_API = "2022-12-01"


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
    tenant, wanted = str(body.get("tenantId") or ""), context.target.tenant
    if tenant and wanted and tenant.lower() != wanted.lower():
        return failed(
            "the subscription is in another tenant than the connector signs in to",
            evidence=f"{evidence} in {tenant}, not {wanted}",
            fix=f"az account show --subscription {evidence.split()[0]} --query tenantId  # then --tenant",
        )
    return passed(evidence)


async def provider_registered(context: Context) -> Answer:
    return _registered(PROVIDER, await context.azure_facts.provider(PROVIDER))


async def other_providers(context: Context) -> Answer:
    """Those of what the target names: a subnet wants Microsoft.Network, an AKS cluster its own."""
    target = context.target
    names = ["Microsoft.Network"] if target.subnet_id else []
    names += ["Microsoft.ContainerService"] if target.cluster else []
    names += ["Microsoft.ManagedIdentity"] if target.identity.kind == "workloadIdentity" else []
    if not names:
        return passed("no other provider is needed")
    bodies = await gather(*(context.azure_facts.provider(name) for name in names))
    for name, body in zip(names, bodies, strict=True):
        answer = _registered(name, body)
        if answer.cause:
            return answer
    return passed(f"{', '.join(names)}: Registered")


def _registered(namespace: str, body: JSON) -> Answer:
    state = str(body.get("registrationState") or "NotRegistered")
    command = f"az provider register --namespace {namespace} --wait"
    if state == "Registered":
        return passed(f"{namespace} is Registered")
    repair = Repair(
        REGISTER_PROVIDER,
        f"register the resource provider {namespace} in the subscription, and wait until it is",
        {"namespace": namespace},
    )
    if state == "Registering":
        return failed(
            f"{namespace} is still being registered",
            evidence=f"state {state}",
            fix=f"wait: {command}",
            repair=repair,
        )
    return failed(
        f"the subscription has not registered {namespace}",
        evidence=f"state {state}",
        fix=command,
        repair=repair,
    )


async def clock(context: Context) -> Answer:
    return clock_answer("Azure Resource Manager", await context.azure.clock_skew())


_AZURE = frozenset({Resource.AZURE})

CHECKS = (
    Check(
        "VN-AZ-001",
        "azure",
        "Do the credentials work, and see the subscription?",
        subscription,
        resources=_AZURE,
        why="Nothing can be looked up or made without a token, nor in a subscription that is disabled.",
    ),
    Check(
        "VN-AZ-002",
        "azure",
        f"Is {PROVIDER} registered?",
        provider_registered,
        needs=("VN-AZ-001",),
        resources=_AZURE,
        why="Azure refuses every container group with MissingSubscriptionRegistration until it is.",
        repairs=(REGISTER_PROVIDER,),
    ),
    Check(
        "VN-AZ-008",
        "azure",
        "Are the other resource providers registered?",
        forgiving(other_providers),
        needs=("VN-AZ-001",),
        resources=frozenset({Resource.AZURE, Resource.PLAN}),
        why="Subnets, managed identities and AKS have providers of their own, and are refused without them.",
        repairs=(REGISTER_PROVIDER,),
    ),
    Check(
        "VN-AZ-026",
        "azure",
        "Do this machine's and Azure's clocks agree?",
        clock,
        severity=Severity.WARNING,
        resources=_AZURE,
        why="Tokens are valid from one moment to another: with a wrong clock they are refused.",
    ),
)
