"""Rules that no translator knows: the pod is accepted, and yet does not do what it says. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from vnodectl.lint import asked as rules
from vnodectl.lint.clouds import Cloud
from vnodectl.lint.links import taken
from vnodectl.lint.manifest import Known, claim_names, unknown_fields
from vnodectl.lint.model import JSON, Steps
from vnodectl.lint.paths import look
from vnodectl.lint.rule import ALIBABA, AZURE, Rule
from vnodectl.lint.translation import Translated
from vnodectl.lint.workloads import Workload, containers, mapping, objects
from vnodectl.providers.images import ImageConfig
from vnodectl.runtime import quantity

_USER = ("runAsNonRoot", "runAsUser", "runAsGroup")
_IGNORED = ("ephemeral-storage", "hugepages-2Mi", "hugepages-1Gi")
_ENVIRONMENT_MAX = 2 * 2**20
"""Bytes of environment and arguments: a quarter of the usual stack of 8 MiB (execve(2))."""

_IPV6_ANNOTATION = "k8s.aliyun.com/eci-enable-ipv6"
_GB = Decimal(10) ** 9


@dataclass(frozen=True, slots=True)
class Note:
    """What a rule says of a pod. `at` is the path in the pod or, where `of_object`, in the whole object."""

    rule: Rule
    at: Steps
    message: str
    of_object: bool = False


def notes(work: Workload, cloud: Cloud, found: Translated, known: Known) -> Iterator[Note]:
    """Everything about one pod that can land on the virtual node."""
    yield from _system(work, cloud)
    yield from _security(work, cloud, found)
    yield from _user(work, cloud, found)
    yield from _terminal(work, cloud)
    yield from _host_name(work, cloud)
    yield from _pull_policy(work, cloud)
    yield from _ignored(work, cloud)
    yield from _unknown(work)
    yield from _late(work, cloud)
    yield from _limits(work, cloud, found)
    yield from _environment(work, cloud, found, known)
    yield from _claims(work, known)


def _system(work: Workload, cloud: Cloud) -> Iterator[Note]:
    wanted = mapping(work.spec.get("os")).get("name")
    if wanted and wanted != cloud.os:
        yield Note(
            rules.WRONG_OS, ("spec", "os", "name"), f"the pod is for {wanted}, the node runs {cloud.os}"
        )


def _security(work: Workload, cloud: Cloud, found: Translated) -> Iterator[Note]:
    bodies = _bodies(found)
    for place, container in containers(work.spec):
        context = mapping(container.get("securityContext"))
        at: Steps = ("spec", *place, "securityContext")
        if cloud.name == ALIBABA and context.get("privileged"):
            yield Note(
                rules.PRIVILEGED_ON_REQUEST,
                (*at, "privileged"),
                f"{cloud.service} runs privileged containers only for accounts that have asked for it",
            )
        added = mapping(context.get("capabilities")).get("add")
        given = mapping(mapping(bodies.get(str(container.get("name")))).get("securityContext"))
        if cloud.name == AZURE and isinstance(added, list) and added and not given.get("capabilities"):
            yield Note(
                rules.CAPABILITIES,
                (*at, "capabilities", "add"),
                f"{cloud.service} gives no more capabilities than usual: {', '.join(map(str, added))}",
            )


def _user(work: Workload, cloud: Cloud, found: Translated) -> Iterator[Note]:
    """Whom a container runs as is up to its image, but in confidential groups."""
    if cloud.name != AZURE:
        return
    bodies = _bodies(found)
    whole = mapping(work.spec.get("securityContext"))
    vain: defaultdict[Steps, set[str]] = defaultdict(set)
    for place, container in containers(work.spec):
        own = mapping(container.get("securityContext"))
        given = mapping(mapping(bodies.get(str(container.get("name")))).get("securityContext"))
        image = cloud.images.get(str(container.get("image")))
        for key in _USER:
            at: Steps = (
                ("spec", "securityContext") if own.get(key) is None else ("spec", *place, "securityContext")
            )
            value = whole.get(key) if own.get(key) is None else own[key]
            kept = key in given or (key == "runAsNonRoot" and given.get("runAsUser"))
            if value is not None and value is not False and not kept and not _as_asked(image, key, value):
                vain[at].add(key)
    for at, keys in vain.items():
        names = [key for key in _USER if key in keys]
        what = f"{' and '.join(names)} {'makes' if len(names) == 1 else 'make'} no difference"
        yield Note(rules.USER, (*at, names[0]), f"{cloud.service} runs an image as it says: {what}")


def _as_asked(image: ImageConfig | None, key: str, value: Any) -> bool:
    """Whether the image is known to name such a user itself."""
    if image is None:
        return False
    user, _, group = image.user.partition(":")
    return {"runAsNonRoot": not image.root, "runAsUser": user == str(value)}.get(key, group == str(value))


def _terminal(work: Workload, cloud: Cloud) -> Iterator[Note]:
    if cloud.name != AZURE:
        return
    for place, container in containers(work.spec):
        for key in ("stdin", "tty"):
            if container.get(key):
                yield Note(
                    rules.TERMINAL,
                    ("spec", *place, key),
                    f"{cloud.service} gives containers no standard input",
                )


def _host_name(work: Workload, cloud: Cloud) -> Iterator[Note]:
    if cloud.name == AZURE and work.spec.get("hostname"):
        message = f"{cloud.service} gives containers a host name of its own"
        yield Note(rules.HOST_NAME, ("spec", "hostname"), message)
    if work.spec.get("setHostnameAsFQDN"):
        message = f"the host name of containers of {cloud.service} is no name in the cluster's DNS"
        yield Note(rules.HOST_NAME, ("spec", "setHostnameAsFQDN"), message)


def _pull_policy(work: Workload, cloud: Cloud) -> Iterator[Note]:
    for place, container in containers(work.spec):
        if cloud.name == AZURE and container.get("imagePullPolicy") == "Never":
            message = f"{cloud.service} pulls every image"
            yield Note(rules.PULL_POLICY, ("spec", *place, "imagePullPolicy"), message)


def _ignored(work: Workload, cloud: Cloud) -> Iterator[Note]:
    for place, container in containers(work.spec):
        for kind in ("requests", "limits"):
            for name in mapping(mapping(container.get("resources")).get(kind)):
                if name in _IGNORED and (cloud.name, name) != (ALIBABA, "ephemeral-storage"):
                    at: Steps = ("spec", *place, "resources", kind, name)
                    yield Note(rules.IGNORED_RESOURCE, at, f"{name} is neither reserved nor limited")


def _unknown(work: Workload) -> Iterator[Note]:
    for steps in unknown_fields(work.spec):
        value = look(work.spec, steps)
        what = f"field {value!r}" if isinstance(value, str) else f"source {steps[-1]!r}"
        yield Note(rules.UNKNOWN_FIELD, ("spec", *steps), f"{what} is not known to the virtual node")


def _late(work: Workload, cloud: Cloud) -> Iterator[Note]:
    """`status.podIP` and `status.podIPs`, and what is made of their variables."""
    for place, container in containers(work.spec):
        late: dict[str, str] = {}
        for index, variable in enumerate(objects(container.get("env"))):
            at: Steps = ("spec", *place, "env", index)
            field = str(mapping(mapping(variable.get("valueFrom")).get("fieldRef")).get("fieldPath"))
            if field in {"status.podIP", "status.podIPs"}:
                late[str(variable.get("name"))] = field
                if field not in cloud.fills:
                    message = f"{field} is not known when the group is made: the variable is left out"
                    yield Note(rules.LATE, (*at, "valueFrom", "fieldRef", "fieldPath"), message)
            for name in _named(variable.get("value"), late):
                yield Note(rules.LATE, (*at, "value"), _unexpanded(name, late[name]))
        for key in ("command", "args"):
            parts = container.get(key)
            for index, part in enumerate(parts if isinstance(parts, list) else ()):
                for name in _named(part, late):
                    yield Note(rules.LATE, ("spec", *place, key, index), _unexpanded(name, late[name]))


def _named(text: Any, names: dict[str, str]) -> list[str]:
    return [name for name in names if f"$({name})" in str(text or "")]


def _unexpanded(name: str, field: str) -> str:
    return (
        f"$({name}) stands for {field}, which is not known when the group is made: it is not filled in here"
    )


def _limits(work: Workload, cloud: Cloud, found: Translated) -> Iterator[Note]:
    """Limits that the translator lowered to what the group has in all."""
    if cloud.name != AZURE:
        return
    given = _bodies(found)
    for place, container in containers(work.spec):
        asked = mapping(mapping(container.get("resources")).get("limits"))
        got = mapping(mapping(mapping(given.get(str(container.get("name")))).get("resources")).get("limits"))
        for name, key, unit in (("cpu", "cpu", Decimal(1)), ("memory", "memoryInGB", _GB)):
            if name not in asked or key not in got:
                continue
            try:
                wanted = quantity.parse(asked[name]) / unit
            except ValueError:
                continue  # the translator has said so
            if wanted > Decimal(str(got[key])):
                at: Steps = ("spec", *place, "resources", "limits", name)
                what = f"{got[key]} cores" if name == "cpu" else f"{got[key]} GB"
                yield Note(rules.LIMITS, at, f"the group has {what} in all: the limit is lowered to that")


def _bodies(found: Translated) -> dict[str, JSON]:
    """The properties of an ACI group's containers, by name."""
    properties = mapping(mapping(found.group).get("properties"))
    return {
        str(one.get("name")): mapping(one.get("properties"))
        for kind in ("initContainers", "containers")
        for one in objects(properties.get(kind))
    }


