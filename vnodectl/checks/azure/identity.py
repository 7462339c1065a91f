"""The connector's identity: there, with the right roles, trusted by its tokens, its secret not at its end."""

from __future__ import annotations

import json
from collections.abc import Awaitable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from vnodectl.checks.azure import roles
from vnodectl.checks.azure.ids import flags, part, properties
from vnodectl.checks.azure.roles import Permission, Wanted
from vnodectl.checks.context import AUTHORIZATION_API, IDENTITY_API, Context
from vnodectl.checks.model import (
    Answer,
    Check,
    Repair,
    Resource,
    Severity,
    counted,
    failed,
    not_applicable,
    passed,
    warned,
)
from vnodectl.checks.readers import JSON
from vnodectl.checks.target import MANAGED_IDENTITY, SERVICE_PRINCIPAL, WORKLOAD_IDENTITY
from vnodectl.clouds.azure import AzureForbidden, AzureNotFound, AzureUnauthorized
from vnodectl.errors import CloudUnreachable
from vnodectl.kube.errors import Forbidden, NotFound

ASSIGN_ROLE = "assign-role"
FEDERATE = "create-federated-credential"
AUDIENCE = "api://AzureADTokenExchange"

_NOBODY = (
    "the connector's identity is not named (--workload-identity, --managed-identity, --service-principal)"
)
_SYSTEM = "the nodes' system-assigned identity cannot be looked up by its client ID"
_SOON = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Principal:
    """`resource_id` is a managed identity's; `object_id` is "" where nobody may look it up."""

    object_id: str
    resource_id: str = ""
    name: str = ""


async def known(context: Context) -> Answer:
    identity = context.target.identity
    if reason := _unknowable(context):
        return not_applicable(reason)
    try:
        found = await _principal(context)
    except AzureForbidden as error:
        return not_applicable(f"it may not be looked up: {error.message}")
    if found is None:
        kinds = "service principal" if identity.kind == SERVICE_PRINCIPAL else "identity"
        return failed(
            f"there is no {kinds} with client ID {identity.client_id}",
            evidence="neither among the subscription's managed identities nor in the directory",
            fix="az identity list --query '[].[name,clientId]' -o tsv; az ad sp list --show-mine -o table",
        )
    return passed(f"{found.name or identity.kind}, object {found.object_id}")


async def role_assignments(context: Context) -> Answer:
    """What roles allow, worked out from their actions: any role will do, also a custom one."""
    target = context.target
    if reason := _unknowable(context):
        return not_applicable(reason)
    if not target.resource_group:
        return not_applicable("no resource group is named (--aci-resource-group)")
    needed = roles.wanted(context.azure.subscription, target.resource_group, target.subnet_id)
    try:
        principal = await _principal(context)
    except AzureForbidden:
        principal = None
    object_id = principal.object_id if principal else ""
    lacking: list[tuple[Wanted, list[str]]] = []
    held: list[str] = []
    for one in needed:
        try:
            permissions, names = await _held(context, object_id, one.scope)
        except AzureForbidden as error:
            return not_applicable(f"its role assignments may not be looked up: {error.message}")
        held += names
        if absent := roles.missing(permissions, one.actions):
            lacking.append((one, absent))
    if not lacking:
        return passed(f"{', '.join(dict.fromkeys(held))} allow all {sum(len(one.actions) for one in needed)}")
    commands = " && ".join(
        f"az role assignment create --assignee-object-id {object_id or '<object id>'}"
        f' --assignee-principal-type ServicePrincipal --role "{one.role[0]}" --scope {one.scope}'
        for one, _ in lacking
    )
    wanting = [action for _, actions in lacking for action in actions]
    shown = ", ".join(wanting[:3]) + (f" and {len(wanting) - 3} more" if len(wanting) > 3 else "")
    return failed(
        "the connector's identity may not do what it needs to",
        evidence=f"lacks {shown}; has {', '.join(dict.fromkeys(held)) or 'no role'}",
        fix=f"{commands}  # of least rights: vnodectl check --role-definition",
        repair=_assign(object_id, [one for one, _ in lacking]) if object_id else None,
    )


def _assign(object_id: str, lacking: list[Wanted]) -> Repair:
    said = "; ".join(f"{one.role[0]} at {one.scope}" for one in lacking)
    wanted = [{"scope": one.scope, "role": one.role[1]} for one in lacking]
    return Repair(
        ASSIGN_ROLE,
        f"assign to the principal {object_id}: {said}",
        {"principalId": object_id, "assignments": json.dumps(wanted)},
    )


