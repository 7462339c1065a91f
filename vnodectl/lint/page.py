"""The page docs/lint.md, made from the catalogue: `python -m vnodectl.lint.page > docs/lint.md`."""

from __future__ import annotations

import sys

from vnodectl.lint.catalogue import RULES
from vnodectl.lint.engine import IGNORE
from vnodectl.lint.rule import ALIBABA, AZURE, Rule

_CLOUDS = {AZURE: "Azure", ALIBABA: "Alibaba Cloud"}

_HEAD = f"""# Lint

<!-- Made from vnodectl/lint/asked.py and translated.py: python -m vnodectl.lint.page > docs/lint.md -->

`vnodectl lint` finds what will not work on a virtual node before it is deployed there:

```sh
vnodectl lint deploy/                                # files and directories, for Azure
vnodectl lint deploy/ --cloud alibaba
helm template web ./web | vnodectl lint - -o sarif   # standard input
vnodectl lint -n web                                 # the workloads of a namespace; -A: of all
```

It looks into Pods and Kubernetes' own kinds with a pod template, one by one in streams and lists, and
leaves alone what cannot land on a virtual node. Labels by which the connectors' admission webhook sends
pods there count as asking for it, as if the webhook were installed. Whatever it says of a pod comes from
the translator that the connector itself uses, asked until it has nothing more to say: what lint lets
through is not rejected later for its manifest.

**Files** are YAML or JSON, in UTF-8 or, as Windows writes it, UTF-16. What is no object of Kubernetes is a
finding in a file that is named. In a directory only `.yaml`, `.yml` and `.json` are read, files without any
object (values, playbooks) are left alone, and links to directories are not followed. A document that cannot
be read loses no finding of the others. Of a key that is written twice the last one counts, as with kubectl.
Where there is nothing to look at (the template failed, the directory is empty), standard error says so.

**Contents** of ConfigMaps and Secrets count where they are among the files. In a cluster the ConfigMaps,
claims and volumes that pods name are read; Secrets never, but for pull secrets with `--check-images`, which
asks registries whether images can be pulled and what they run. With a login (`az login`) Azure is asked for
the kind of storage accounts and, with `-l REGION` or in the connector's region, for what it offers. What
could not be asked is said on standard error.

In a cluster with a connector its own settings decide (its subnet, its GPUs, `eci-profile`); for files the
options do, and without them those of a connector that was given none.

**Rights** in a cluster: to list Deployments, StatefulSets, DaemonSets, ReplicaSets, ReplicationControllers,
Jobs, CronJobs, PodTemplates, Pods, Services and NetworkPolicies, in the namespace or all; to get the
Namespace (`-A`: list them) and list Nodes; to list Deployments everywhere, for the connector's settings; to
get what pods name and, on Alibaba Cloud, `eci-profile`. The role `view` in one namespace lacks
PodTemplates, Nodes and the connector's Deployment. What is refused makes the report partial, which it says:
in JSON as `"unread": [{{"what": …, "reason": …}}]`, which is there in no other case. Where none of the
kinds may be listed there is no report, and the exit code is 1.

**Severity.** `error`: the pod does not run. `warning`: it runs otherwise than it says. `info`: worth knowing.
**Exit codes.** 1 with errors, 2 for wrong usage, 5 for a cluster out of reach, else 0; with `--strict` 3 for
warnings, for a partial report, and where there was nothing to look at. Rules that could not be asked change
nothing, as checks that are skipped do not.

**Suppressing.** `--ignore RULE`, or the annotation `{IGNORE}` on the object or its pod
template, with codes, globs or names: `{IGNORE}: "VN-L-023,probe"`. What is suppressed is counted.

**Formats.** `-o table`, `json`, `sarif` (2.1.0) and `junit`. JSON is one document:
`{{"schemaVersion": 1, "findings": [{{…}}]}}`, each with `code`, `severity`, `file`, `line`, `path`, `message`
and `suggestion`. In a cluster `file` is `namespace/kind/name` and `line` 0.

## Rules
"""


def page() -> str:
    """The whole page."""
    rows = [
        "| Code | Name | Severity | Clouds | |",
        "|---|---|---|---|---|",
        *(
            f"| [{one.code}](#{one.code.lower()}) | `{one.name}` | {one.severity.value} "
            f"| {_clouds(one)} | {_cell(one.title)} |"
            for one in RULES
        ),
    ]
    return "\n".join([_HEAD, *rows, *(line for one in RULES for line in _section(one))]) + "\n"


def _section(rule: Rule) -> list[str]:
    word = rule.title.partition(" ")[0]
    named = "-" in word or not (word.islower() or word.istitle() or word.isupper())  # hostPort is no Hostport
    title = rule.title if named else f"{rule.title[0].upper()}{rule.title[1:]}"
    asked = " Found only where the cloud or a registry can be asked." if rule.online else ""
    return [
        "",
        f"## {rule.code}",
        "",
        f"**{title}** (`{rule.name}`, {rule.severity.value}, {_clouds(rule)}).{asked}",
        "",
        rule.why,
        "",
        f"*What to do.* {rule.remedy}",
    ]


def _clouds(rule: Rule) -> str:
    system = f" ({rule.os.capitalize()})" if rule.os else ""
    return ", ".join(_CLOUDS[one] for one in rule.clouds) + system


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.write(page())
