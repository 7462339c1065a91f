"""Lint of manifests in a text, and the cases that show every rejection of the translators."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from vnodectl.lint import engine
from vnodectl.lint.clouds import Cloud, Placement, cloud
from vnodectl.lint.documents import read
from vnodectl.lint.engine import Input
from vnodectl.lint.landing import virtual_node
from vnodectl.lint.model import Report
from vnodectl.providers.images import ImageConfig

CASES = Path(__file__).resolve().parent.parent / "unit" / "lint" / "cases"
SELECTED = {
    "nodeSelector": {"type": "virtual-kubelet"},
    "tolerations": [{"key": "virtual-kubelet.io/provider", "operator": "Exists", "effect": "NoSchedule"}],
}


@dataclass(frozen=True)
class Case:
    """A pod, where it would land, and the (code, path in the pod) pairs that lint must find: no others."""

    name: str
    placement: Placement
    manifest: str
    expected: frozenset[tuple[str, str]]

    def cloud(self) -> Cloud:
        return cloud(self.placement)


def cases() -> Iterator[Case]:
    """Those of cases/*.yaml; the file's name is the cloud's."""
    for file in sorted(CASES.glob("*.yaml")):
        for entry in yaml.safe_load(file.read_text()):
            repeated = _repeated(entry.get("spec") or {})
            spec = {**SELECTED, "containers": [{"name": "main", "image": "nginx"}], **repeated}
            for index, container in enumerate(spec["containers"]):
                container.setdefault("name", f"c{index}")
                container.setdefault("image", "nginx")
            annotations = entry.get("annotations") or {}
            pod = {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": "web", "annotations": annotations},
                "spec": spec,
            }
            objects = [pod, *(entry.get("besides") or ())]
            yield Case(
                name=f"{file.stem}: {entry['name']}",
                placement=_placement(file.stem, entry.get("placement") or {}),
                manifest="\n---\n".join(yaml.safe_dump(one, sort_keys=False) for one in objects),
                expected=frozenset((code, path) for code, path in entry["expect"]),
            )


def _placement(name: str, given: dict[str, Any]) -> Placement:
    images = {image: ImageConfig(**config) for image, config in (given.pop("images", None) or {}).items()}
    return Placement(name, **given, images=images)


def _repeated(spec: dict[str, Any]) -> dict[str, Any]:
    """`{times: 3, item: {...$i...}}` instead of a list: so many items, `$i` being their number."""
    return {key: _expanded(value) for key, value in spec.items()}


def _expanded(value: Any) -> Any:
    if isinstance(value, dict) and set(value) == {"times", "item"}:
        text = json.dumps(value["item"])
        return [json.loads(text.replace('"$i"', str(i)).replace("$i", str(i))) for i in range(value["times"])]
    if isinstance(value, dict):
        return {key: _expanded(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_expanded(one) for one in value]
    return value


def lint(
    text: str,
    placement: Placement | None = None,
    *,
    ignore: frozenset[str] = frozenset(),
    through: Cloud | None = None,
) -> Report:
    """What lint finds in the manifests of a text, without asking a cloud."""
    there = through or cloud(placement or Placement())
    given = Input(read(text, "test.yaml").sources, there, virtual_node(there.taint, there.os), ignore)
    return engine.report(given, engine.judge(given))


def codes(report: Report) -> set[tuple[str, str]]:
    return {(one.code, one.path) for one in report.findings}
