"""One case of one check."""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any

import aiohttp

from vnodectl.checks.model import Verdict

PASSED, WARNING, FAILED, SKIPPED = Verdict.PASSED, Verdict.WARNING, Verdict.FAILED, Verdict.SKIPPED


@dataclass(frozen=True)
class Case:
    """`name` says what is so; `seed` and `target` are laid over those of a world where all is well.

    `cause` is part of the answer's cause (of the reason for a skipped one), `evidence` of what was seen;
    `faults` are given to the emulator's control API.
    """

    id: str
    name: str
    verdict: Verdict = FAILED
    cause: str = ""
    evidence: str = ""
    seed: Mapping[str, Any] = field(default_factory=dict)
    target: Mapping[str, Any] = field(default_factory=dict)
    faults: tuple[Mapping[str, Any], ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.id} {self.name}"


def bad(verdict: Verdict) -> bool:
    return verdict in {Verdict.FAILED, Verdict.WARNING, Verdict.TIMED_OUT}


async def told(control_url: str, case: Case) -> None:
    """The emulator, told of the case's faults by its control API.

    `options["date"]` seconds are added to the time of answers to those who do not sign in.
    """
    faults = [dict(fault) for fault in case.faults]
    if "date" in case.options:
        later = formatdate(time.time() + case.options["date"], usegmt=True)
        path = "^/(metadata/endpoints)?$"
        faults.append({"method": "GET", "path": path, "status": 400, "headers": {"Date": later}})
    async with aiohttp.ClientSession() as http:
        for fault in faults:
            async with http.post(f"{control_url}/faults", json=fault) as answer:
                assert answer.status < 300, await answer.text()


PROGRAMS = frozenset({"az", "kubectl", "helm", "aliyun", "vnodectl", "kube-apiserver", "sudo", "pip"})


def pastes(fix: str) -> bool:
    """Whether a fix that begins like a command is one: what is not of it is a comment."""
    if fix.partition(" ")[0] not in PROGRAMS:
        return True
    words = shlex.split(fix, comments=True)
    return not [word for word in words if word.endswith(",") or "…" in word]


_FOREIGN = {"azure": re.compile(r"\baliyun\b|\bACK\b"), "alibaba": re.compile(r"\baz (?=[a-z])|\bAKS\b")}


def at_home(fix: str, cloud: str) -> bool:
    """Whether a fix names no tool or service that only the other cloud has."""
    return not _FOREIGN[cloud].search(fix)
