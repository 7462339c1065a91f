"""The ConfigMap `eci-profile`: settings of the whole cluster that take effect without a restart.

Its keys and their meaning are those of "Configure an eci-profile". What is wrong in it is reported and left
out; what is right still counts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from vnodectl.providers.eci.settings import VSWITCHES_MAX, EciSettings, split

NAME = "eci-profile"
NAMESPACE = "kube-system"


@dataclass(frozen=True, slots=True)
class Key:
    """One key of the ConfigMap. `why` says why it has no effect here; "" where it has one."""

    name: str
    meaning: str
    why: str = ""


_ADD_ON = "it asks for something in the cluster that is not part of ECI"
TEXTS = (
    Key("vpcId", "The VPC of the vSwitches.", "a container group is in the VPC of its vSwitch"),
    Key("securityGroupId", "The security group of pods, instead of the connector's."),
    Key("resourceGroupId", "The resource group of container groups, instead of the connector's."),
    Key("slsMachineGroup", "The machine group of the log service, where a container names none."),
)
LISTS = (
    Key("vSwitchIds", f"vSwitches of pods, at most {VSWITCHES_MAX}, instead of the connector's."),
    Key(
        "selectors",
        "A JSON list: pods by `objectSelector.matchLabels` and `namespaceSelector.matchLabels`, and the "
        "`effect.annotations` and `effect.labels` that they get.",
    ),
)
SWITCHES = (
    Key("enableClusterIp", "Service rules in every instance.", "ECI's public API has no parameter for them"),
    Key("enableHybridMode", "Clusters outside Alibaba Cloud.", "there is nothing to switch: they work"),
    Key("enableLinuxArm64Node", "A second node for arm64.", "each connector is nodes of amd64"),
    Key("enableLogController", "Custom resources of the log service.", _ADD_ON),
    Key("enablePVCController", "Disks that are made for claims.", _ADD_ON),
    Key("enablePrivateZone", "Service names in PrivateZone.", _ADD_ON),
    Key("enableReuseSSLKey", "One certificate for all nodes.", "each node has a certificate of its own"),
)
GATES = Key("featureGates", "`name=true,…` of the vendor's add-on.", "there is none of them here")


@dataclass(frozen=True, slots=True)
class Selector:
    """Pods (by their labels and their namespace's, all of which must match) and what is added to them."""

    name: str
    object_labels: Mapping[str, str] = field(default_factory=dict)
    namespace_labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)

    def matches(self, pod_labels: Mapping[str, str], namespace_labels: Mapping[str, str]) -> bool:
        return _has(pod_labels, self.object_labels) and _has(namespace_labels, self.namespace_labels)


@dataclass(frozen=True, slots=True)
class Profile:
    """`switches` and `gates` are the `enable…` keys and `featureGates` that are given."""

    vpc: str = ""
    vswitches: tuple[str, ...] = ()
    security_group: str = ""
    resource_group: str = ""
    sls_machine_group: str = ""
    selectors: tuple[Selector, ...] = ()
    switches: Mapping[str, bool] = field(default_factory=dict)
    gates: Mapping[str, bool] = field(default_factory=dict)

    def over(self, settings: EciSettings) -> EciSettings:
        """The connector's settings, where the profile does not say otherwise."""
        return replace(
            settings,
            vpc=self.vpc or settings.vpc,
            vswitches=self.vswitches or settings.vswitches,
            security_group=self.security_group or settings.security_group,
            resource_group=self.resource_group or settings.resource_group,
        )

    def selects(
        self, pod_labels: Mapping[str, str], namespace_labels: Mapping[str, str] | None
    ) -> Selector | None:
        """The first selector that matches: such a pod belongs on the virtual node. None as in `effects`."""
        return next(self._matching(pod_labels, namespace_labels), None)

    def _matching(
        self, pod_labels: Mapping[str, str], namespace_labels: Mapping[str, str] | None
    ) -> Iterator[Selector]:
        for one in self.selectors:
            unknown = namespace_labels is None and one.namespace_labels
            if not unknown and one.matches(pod_labels, namespace_labels or {}):
                yield one

    def without_effect(self) -> list[str]:
        """What is switched on and makes no difference here, each with the reason."""
        told = [f"{one.name}: {one.why}" for one in SWITCHES if self.switches.get(one.name) and one.why]
        return told + [f"{GATES.name} {name}: {GATES.why}" for name, on in self.gates.items() if on]

    def effects(
        self, pod_labels: Mapping[str, str], namespace_labels: Mapping[str, str] | None
    ) -> tuple[dict[str, str], dict[str, str]]:
        """(annotations, labels) that all matching selectors add, the first of two that name the same one.

        Where the namespace's labels are not known (None), selectors that ask for some do not match.
        """
        annotations: dict[str, str] = {}
        labels: dict[str, str] = {}
        for one in self._matching(pod_labels, namespace_labels):
            annotations = {**one.annotations, **annotations}
            labels = {**one.labels, **labels}
        return annotations, labels


