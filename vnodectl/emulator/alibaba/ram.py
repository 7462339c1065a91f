"""RAM 2015-05-01, read only: users, roles and the policies that they have."""

from __future__ import annotations

import json
from collections.abc import Iterable

from vnodectl.emulator.alibaba.calls import RAM, Call, Operation
from vnodectl.emulator.alibaba.config import SYSTEM_POLICIES, Policy, Role
from vnodectl.emulator.alibaba.errors import ApiError
from vnodectl.emulator.alibaba.identities import number_of
from vnodectl.emulator.alibaba.world import World
from vnodectl.emulator.documents import JSON

_CREATED = "2026-01-01T00:00:00Z"
_VERSION = "v1"
"""Policies here have one version."""


class Ram:
    def __init__(self, world: World) -> None:
        self._world = world

    def operations(self) -> list[Operation]:
        return [
            Operation(RAM, "GetRole", self.role),
            Operation(RAM, "GetUser", self.user),
            Operation(RAM, "ListPoliciesForRole", self.role_policies),
            Operation(RAM, "ListPoliciesForUser", self.user_policies),
            Operation(RAM, "ListGroupsForUser", self.user_groups, note="there are no groups"),
            Operation(RAM, "GetPolicy", self.policy),
            Operation(RAM, "GetPolicyVersion", self.policy_version),
        ]

    async def role(self, call: Call) -> JSON:
        role = self._role(call)
        account = self._world.account
        return {
            "Role": {
                "RoleId": number_of(account, "role", role.name),
                "RoleName": role.name,
                "Arn": f"acs:ram::{account}:role/{role.name}",
                "AssumeRolePolicyDocument": json.dumps(self._document(role)),
                "MaxSessionDuration": int(role.max_session),
                "CreateDate": _CREATED,
                "UpdateDate": _CREATED,
            }
        }

    async def user(self, call: Call) -> JSON:
        name = call.params.required("UserName")
        if name not in self._world.users:
            raise ApiError(404, "EntityNotExist.User", f"The user does not exist: {name} .")
        return {
            "User": {
                "UserId": number_of(self._world.account, "user", name),
                "UserName": name,
                "DisplayName": name,
                "CreateDate": _CREATED,
                "UpdateDate": _CREATED,
            }
        }

    async def role_policies(self, call: Call) -> JSON:
        return _policies(self._role(call).policies)

    async def user_policies(self, call: Call) -> JSON:
        name = call.params.required("UserName")
        user = self._world.users.get(name)
        if user is None:
            raise ApiError(404, "EntityNotExist.User", f"The user does not exist: {name} .")
        return _policies(user.policies)

    async def user_groups(self, call: Call) -> JSON:
        await self.user(call)
        return {"Groups": {"Group": []}}

    async def policy(self, call: Call) -> JSON:
        found = self._policy(call)
        return {
            "Policy": {
                "PolicyName": found.name,
                "PolicyType": _type(found),
                "Description": "",
                "DefaultVersion": _VERSION,
                "AttachmentCount": sum(found in one for one in self._attached()),
                "CreateDate": _CREATED,
                "UpdateDate": _CREATED,
            },
            "DefaultPolicyVersion": _version(found),
        }

    async def policy_version(self, call: Call) -> JSON:
        found = self._policy(call)
        version = call.params.required("VersionId")
        if version != _VERSION:
            raise ApiError(
                404, "EntityNotExist.Policy.Version", f"The policy version not exists: {version} ."
            )
        return {"PolicyVersion": _version(found)}

    def _attached(self) -> list[tuple[Policy, ...]]:
        """The policies of every user and role."""
        users, roles = self._world.users.values(), self._world.roles.values()
        return [*(one.policies for one in users), *(one.policies for one in roles)]

    def _policy(self, call: Call) -> Policy:
        """Raises ApiError 404. A system policy exists whether somebody has it or not."""
        params = call.params
        name, kind = params.required("PolicyName"), params.required("PolicyType")
        params.choice("PolicyType", ("System", "Custom"), "")
        if kind == "System" and name in SYSTEM_POLICIES:
            return Policy(name, SYSTEM_POLICIES[name])
        for one in (policy for policies in self._attached() for policy in policies):
            if (one.name, _type(one)) == (name, kind):
                return one
        raise ApiError(404, "EntityNotExist.Policy", f"The policy not exists: {name} .")

    def _role(self, call: Call) -> Role:
        name = call.params.required("RoleName")
        role = self._world.roles.get(name)
        if role is None:
            raise ApiError(404, "EntityNotExist.Role", f"The role not exists: {name} .")
        return role

    def _document(self, role: Role) -> JSON:
        account = self._world.account
        statements: list[JSON] = [
            {
                "Action": "sts:AssumeRole",
                "Effect": "Allow",
                "Principal": {"Federated": [f"acs:ram::{account}:oidc-provider/{trust.provider}"]},
                "Condition": {
                    "StringEquals": {
                        "oidc:iss": self._issuer(trust.provider),
                        "oidc:sub": trust.subject,
                        "oidc:aud": trust.audience or "sts.aliyuncs.com",
                    }
                },
            }
            for trust in role.oidc
        ]
        principals = {
            "RAM": [f"acs:ram::{one}:root" for one in role.accounts],
            "Service": list(role.services),
        }
        statements += [
            {"Action": "sts:AssumeRole", "Effect": "Allow", "Principal": {kind: names}}
            for kind, names in principals.items()
            if names
        ]
        return {"Version": "1", "Statement": statements}

    def _issuer(self, provider: str) -> str:
        known = self._world.oidc_providers.get(provider)
        return known.issuer if known else ""


def _type(policy: Policy) -> str:
    return "System" if policy.system else "Custom"


def _version(policy: Policy) -> JSON:
    statement = {"Effect": "Allow", "Action": list(policy.actions), "Resource": "*"}
    return {
        "VersionId": _VERSION,
        "IsDefaultVersion": True,
        "CreateDate": _CREATED,
        "PolicyDocument": json.dumps({"Version": "1", "Statement": [statement]}),
    }


def _policies(policies: Iterable[Policy]) -> JSON:
    return {
        "Policies": {
            "Policy": [
                {
                    "PolicyName": policy.name,
                    "PolicyType": _type(policy),
                    "DefaultVersion": _VERSION,
                    "Description": "",
                    "AttachDate": _CREATED,
                }
                for policy in policies
            ]
        }
    }
