"""Everything that a translator rejects in a pod, not only the first.

A translator stops at the first thing it cannot do. So what it names is taken out of a copy, as if the user
had mended it, and it is asked again, until it has nothing more to say.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from vnodectl.lint.clouds import Cloud
from vnodectl.lint.manifest import Element, Known, claim_names, completed, resolved, unsound
from vnodectl.lint.mending import mend
from vnodectl.lint.model import JSON, Step, Steps
from vnodectl.lint.paths import ALL, parse
from vnodectl.lint.workloads import Workload
from vnodectl.runtime.facts import Unresolved
from vnodectl.runtime.provider import Rejected, ResolvedPod

_MOST_ROUNDS = 400

_BULKY = ("environmentVariables", "secret", "EnvironmentVar", "ConfigFileToPath")
"""Where groups of ACI and ECI hold environments and files."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something a translator rejected. `at` is the path in the object, `field` the translator's own."""

    reason: str
    message: str
    field: str
    at: Steps


@dataclass(frozen=True, slots=True)
class Translated:
    """`pod` is what the translator accepted in the end, and `group` what it made of it; None where it could
    not be brought to accept anything. `broken` says what kept it from judging at all, `at` where in the pod.
    """

    problems: tuple[Problem, ...]
    pod: ResolvedPod | None = None
    group: JSON | None = None
    broken: str = ""
    at: Steps = ("spec",)

    def outlined(self) -> Translated:
        """Without the pod's environment and files, which may be many times as large as its manifest."""
        pod, group = self.pod, self.group
        return replace(
            self,
            pod=None if pod is None else replace(pod, pod={}, env={}, volumes={}),
            group=None if group is None else _outline(group),
        )


def translate(work: Workload, cloud: Cloud, known: Known) -> Translated:
    """Every problem of the workload's pod."""
    wrong = unsound(work.spec, claim_names(work))
    if wrong is not None:
        return Translated((), broken=wrong[1], at=("spec", *wrong[0]))
    first = _collect(work, cloud, known)
    if not any(one.field == "spec.containers" for one in first.problems):
        return first
    # Containers too many were left out to go on: alone, each has its say too.
    problems = {(one.reason, one.at): one for one in first.problems}
    for index in range(1, len(work.spec["containers"])):
        for one in _collect(work, cloud, known, only=index).problems:
            problems.setdefault((one.reason, one.at), one)
    return replace(first, problems=tuple(problems.values()))


def _collect(work: Workload, cloud: Cloud, known: Known, *, only: int | None = None) -> Translated:
    problems: list[Problem] = []
    try:
        pod = completed(work)
        if only is not None:
            pod["spec"]["containers"] = [pod["spec"]["containers"][only]]
        for _ in range(_MOST_ROUNDS):
            ready = resolved(pod, known, cloud)
            try:
                return Translated(tuple(problems), ready, cloud.translate(ready))
            except Rejected as error:
                problem = Problem(
                    error.reason, _message(error), error.field, _written(pod, work, error.field)
                )
                if problem not in problems:
                    problems.append(problem)
                if not mend(pod, error.reason, error.field):
                    return Translated(tuple(problems))
    except (Unresolved, Rejected) as error:  # before the translator was asked
        return Translated(tuple(problems), broken=str(error))
    except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
        # The API server lets no such pod through, so translators need not expect it.
        return Translated(tuple(problems), broken=_cause(error))
    return Translated(tuple(problems))


def _outline(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _outline(one) for key, one in value.items() if key not in _BULKY}
    return [_outline(one) for one in value] if isinstance(value, list) else value


def _message(error: Rejected) -> str:
    return error.message.removeprefix(f"{error.field}: ") if error.field else error.message


def _cause(error: Exception) -> str:
    return f"{error.args[0]} is missing" if isinstance(error, KeyError) else f"a value is wrong: {error}"


def _written(pod: JSON, work: Workload, field: str) -> Steps:
    """The path in the object of a field of the copy, whose lists may have become shorter."""
    found: list[Step] = []
    value: Any = pod
    for step in parse(field):
        if isinstance(step, int) and isinstance(value, list):
            value = value[step] if step < len(value) else None
            origin = value.origin if isinstance(value, Element) else step
            if isinstance(origin, tuple):
                return origin
            found.append(origin)
        else:
            value = value.get(step) if isinstance(value, dict) else None
            found.append(step)
            if step == "persistentVolumeClaim":
                break  # what follows is in the PersistentVolume
    return work.steps(tuple(found)) if ALL not in found else work.steps(tuple(found[: found.index(ALL)]))
