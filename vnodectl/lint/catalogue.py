"""Every rule, with a code that never changes its meaning. Codes of rules that go are not given again.

The page docs/lint.md is made from this.
"""

from __future__ import annotations

from vnodectl.errors import UsageError
from vnodectl.lint import asked, translated
from vnodectl.lint.rule import Rule

RULES: tuple[Rule, ...] = tuple(sorted((*asked.RULES, *translated.RULES), key=lambda one: one.code))
"""By code."""


def of_rejection(reason: str, field: str, cloud: str, os: str) -> Rule:
    """The rule that speaks for what a translator rejected; `os` is the node's, in lower case."""
    return next((one for one in RULES if one.speaks_for(reason, field, cloud, os)), asked.OTHER)


def matching(pattern: str) -> frozenset[str]:
    """The codes that a code, a glob of codes or a name stands for; none for what is no rule."""
    wanted = pattern.strip()
    return frozenset(one.code for one in RULES if one.called(wanted))


def ignored(patterns: tuple[str, ...]) -> frozenset[str]:
    """The codes of --ignore. UsageError for a pattern that matches nothing."""
    found: frozenset[str] = frozenset()
    for pattern in patterns:
        codes = matching(pattern)
        if not codes:
            raise UsageError(f"--ignore {pattern}: no such rule", hint="list them: vnodectl lint --list")
        found |= codes
    return found