def _environment(work: Workload, cloud: Cloud, found: Translated, known: Known) -> Iterator[Note]:
    if found.pod is None or work.spec.get("enableServiceLinks") is False:
        return
    links = known.links.get(work.namespace)
    for name, variables in found.pod.env.items():
        own = {one.name for one in variables}
        more, size = links.besides(own) if links is not None else (0, 0)
        count = len(own) + more
        size += sum(taken(one.name, one.value) for one in variables)
        at: Steps = ("spec", "enableServiceLinks")
        if cloud.variables_max is not None and count > cloud.variables_max:
            message = (
                f"container {name} gets {count} variables with the namespace's service links; "
                f"{cloud.service} takes {cloud.variables_max}"
            )
            yield Note(rules.SERVICE_LINKS, at, message)
        elif size > _ENVIRONMENT_MAX:
            message = (
                f"container {name} gets {size} bytes of environment; a program starts with {_ENVIRONMENT_MAX}"
            )
            yield Note(rules.SERVICE_LINKS, at, message)


def _claims(work: Workload, known: Known) -> Iterator[Note]:
    """Claims that are mounted, but whose volumes nobody has read."""
    mounted = {
        str(mount.get("name"))
        for _, container in containers(work.spec)
        for mount in objects(container.get("volumeMounts"))
    }
    for index, volume in enumerate(objects(work.spec.get("volumes"))):
        claim = mapping(volume.get("persistentVolumeClaim")).get("claimName")
        if claim and volume.get("name") in mounted and known.bound(work.namespace, str(claim)) is None:
            message = f"what claim {claim} is bound to is not known here"
            yield Note(rules.CLAIM_UNREAD, ("spec", "volumes", index, "persistentVolumeClaim"), message)
    for index, name in enumerate(claim_names(work)):
        if name in mounted:
            message = f"what claims {name}-… will be bound to is not known here"
            at: Steps = ("spec", "volumeClaimTemplates", index)
            yield Note(rules.CLAIM_UNREAD, at, message, of_object=True)


