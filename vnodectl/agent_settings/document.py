"""docs/settings.md, made from the table: `python -m vnodectl.agent_settings.document > docs/settings.md`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from vnodectl.agent_settings import azure_aci
from vnodectl.agent_settings.model import Kind, Setting
from vnodectl.agent_settings.table import CONFIG_VARIABLE, GROUPS, SETTINGS

_HEAD = f"""# Settings of the agent

Every setting of `vnodectl agent` can be given as a flag, in the environment, or in a YAML file that
`--config` or `{CONFIG_VARIABLE}` names. Flags win over the environment, the environment over the file. A key
of the file is the flag without its dashes (`node-name: virtual-1`). Secrets are read from the environment,
or from files that other settings name, and from nowhere else. The chart sets what it needs; see
`charts/vnode-connector/values.yaml`.

This page is generated from `vnodectl/agent_settings/table.py` by `make docs`.
"""

_OLD = """
## In place of azure-aci

The agent understands the environment of the azure-aci virtual kubelet, so that its Deployment can run
vnodectl by changing the image and the command: `vnodectl agent --node-name NAME`, where `--disable-taint` is
`--no-taint`, `--os` is `--os-type` and `--client-verify-ca` is `--client-ca-file`. Our own variables win over
these. What has no effect is said in the log at the start. The certificate's files are used where both exist
and are not empty.
"""


def text() -> str:
    """The whole page."""
    parts = [_HEAD]
    for group in GROUPS:
        rows = [_row(setting) for setting in group.settings]
        parts.append(f"\n## {group.title}\n\n{_table(('Setting', 'Variable', 'Default', 'Meaning'), rows)}")
    parts.append(_OLD)
    parts.append("\n" + _table(("Variable", "Becomes"), _old_rows()))
    return "".join(parts)


def _row(setting: Setting) -> tuple[str, ...]:
    names = [f"`{setting.variable}`", *(f"or `{name}`" for name in setting.formerly if not _old(name))]
    meaning = setting.help
    if setting.choices:
        meaning += f" One of {', '.join(f'`{one}`' for one in setting.choices)}."
    if setting.kind is Kind.NUMBER:
        meaning += f" {setting.least} to {setting.most}."
    if setting.kind is Kind.SECRET:
        meaning += " Environment only."
    flag = f"`{setting.flag}`" if setting.flag else "–"  # noqa: RUF001 - a dash in a table
    if setting.kind is Kind.YES_NO:
        flag += f", `--no-{setting.name}`"
    default = f"`{setting.default}`" if setting.default else setting.otherwise
    return flag, " ".join(names), default, meaning


def _old(variable: str) -> bool:
    """Whether it is azure-aci's, and not the Alibaba Cloud add-on's."""
    return not variable.startswith("ECI_")


def _old_rows() -> list[tuple[str, ...]]:
    same = {name: f"`{one.name}`" for one in SETTINGS for name in one.formerly if _old(name)}
    own = {one.variable: f"`{one.name}`" for one in SETTINGS if one.variable.startswith("AZURE_")}
    own["KUBECONFIG"] = "`kubeconfig`"
    kept = {name: f"{what}, unchanged" for name, what in own.items() if name in _SHARED}
    nothing = {name: f"nothing: {why}" for name, why in azure_aci.IGNORED.items()}
    rows = {**same, **kept, **azure_aci.COMPOSED, **nothing}
    return [(f"`{name}`", rows[name]) for name in sorted(rows)]


_SHARED = frozenset(
    {"AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_SUBSCRIPTION_ID", "AZURE_TENANT_ID", "KUBECONFIG"}
)
"""Variables that both programs read."""


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


if __name__ == "__main__":
    sys.stdout.write(text())
