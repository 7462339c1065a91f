"""Who calls: an account, a RAM user or somebody who has assumed a role; and what that one may do."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from vnodectl.emulator.alibaba.config import Policy

ROOT = (Policy("", ("*",)),)


@dataclass(frozen=True, slots=True)
class Identity:
    """`kind` as GetCallerIdentity names it: Account, RAMUser or AssumedRoleUser; "" for nobody.

    `name` is the user's or the role's, `id` their number, `session` the role session's name.
    """

    account: str
    kind: str = ""
    name: str = ""
    id: str = ""
    session: str = ""
    key_id: str = ""
    policies: tuple[Policy, ...] = field(default=(), repr=False)

    @property
    def arn(self) -> str:
        base = f"acs:ram::{self.account}"
        if self.kind == "RAMUser":
            return f"{base}:user/{self.name}"
        if self.kind == "AssumedRoleUser":
            return f"{base}:assumed-role/{self.name}/{self.session}"
        return f"{base}:root"

    @property
    def principal(self) -> str:
        """As the recorder shows it: never the key."""
        return self.arn if self.kind else ""

    def may(self, action: str) -> bool:
        return allows(self.policies, action)


def allows(policies: Iterable[Policy], action: str) -> bool:
    """Policies here only allow; what none of them allows is denied."""
    return any(fnmatchcase(action, pattern) for policy in policies for pattern in policy.actions)


def number_of(*parts: str) -> str:
    """A stable number for a user or role, as RAM gives them."""
    digest = hashlib.sha256("/".join(parts).encode()).hexdigest()
    return str(int(digest[:15], 16)).zfill(18)[:18]