# --- objects around the pods ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Landed:
    """What of a workload that can land other objects may select."""

    name: str
    namespace: str
    labels: JSON
    annotations: JSON


class Landings:
    """What can land, by namespace and label: of many Services, none has to look at every workload."""

    def __init__(self, landed: Iterable[Landed]) -> None:
        self._by_namespace: defaultdict[str, list[Landed]] = defaultdict(list)
        self._by_label: defaultdict[tuple[str, str, str], list[Landed]] = defaultdict(list)
        for one in landed:
            self._by_namespace[one.namespace].append(one)
            for key, value in one.labels.items():
                self._by_label[(one.namespace, key, str(value))].append(one)

    def candidates(self, namespace: str, labels: JSON) -> Sequence[Landed]:
        """Those of a namespace that may have all these labels."""
        found = [self._by_label.get((namespace, key, str(value)), ()) for key, value in labels.items()]
        return min(found, key=len, default=self._by_namespace.get(namespace, ()))


def about(body: JSON, cloud: Cloud, landed: Landings) -> Iterator[Note]:
    """What a NetworkPolicy or a Service means to pods of the virtual node. Paths are in the object."""
    metadata = mapping(body.get("metadata"))
    namespace = str(metadata.get("namespace") or "default")
    spec = mapping(body.get("spec"))
    group = str(body.get("apiVersion") or "").rpartition("/")[0]
    if body.get("kind") == "NetworkPolicy" and group == "networking.k8s.io":
        selector = mapping(spec.get("podSelector"))
        there = landed.candidates(namespace, mapping(selector.get("matchLabels")))
        hit = [one for one in there if selects(selector, one.labels)]
        if hit:
            yield Note(
                rules.NETWORK_POLICY,
                ("spec", "podSelector"),
                f"it selects pods of {_list(hit)}, for which nothing enforces it",
            )
    elif body.get("kind") == "Service" and not group:
        selector = mapping(spec.get("selector"))
        there = landed.candidates(namespace, selector) if selector else ()
        hit = [one for one in there if selector.items() <= one.labels.items()]
        if hit:
            yield from _service(spec, cloud, hit)


