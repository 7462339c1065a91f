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

It looks into Pods and everything with a pod template, one by one in streams and lists, and leaves alone what
cannot land on a virtual node. Labels by which the connectors' admission webhook sends pods there count as
asking for it, as if the webhook were installed. Whatever it says of a pod comes from the translator that the
connector itself uses, asked until it has nothing more to say: what lint lets through is not rejected later
for its manifest.

Contents of ConfigMaps and Secrets count where they are among the files; in a cluster the named ConfigMaps are
read, Secrets never, but for pull secrets with `--check-images`, which asks registries whether images can be
pulled and what they run. With `-l REGION` and a login (`az login`) the cloud is asked what the region offers.
What could not be asked is said on standard error.

In a cluster with a connector its own settings decide (its subnet, its GPUs, `eci-profile`); for files the
options do, and without them those of a connector that was given none.

**Severity.** `error`: the pod does not run. `warning`: it runs otherwise than it says. `info`: worth knowing.
**Exit codes.** 1 with errors, 3 with warnings and `--strict`, 2 for wrong usage, 5 for a cluster out of
reach, else 0.

**Suppressing.** `--ignore RULE`, or the annotation `{IGNORE}` on the object or its pod
template, with codes, globs or names: `{IGNORE}: "VN-L-023,probe"`.

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
    title = f"{rule.title[0].upper()}{rule.title[1:]}"
    asked = " Only asked where the cloud or a registry can be." if rule.online else ""
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