async def _held(context: Context, object_id: str, scope: str) -> tuple[list[Permission], list[str]]:
    """What the principal may do at the scope, and the names of its roles.

    Where the principal is the caller, Azure works it out itself, groups and all.
    """
    authorization = f"{scope}/providers/Microsoft.Authorization"
    target = context.target
    if not object_id or target.caller == target.identity.client_id:
        if target.caller != target.identity.client_id:
            raise AzureForbidden(403, "", "the identity may not be looked up in the directory")
        found = await context.azure.pages(f"{authorization}/permissions", AUTHORIZATION_API)
        return [Permission.of(one) for one in found], ["its roles"] if found else []
    try:
        assignments = await context.azure.pages(
            f"{authorization}/roleAssignments",
            AUTHORIZATION_API,
            params={"$filter": f"assignedTo('{object_id}')"},
        )
    except AzureNotFound:  # the scope itself is not there; another check says so
        return [], []
    permissions: list[Permission] = []
    names: list[str] = []
    for one in assignments:
        body = properties(one)
        if not roles.holds_at(str(body.get("scope") or ""), scope):
            continue
        definition = properties(await context.azure_facts.role_definition(str(body["roleDefinitionId"])))
        names.append(str(definition.get("roleName") or "a role"))
        permissions += [Permission.of(granted) for granted in definition.get("permissions") or ()]
    return permissions, names


async def federated(context: Context) -> Answer:
    """Issuer, subject and audience of the identity's trust are those of the connector's tokens."""
    target = context.target
    if target.identity.kind != WORKLOAD_IDENTITY:
        return not_applicable("the connector has no workload identity")
    if not target.connectors:
        return not_applicable("the names depend on the region, which is not known: name it with -l")
    issuer, answer = await _issuer(context)
    if answer is not None:
        return answer
    try:
        principal = await _principal(context)
        trusted = await _trusted(context, principal)
    except AzureForbidden as error:
        return not_applicable(f"its federated credentials may not be looked up: {error.message}")
    have = {(_text(one, "issuer"), _text(one, "subject")) for one in trusted if AUDIENCE in _audiences(one)}
    for connector in target.connectors:
        subject = f"system:serviceaccount:{target.namespace}:{connector.release}"
        if (issuer, subject) in have:
            continue
        managed = principal.resource_id if principal else ""
        close = next((_text(one, "issuer") for one in trusted if _text(one, "subject") == subject), "")
        return failed(
            f"the identity does not trust tokens of {subject}",
            evidence=(
                f"it trusts that subject of the issuer {close}, the cluster's is {issuer}"
                if close
                else f"{counted(len(trusted), 'federated credential')}, none of {issuer} and this subject"
            ),
            fix=_federate_command(managed, target.identity.client_id, connector.release, issuer, subject),
            repair=Repair(
                FEDERATE,
                f"let the identity {part(managed, 'userAssignedIdentities')} trust tokens of {subject}",
                {"identityId": managed, "name": connector.release, "issuer": issuer, "subject": subject},
            )
            if managed
            else None,
        )
    return passed(f"{issuer} is trusted for {', '.join(one.release for one in target.connectors)}")


async def _issuer(context: Context) -> tuple[str, Answer | None]:
    """The issuer of the cluster's service account tokens, or an answer that ends the question."""
    target = context.target
    if target.cluster:
        profile = properties(await context.azure_facts.cluster()).get("oidcIssuerProfile") or {}
        if not profile.get("enabled"):
            return "", failed(
                "the cluster publishes no OIDC issuer, so no token of its is ever trusted",
                evidence="oidcIssuerProfile.enabled is false",
                fix=f"az aks update {flags(target)} --enable-oidc-issuer --enable-workload-identity",
            )
        if profile.get("issuerURL"):
            return str(profile["issuerURL"]), None
    if context.sources.kube is None:
        return "", not_applicable("the cluster's issuer is not known: no cluster session")
    try:
        found = await context.kube.get("/.well-known/openid-configuration")
    except (Forbidden, NotFound) as error:
        return "", not_applicable(f"the cluster does not tell its issuer: {error.message}")
    return str(found.get("issuer") or ""), None


async def _trusted(context: Context, principal: Principal | None) -> list[JSON]:
    if principal is not None and principal.resource_id:
        path = f"{principal.resource_id}/federatedIdentityCredentials"
        return await context.azure.pages(path, IDENTITY_API)
    application = await _application(context)
    if application is None:
        return []
    path = f"/v1.0/applications/{application['id']}/federatedIdentityCredentials"
    return list((await _graph(context.azure.graph(path))).get("value") or ())


def _text(credential: JSON, field: str) -> str:
    """Managed identities have it below `properties`, applications at the top."""
    return str((credential.get("properties") or credential).get(field) or "")


def _audiences(credential: JSON) -> list[Any]:
    return list((credential.get("properties") or credential).get("audiences") or ())


