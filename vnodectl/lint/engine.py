"""Objects → a report. Pure: what a cloud or a registry said comes in as notes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from vnodectl.lint import asked as rules
from vnodectl.lint import beyond, catalogue, patches
from vnodectl.lint.beyond import Landed, Landings
from vnodectl.lint.clouds import Cloud
from vnodectl.lint.documents import Source, lacking
from vnodectl.lint.landing import Landing, VirtualNode, landing
from vnodectl.lint.links import links
from vnodectl.lint.manifest import NODE, Known
from vnodectl.lint.model import JSON, Finding, Report, Steps
from vnodectl.lint.paths import text
from vnodectl.lint.rule import Rule
from vnodectl.lint.translation import Translated, translate
from vnodectl.lint.workloads import Workload, mapping, objects, workload

IGNORE = "vnodectl.io/lint-ignore"
"""An annotation of an object or of its pods: codes or names of rules, separated by commas; * for all."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A workload that can land, where, and what was said of it. `found` has what a cloud may still be asked
    about, and no more: with the environments of all pods there would be no room for a large cluster."""

    work: Workload
    found: Translated
    where: Landing
    notes: tuple[beyond.Note, ...] = ()


@dataclass(frozen=True, slots=True)
class Input:
    """`read` are findings made while reading, `unread` (what, why) of what could not be. `known` are objects
    at hand besides the sources."""

    sources: Sequence[Source]
    cloud: Cloud
    node: VirtualNode
    ignore: frozenset[str] = frozenset()
    read: Sequence[Finding] = ()
    unread: Sequence[tuple[str, str]] = ()
    known: Known = field(default_factory=Known)


def judge(given: Input) -> list[Judged]:
    """The workloads that can land on the virtual node, translated."""
    known = _known(given.sources, given.known)
    spaces = namespaces(given.sources)
    found: list[Judged] = []
    for source in given.sources:
        work = workload(source)
        if work is None:
            continue
        where = landing(work, given.node, spaces.get(work.namespace, {}))
        if where is not Landing.AWAY:
            found.append(_judged(work, where, given.cloud, known))
    return found


def _judged(work: Workload, where: Landing, cloud: Cloud, known: Known) -> Judged:
    made = translate(work, cloud, known)
    if made.broken or _strays(work, where):
        return Judged(work, made.outlined(), where)
    return Judged(work, made.outlined(), where, tuple(beyond.notes(work, cloud, made, known)))


def report(
    given: Input,
    judged: Sequence[Judged],
    online: Sequence[tuple[Judged, beyond.Note]] = (),
    skipped: Sequence[tuple[str, str]] = (),
) -> Report:
    """Everything found, sorted by place. `online` are notes that took asking the cloud."""
    made: list[tuple[Source, frozenset[str], Finding]] = []
    landed: list[Landed] = []
    asked: dict[int, list[beyond.Note]] = {}
    for whose, note in online:
        asked.setdefault(id(whose), []).append(note)
    for one in judged:
        work = one.work
        ignore = given.ignore | _annotated(work.source.body) | _annotated(work.pod)
        made += [(work.source, ignore, finding) for finding in _of(one, given, asked.get(id(one), ()))]
        if not _strays(work, one.where):
            annotations = mapping(mapping(work.pod.get("metadata")).get("annotations"))
            landed.append(Landed(f"{work.kind} {work.name}", work.namespace, work.labels, annotations))
    landings = Landings(landed)
    for source in given.sources:
        ignore = given.ignore | _annotated(source.body)
        for note in beyond.about(source.body, given.cloud, landings):
            made.append((source, ignore, _finding(source, note.rule, note.at, note.message)))
        for unknown in _unknown_ignores(source):
            made.append((source, ignore, unknown))
    kept = {finding for _, ignore, finding in made if finding.code not in ignore}
    kept |= {finding for finding in given.read if finding.code not in given.ignore}
    every = {*given.read, *(finding for _, _, finding in made)}
    return Report(
        findings=tuple(sorted(kept)),
        objects=sum(not lacking(source.body) for source in given.sources),
        pods=len(judged),
        suppressed=len(every - kept),
        skipped=tuple(skipped),
        unread=tuple(sorted({*given.unread, *given.known.unread})),
    )


def _of(one: Judged, given: Input, asked: Sequence[beyond.Note]) -> list[Finding]:
    """The findings of one workload."""
    work, where, cloud = one.work, one.where, given.cloud
    found = _placement(work, where, given.node)
    if _strays(work, where):
        return found  # what its pods would lack on a virtual node is beside the point
    seen: set[Steps] = set()
    for problem in one.found.problems:
        rule = catalogue.of_rejection(problem.reason, problem.field, cloud.name, cloud.os)
        seen.add(problem.at)
        found.append(_finding(work.source, rule, problem.at, problem.message, work))
    if one.found.broken:
        found.append(_finding(work.source, rules.INVALID, work.steps(one.found.at), one.found.broken, work))
        return found
    for note in (*one.notes, *asked):
        at = note.at if note.of_object else work.steps(note.at)
        if at not in seen:
            found.append(_finding(work.source, note.rule, at, note.message, work))
    return found


def _strays(work: Workload, where: Landing) -> bool:
    """A DaemonSet that lands on virtual nodes only because it lands everywhere."""
    return work.kind == "DaemonSet" and where is Landing.NO_SELECTOR


def _placement(work: Workload, where: Landing, node: VirtualNode) -> list[Finding]:
    spec = work.steps(("spec",))
    if work.kind == "DaemonSet" and where in {Landing.LANDS, Landing.NO_SELECTOR}:
        message = "its pods tolerate the taint of virtual nodes, and nothing keeps them off"
        return [_finding(work.source, rules.DAEMON_SET, spec, message, work)]
    if where is Landing.NO_TOLERATION:
        message = f"it selects virtual nodes but does not tolerate virtual-kubelet.io/provider={node.taint}"
        return [_finding(work.source, rules.NO_TOLERATION, spec, message, work)]
    if where is Landing.NO_SELECTOR:
        message = "it tolerates the taint of virtual nodes but does not select them"
        return [_finding(work.source, rules.NO_SELECTOR, spec, message, work)]
    return []


def _finding(source: Source, rule: Rule, at: Steps, message: str, work: Workload | None = None) -> Finding:
    patch = patches.patch(rule, work, at) if work is not None else []
    suggestion = rule.remedy
    if patch and source.live is not None:
        body = json.dumps(patch).replace("'", "'\\''")
        suggestion = f"kubectl patch {source.live} --type=json -p '{body}'"
    elif patch:
        suggestion = f"{rule.remedy} JSON patch: {json.dumps(patch)}"
    return Finding(source.file, source.line(at), text(at), rule.code, rule.severity, message, suggestion)


# --- what the sources say of themselves -------------------------------------------------------------


def namespaces(sources: Sequence[Source]) -> Mapping[str, JSON]:
    """The labels of every Namespace among the objects."""
    return {
        str(mapping(one.body.get("metadata")).get("name")): mapping(
            mapping(one.body.get("metadata")).get("labels")
        )
        for one in sources
        if one.body.get("kind") == "Namespace"
    }


def _known(sources: Sequence[Source], besides: Known) -> Known:
    """What pods refer to, among the objects, over what is at hand besides."""
    kinds: dict[str, dict[tuple[str, str], JSON]] = {
        kind: {} for kind in ("ConfigMap", "Secret", "PersistentVolumeClaim")
    }
    volumes: dict[str, JSON] = dict(besides.volumes)
    services: dict[str, list[JSON]] = {}
    for source in sources:
        body = source.body
        if body.get("apiVersion") != "v1":
            continue
        metadata = mapping(body.get("metadata"))
        namespace = str(metadata.get("namespace") or "default")
        if str(body.get("kind")) in kinds:
            kinds[str(body["kind"])][(namespace, str(metadata.get("name")))] = body
        elif body.get("kind") == "PersistentVolume":
            volumes[str(metadata.get("name"))] = body
        elif body.get("kind") == "Service":
            services.setdefault(namespace, []).append(_addressed(body))
    return Known(
        config_maps={**besides.config_maps, **kinds["ConfigMap"]},
        secrets={**besides.secrets, **kinds["Secret"]},
        links={namespace: links(namespace, found, NODE) for namespace, found in services.items()},
        claims={**besides.claims, **kinds["PersistentVolumeClaim"]},
        volumes=volumes,
    )


def _addressed(service: JSON) -> JSON:
    """A Service as the API server keeps it: with an address, unless it is headless or a mere name."""
    spec = mapping(service.get("spec"))
    if spec.get("type") == "ExternalName" or spec.get("clusterIP"):
        return service
    ports = [one for one in objects(spec.get("ports")) if one.get("port")]
    return {**service, "spec": {**spec, "clusterIP": "10.0.0.10", "ports": ports}}


def _annotated(body: JSON) -> frozenset[str]:
    """The codes that an object's annotation suppresses."""
    found: frozenset[str] = frozenset()
    for pattern in _patterns(body):
        found |= catalogue.matching(pattern)
    return found


def _patterns(body: JSON) -> list[str]:
    value = mapping(mapping(body.get("metadata")).get("annotations")).get(IGNORE)
    return [part.strip() for part in str(value or "").split(",") if part.strip()]


def _unknown_ignores(source: Source) -> list[Finding]:
    work = workload(source)
    places: list[tuple[Steps, JSON]] = [((), source.body)]
    if work is not None and work.at:
        places.append((work.at, work.pod))
    return [
        _finding(
            source,
            rules.UNKNOWN_IGNORE,
            (*at, "metadata", "annotations", IGNORE),
            f"{pattern!r} names no rule",
        )
        for at, body in places
        for pattern in _patterns(body)
        if not catalogue.matching(pattern)
    ]
