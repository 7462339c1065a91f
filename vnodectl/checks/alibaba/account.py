"""The account: its keys, its service, its region, its quota, its rights."""

from __future__ import annotations

import json
import re

from vnodectl.checks.alibaba import ram
from vnodectl.checks.alibaba.common import CLOUD, check
from vnodectl.checks.clocks import clock_answer
from vnodectl.checks.context import Context, gather
from vnodectl.checks.model import Answer, Severity, failed, not_applicable, passed, warned
from vnodectl.checks.readers import JSON
from vnodectl.clouds.alibaba import AlibabaError, AlibabaForbidden, AlibabaNotFound

ECI = ("eci", "2018-08-08")
RAM = ("ram", "2015-05-01")

ACTIVATE = "activate ECI once for the account: https://eci.console.aliyun.com"
_NOT_ACTIVE = re.compile(r"(?i)not\.?(open|opened|activ\w*|enabled|subscribed)|unsubscribed|unopened")
_LOW = 0.9
"""Share of the quota from which on it is worth a warning."""


async def credentials(context: Context) -> Answer:
    found = await context.alibaba_facts.caller()
    return passed(f"{found.get('Arn') or found.get('AccountId')}")


async def activated(context: Context) -> Answer:
    """ECI must be activated once; until then every API of it says so."""
    try:
        await _usage(context)
    except AlibabaError as error:
        if _NOT_ACTIVE.search(error.code):
            return failed(
                "Elastic Container Instance is not activated for the account",
                evidence=error.message,
                fix=ACTIVATE,
            )
        if isinstance(error, AlibabaForbidden):
            return not_applicable(f"the caller may not ask: {error.message}")
        if error.code.startswith("Account.Arrearage"):
            return failed(
                "the account has an outstanding payment",
                evidence=error.message,
                fix="settle it: https://usercenter2-intl.aliyun.com",
            )
        raise
    return passed("it answers")


async def region(context: Context) -> Answer:
    wanted = context.target.alibaba.region or context.alibaba.region
    regions = await context.alibaba_facts.regions()
    found = next((one for one in regions if one.get("RegionId") == wanted), None)
    if found is None:
        names = sorted(str(one.get("RegionId")) for one in regions)
        shown = ", ".join(names[:12]) + (" …" if len(names) > 12 else "")
        return failed(
            f"{wanted} has no Elastic Container Instance",
            evidence=f"offered in {len(names)} regions: {shown}",
            fix="choose one of them: ALIBABA_CLOUD_REGION_ID=<region>",
        )
    return passed(f"{wanted}: zones {', '.join(found.get('Zones') or ())}")


async def quota(context: Context) -> Answer:
    usage = await _usage(context)
    limit, used = float(usage.get("MaxCpu") or 0), float(usage.get("UsedCpu") or 0)
    if "MaxCpu" not in usage:
        return not_applicable("the service does not say what is used")
    evidence = f"{used:g} of {limit:g} vCPUs are used in {context.alibaba.region}"
    more = "ask for more: https://quotas.console.aliyun.com/products/eci/quotas"
    if used >= limit:
        return failed("no vCPUs are left of the quota", evidence=evidence, fix=more)
    if used >= _LOW * limit:
        return warned("the quota of vCPUs is nearly used up", evidence=evidence, fix=more)
    return passed(evidence)


async def _usage(context: Context) -> JSON:
    answer = await context.alibaba.call(ECI[0], "ListUsage", ECI[1])
    attributes = answer.get("Attributes") or {}
    # A map of numbers, which some regions answer as JSON text.
    found: JSON = json.loads(attributes) if isinstance(attributes, str) else attributes
    return found


