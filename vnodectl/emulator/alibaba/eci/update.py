"""What UpdateContainerGroup makes of a group's parameters. Pure.

A part that the request leaves out stays as it is. RenewUpdate replaces each part that it has;
IncrementalUpdate lays the items of its lists over those of the same name and adds new ones. A file of a
config volume keeps its mode, which this request cannot say.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vnodectl.emulator.alibaba.eci.volumes import CONFIG_FILE
from vnodectl.emulator.alibaba.params import Params
from vnodectl.emulator.documents import JSON

KINDS = ("RenewUpdate", "IncrementalUpdate")
_FILES = "ConfigFileToPath"
_KEYS: Mapping[str, str] = {
    "Container": "Name",
    "InitContainer": "Name",
    "Volume": "Name",
    "ImageRegistryCredential": "Server",
    "AcrRegistryInfo": "InstanceId",
}
_WHOLE = ("DnsConfig", "RestartPolicy", "ResourceGroupId")


def merged(before: Params, update: Params, *, incremental: bool) -> Params:
    """The group's parameters after the update; its tags are not among them."""
    tree = dict(before.tree)
    for part in _WHOLE:
        if update.tree.get(part):
            tree[part] = update.tree[part]
    for part, key in _KEYS.items():
        if not update.tree.get(part):
            continue
        old = [one.tree for one in before.items(part)]
        new = [dict(one.tree) for one in update.items(part)]
        tree[part] = _laid_over(old, new, key) if incremental else new
    if update.tree.get("Volume"):
        modes = {one.text("Name"): one for one in before.items("Volume")}
        tree["Volume"] = [_with_modes(one, modes.get(str(one.get("Name")))) for one in tree["Volume"]]
    return Params(tree)


def merged_tags(before: Mapping[str, str], update: Params, *, incremental: bool) -> dict[str, str]:
    tags = {one.text("Key"): one.text("Value") for one in update.items("Tag")}
    return {**before, **tags} if incremental or not tags else tags


def _laid_over(old: list[Mapping[str, Any]], new: list[JSON], key: str) -> list[JSON]:
    known = {one.get(key): dict(one) for one in old}
    for one in new:
        known[one.get(key)] = known.get(one.get(key), {}) | one
    return list(known.values())


def _with_modes(volume: JSON, before: Params | None) -> JSON:
    files = volume.get(CONFIG_FILE)
    if before is None or not isinstance(files, dict):
        return volume
    config = before.child(CONFIG_FILE)
    modes = {one.text("Path"): one.text("Mode") for one in config.items(_FILES) if one.has("Mode")}
    kept = [
        {"Mode": modes[one["Path"]]} | one if one.get("Path") in modes else one
        for one in files.get(_FILES, [])
    ]
    default = {"DefaultMode": config.text("DefaultMode")} if config.has("DefaultMode") else {}
    return volume | {CONFIG_FILE: default | files | {_FILES: kept}}