def _federate_command(managed: str, client_id: str, name: str, issuer: str, subject: str) -> str:
    if managed:
        return (
            f"az identity federated-credential create -g {part(managed, 'resourceGroups')}"
            f" --identity-name {part(managed, 'userAssignedIdentities')} -n {name}"
            f" --issuer {issuer} --subject {subject} --audiences {AUDIENCE}"
        )
    body = {"name": name, "issuer": issuer, "subject": subject, "audiences": [AUDIENCE]}
    return f"az ad app federated-credential create --id {client_id} --parameters '{json.dumps(body)}'"


async def secret_expiry(context: Context) -> Answer:
    """Of the application's secrets, or of its certificates where the connector has one."""
    identity = context.target.identity
    if identity.kind != SERVICE_PRINCIPAL:
        return not_applicable("the connector has no client secret")
    try:
        application = await _application(context)
    except AzureForbidden as error:
        return not_applicable(f"the application may not be looked up: {error.message}")
    if application is None:
        return not_applicable("the application is not in this directory")
    ends = [
        datetime.fromisoformat(str(one["endDateTime"]))
        for one in application.get("keyCredentials" if identity.certificate else "passwordCredentials") or ()
        if one.get("endDateTime")
    ]
    what = "certificate" if identity.certificate else "secret"
    renew = f"az ad app credential reset --id {identity.client_id} --append --years 1"
    if identity.certificate:
        renew += " --create-cert"
    if not ends:
        return failed(
            f"the application has no client {what}", evidence=f"it has no {what} that ends", fix=renew
        )
    last = max(end if end.tzinfo else end.replace(tzinfo=UTC) for end in ends)
    left = last - context.now()
    evidence = f"{counted(len(ends), what)}, the last one ends {last:%Y-%m-%d}"
    if left <= timedelta():
        return failed(f"every client {what} of the application has expired", evidence=evidence, fix=renew)
    if left < _SOON:
        return warned(
            f"the last client {what} of the application expires in {left.days} days",
            evidence=evidence,
            fix=f"{renew}  # then install again with the new one",
        )
    return passed(evidence)


def _unknowable(context: Context) -> str:
    identity = context.target.identity
    if not identity.kind:
        return _NOBODY
    return _SYSTEM if identity.kind == MANAGED_IDENTITY and not identity.client_id else ""


async def _principal(context: Context) -> Principal | None:
    """Who has the client ID: a managed identity of the subscription, else a service principal."""
    client_id = context.target.identity.client_id.lower()
    if context.target.identity.kind != SERVICE_PRINCIPAL:
        for one in await context.azure_facts.identities():
            body = properties(one)
            if str(body.get("clientId") or "").lower() == client_id:
                return Principal(
                    str(body.get("principalId") or ""), str(one["id"]), str(one.get("name") or "")
                )
    found = await _graph(context.azure_facts.service_principals())
    first = next(iter(found.get("value") or ()), None)
    if first is None:
        return None
    return Principal(str(first.get("id") or ""), name=str(first.get("displayName") or ""))


async def _graph(asked: Awaitable[JSON]) -> JSON:
    """What Microsoft Graph says. AzureForbidden where it says nothing: many a caller may not ask it, and an
    installation must not depend on it.
    """
    try:
        return await asked
    except (AzureUnauthorized, AzureNotFound, CloudUnreachable) as error:
        raise AzureForbidden(403, "", f"Microsoft Graph: {error.message}") from error


async def _application(context: Context) -> JSON | None:
    found = await _graph(context.azure_facts.applications())
    first: JSON | None = next(iter(found.get("value") or ()), None)
    return first


_PLANNED = frozenset({Resource.AZURE, Resource.PLAN})

CHECKS = (
    Check(
        "VN-AZ-022",
        "azure",
        "Does the connector's identity exist?",
        known,
        needs=("VN-AZ-001", "VN-AZ-008"),
        resources=_PLANNED,
        why="A client ID that nobody has gets no token, and the node never becomes Ready.",
    ),
    Check(
        "VN-AZ-023",
        "azure",
        "Has the connector's identity the roles it needs?",
        role_assignments,
        needs=("VN-AZ-022", "VN-AZ-006"),
        resources=_PLANNED,
        why="Without them every call for a container group is answered with 403 AuthorizationFailed.",
        repairs=(ASSIGN_ROLE,),
    ),
    Check(
        "VN-AZ-024",
        "azure",
        "Does the identity trust the connector's tokens?",
        federated,
        needs=("VN-AZ-022",),
        resources=_PLANNED,
        why="A workload identity is entered with a service account's token; issuer and subject must match.",
        repairs=(FEDERATE,),
    ),
    Check(
        "VN-AZ-025",
        "azure",
        "Is the client secret or certificate far from its end?",
        secret_expiry,
        severity=Severity.FATAL,
        needs=("VN-AZ-022",),
        resources=_PLANNED,
        why="With an expired one the node turns NotReady, and nothing starts on it any more.",
    ),
)