async def rights(context: Context) -> Answer:
    """Worked out from the statements of the policies of its role, so that any policy will do. Whose an access
    key is cannot be asked: for a connector with one, it is whoever runs the check that is looked at."""
    caller = await context.alibaba_facts.caller()
    kind, arn = str(caller.get("IdentityType") or ""), str(caller.get("Arn") or "")
    role = context.target.alibaba.role
    if not role and kind == "Account":
        return passed("the account itself may do everything")
    parts = arn.split("/")
    if not role and kind == "AssumedRoleUser" and len(parts) > 1:
        role = parts[1]
    who = f"the role {role}" if role else f"the user {parts[-1]}"
    try:
        granted, names = await _granted(context, role, "" if role else parts[-1])
    except AlibabaNotFound as error:
        return failed(
            f"{who} does not exist",
            evidence=error.message,
            fix="aliyun ram ListRoles  # and name one of them",
        )
    except AlibabaForbidden as error:
        return not_applicable(f"the caller may not read policies: {error.message}")
    if absent := ram.missing(granted):
        shown = ", ".join(absent[:3]) + (f" and {len(absent) - 3} more" if len(absent) > 3 else "")
        attach = (
            f"aliyun ram AttachPolicyToRole --RoleName {role}"
            if role
            else f"aliyun ram AttachPolicyToUser --UserName {parts[-1]}"
        )
        return failed(
            f"{who} may not do what the connector does",
            evidence=f"lacks {shown}; has {', '.join(names) or 'no policy'}",
            fix=(
                f"{attach} --PolicyType System --PolicyName AliyunECIFullAccess"
                "  # of least rights: vnodectl check --role-definition --cloud alibaba"
            ),
        )
    return passed(f"{', '.join(names)} allow all {len(ram.ACTIONS)}")


async def _granted(context: Context, role: str, user: str) -> tuple[list[JSON], list[str]]:
    """The statements of all policies of a role, or of a user and its groups, and the policies' names."""
    call = context.alibaba.call
    if role:
        lists = [await call(RAM[0], "ListPoliciesForRole", RAM[1], {"RoleName": role})]
    else:
        lists = [await call(RAM[0], "ListPoliciesForUser", RAM[1], {"UserName": user})]
        groups = await call(RAM[0], "ListGroupsForUser", RAM[1], {"UserName": user})
        for group in (groups.get("Groups") or {}).get("Group") or ():
            name = {"GroupName": group["GroupName"]}
            lists.append(await call(RAM[0], "ListPoliciesForGroup", RAM[1], name))
    attached = [one for found in lists for one in (found.get("Policies") or {}).get("Policy") or ()]

    async def read(one: JSON) -> list[JSON]:
        named = {"PolicyName": one["PolicyName"], "PolicyType": one["PolicyType"]}
        body = await call(RAM[0], "GetPolicy", RAM[1], named)
        version: JSON = body.get("DefaultPolicyVersion") or {}
        return ram.statements(version.get("PolicyDocument") or "")

    documents = await gather(*(read(one) for one in attached))
    return [one for found in documents for one in found], [str(one["PolicyName"]) for one in attached]


async def clock(context: Context) -> Answer:
    return clock_answer("Alibaba Cloud", await context.alibaba.clock_skew())


CHECKS = (
    check(
        1,
        "Do the credentials work?",
        credentials,
        "Nothing can be looked up or made without them.",
        needs=(),
        resources=CLOUD,
    ),
    check(
        2,
        "Is Elastic Container Instance activated?",
        activated,
        "Until the service is activated once, it refuses every group.",
        resources=CLOUD,
    ),
    check(
        3,
        "Does the region offer container groups?",
        region,
        "Elastic Container Instance is not in every region, nor in every zone of one.",
        resources=CLOUD,
    ),
    check(
        10,
        "Is quota left for container groups?",
        quota,
        "Groups beyond the account's vCPUs are refused, and their pods stay Pending.",
        needs=("VN-ALI-002",),
        resources=CLOUD,
    ),
    check(
        11,
        "Has the connector's identity the rights it needs?",
        rights,
        "A list that the identity may not read is answered as empty: the connector would see no groups.",
    ),
    check(
        15,
        "Do this machine's and Alibaba Cloud's clocks agree?",
        clock,
        "Signatures carry the time: with a clock that is 15 minutes off they are refused.",
        needs=(),
        resources=CLOUD,
        severity=Severity.WARNING,
    ),
)
