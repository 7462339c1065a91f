"""The page that explains each check, made from the checks themselves:

python -m vnodectl.checks.page > docs/checks.md
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable

from vnodectl.checks.catalog import all_checks
from vnodectl.checks.model import Check, Resource, Severity

_HEAD = """\
# Checks

<!-- Made from the checks themselves: python -m vnodectl.checks.page > docs/checks.md -->

`vnodectl check` asks everything that must be so before a connector works, changes nothing, and says for each
problem what is wrong, what was seen and a command that mends it. `install-connector` and `upgrade-connector`
ask the same first and stop where something is failed (`--skip` leaves a check out); `validate` asks what
concerns nodes that run.

    vnodectl check -g my-group -n my-aks --subnet-id ID --workload-identity ID
    vnodectl check --only azure,VN-KUBE-0* --skip VN-AZ-025 --wait 5m
    vnodectl check --fix                  # mends what is safe to mend, after asking
    vnodectl check --from-sysdump F       # the same again, from a support archive, without a network
    vnodectl check --role-definition      # a role of least rights for the connector's identity

**Formats.** `-o table`, `short` (problems only), `json` (one document with `schemaVersion`) and `junit`.
**Exit codes.** 0 nothing failed, 1 something failed, 2 wrong usage, 3 warnings and `--strict`, 4 out of time,
5 the cluster or the cloud did not answer.

A check needs others: where one of those failed, it is shown as skipped with the reason. Errors that pass
(throttling, a server's own failure, no connection) are tried again as far as the check's deadline of 30 s
reaches; 403 and 404 are answers. `fatal` stops an installation, `warning` does not.
"""

_ASKS = {
    Resource.PLAN: "what is to be installed",
    Resource.HELM: "Helm",
    Resource.KUBE: "the cluster",
    Resource.AZURE: "Azure",
    Resource.ALIBABA: "Alibaba Cloud",
    Resource.REGISTRY: "the image's registry",
}
_SEVERITIES = {Severity.FATAL: "fatal", Severity.WARNING: "warning"}


def page(checks: Iterable[Check]) -> str:
    """Markdown. Each check's heading is its id, so that `Check.doc` leads there."""
    known = list(checks)
    lines = [_HEAD, "| | Severity | Question |", "|---|---|---|"]
    lines += [
        f"| [{one.id}](#{one.id.lower()}) | {_SEVERITIES[one.severity]} | {one.title} |" for one in known
    ]
    category = ""
    for one in known:
        if one.category != category:
            category = one.category
            lines += ["", f"## {category.capitalize()}"]
        lines += ["", *_section(one)]
    return "\n".join(lines) + "\n"


def _section(check: Check) -> list[str]:
    asks = ", ".join(text for resource, text in _ASKS.items() if resource in check.resources)
    facts = [f"Severity: {_SEVERITIES[check.severity]}", f"asks {asks}"]
    if check.needs:
        facts.append("needs " + ", ".join(f"[{need}](#{need.lower()})" for need in check.needs))
    lines = [f"### {check.id}", "", f"**{check.title}** {check.why}"]
    how = " ".join((inspect.getdoc(check.ask) or "").split())
    if how:
        lines += ["", how]
    lines += ["", "; ".join(facts) + "."]
    if check.repairs:
        lines += ["", f"`--fix` can mend it: {', '.join(f'`{kind}`' for kind in check.repairs)}."]
    return lines


if __name__ == "__main__":
    sys.stdout.write(page(all_checks()))