def parse(config_map: Mapping[str, Any] | None) -> tuple[Profile, list[str]]:
    """The profile of a ConfigMap (its API object, None: there is none), and what was wrong in it."""
    data = (config_map or {}).get("data") or {}
    problems: list[str] = []
    if not isinstance(data, Mapping):
        return Profile(), ["data is not a map"]
    known = {one.name for one in (*TEXTS, *LISTS, *SWITCHES, GATES)}
    problems += [f"there is no key {name!r}" for name in sorted(set(data) - known)]
    texts = {one.name: str(data.get(one.name) or "").strip() for one in TEXTS}
    vswitches = split(str(data.get("vSwitchIds") or ""))
    if len(vswitches) > VSWITCHES_MAX:
        problems.append(f"vSwitchIds names {len(vswitches)}; the first {VSWITCHES_MAX} are used")
        vswitches = vswitches[:VSWITCHES_MAX]
    return (
        Profile(
            vpc=texts["vpcId"],
            vswitches=vswitches,
            security_group=texts["securityGroupId"],
            resource_group=texts["resourceGroupId"],
            sls_machine_group=texts["slsMachineGroup"],
            selectors=_selectors(data.get("selectors"), problems),
            switches=_switches(data, problems),
            gates=_gates(data.get("featureGates"), problems),
        ),
        problems,
    )


def _switches(data: Mapping[str, Any], problems: list[str]) -> dict[str, bool]:
    found = {}
    for name in (one.name for one in SWITCHES):
        value = str(data.get(name) or "").strip().lower()
        if value in {"true", "false"}:
            found[name] = value == "true"
        elif value:
            problems.append(f"{name} must be true or false, not {data[name]!r}")
    return found


def _gates(value: Any, problems: list[str]) -> dict[str, bool]:
    found = {}
    for part in split(str(value or "")):
        name, _, state = part.partition("=")
        if name.strip() and state.strip().lower() in {"true", "false"}:
            found[name.strip()] = state.strip().lower() == "true"
        else:
            problems.append(f"featureGates: {part!r} is not name=true or name=false")
    return found


def _selectors(value: Any, problems: list[str]) -> tuple[Selector, ...]:
    text = str(value or "").strip()
    if not text:
        return ()
    try:
        entries = json.loads(text)
    except ValueError as error:
        problems.append(f"selectors is not JSON: {error}")
        return ()
    if not isinstance(entries, list):
        problems.append("selectors is not a list")
        return ()
    found: list[Selector] = []
    for index, entry in enumerate(entries):
        try:
            found.append(_selector(entry))
        except ValueError as error:
            problems.append(f"selectors[{index}]: {error}")
            continue
        unknown = sorted(set(entry) - {"name", "objectSelector", "namespaceSelector", "effect"})
        if unknown:
            problems.append(f"selectors[{index}]: there is no {', '.join(unknown)}")
    return tuple(found)


def _selector(entry: Any) -> Selector:
    if not isinstance(entry, dict):
        raise ValueError("is not an object")  # noqa: TRY004 — the caller reports values, not types
    name = entry.get("name")
    if not isinstance(name, str) or not name:
        raise ValueError("has no name")
    effect = entry.get("effect") or {}
    if not isinstance(effect, dict):
        raise ValueError("effect is not an object")  # noqa: TRY004
    selector = Selector(
        name,
        object_labels=_match_labels(entry, "objectSelector"),
        namespace_labels=_match_labels(entry, "namespaceSelector"),
        annotations=_texts(effect.get("annotations"), "effect.annotations"),
        labels=_texts(effect.get("labels"), "effect.labels"),
    )
    if not selector.object_labels and not selector.namespace_labels:
        raise ValueError("selects by nothing: give objectSelector or namespaceSelector matchLabels")
    return selector


def _match_labels(entry: Mapping[str, Any], key: str) -> dict[str, str]:
    section = entry.get(key) or {}
    if not isinstance(section, dict):
        raise ValueError(f"{key} is not an object")  # noqa: TRY004
    unknown = sorted(set(section) - {"matchLabels"})
    if unknown:
        # Left out, it would match more pods than it says.
        raise ValueError(f"{key} has {', '.join(unknown)}; only matchLabels is known")
    return _texts(section.get("matchLabels"), f"{key}.matchLabels")


def _texts(value: Any, what: str) -> dict[str, str]:
    found = value or {}
    if not isinstance(found, dict) or not all(
        isinstance(key, str) and isinstance(one, str) for key, one in found.items()
    ):
        raise ValueError(f"{what} is not a map of texts")
    return dict(found)


def _has(labels: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    return all(labels.get(key) == value for key, value in wanted.items())


class LiveProfile:
    """The profile as the cluster has it now; `current` is what the next pod gets."""

    def __init__(self) -> None:
        self.current = Profile()
        self.problems: tuple[str, ...] = ()

    def take(self, config_map: Mapping[str, Any] | None) -> None:
        """The ConfigMap's object, None where there is none (any more)."""
        self.current, problems = parse(config_map)
        self.problems = tuple(problems)