def _service(spec: JSON, cloud: Cloud, hit: list[Landed]) -> Iterator[Note]:
    if spec.get("type") == "NodePort":
        message = f"no port is opened on the virtual node of {_list(hit)}"
        yield Note(rules.NODE_PORT, ("spec", "type"), message)
    without = [
        one
        for one in hit
        if not (cloud.name == ALIBABA and str(one.annotations.get(_IPV6_ANNOTATION)).lower() == "true")
    ]
    families = spec.get("ipFamilies")
    dual = spec.get("ipFamilyPolicy") in {"PreferDualStack", "RequireDualStack"}
    six = isinstance(families, list) and "IPv6" in families
    if without and (six or dual):
        at: Steps = ("spec", "ipFamilies") if six else ("spec", "ipFamilyPolicy")
        yield Note(rules.IPV6, at, f"pods of {_list(without)} have no IPv6 address")


def selects(selector: JSON, labels: JSON) -> bool:
    """Whether a label selector matches; an empty one matches everything."""
    if not mapping(selector.get("matchLabels")).items() <= labels.items():
        return False
    for one in objects(selector.get("matchExpressions")):
        value, values = labels.get(str(one.get("key"))), one.get("values") or []
        holds = {
            "In": value is not None and value in values,
            "NotIn": value is None or value not in values,
            "Exists": value is not None,
            "DoesNotExist": value is None,
        }.get(str(one.get("operator")), False)
        if not holds:
            return False
    return True


def _list(hit: list[Landed]) -> str:
    return ", ".join(one.name for one in hit[:3]) + (f" and {len(hit) - 3} more" if len(hit) > 3 else "")
