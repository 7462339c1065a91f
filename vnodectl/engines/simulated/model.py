"""A simulated group: what is known of it, and how it moves from one moment to the next."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from vnodectl.engines.api import (
    ContainerSpec,
    ContainerStatus,
    GroupPhase,
    GroupSpec,
    GroupStatus,
    RestartPolicy,
    Running,
    Terminated,
    Waiting,
)
from vnodectl.engines.backoff import BackoffPolicy, RestartBackoff
from vnodectl.engines.simulated.script import Script, script_of
from vnodectl.engines.status import finished, group_phase, init_policy, should_restart

STOPPED_CODE = 143  # ended by TERM, as a shell says it


@dataclass(frozen=True, slots=True)
class Actor:
    """One container, reduced to what a simulation needs; no environment, so no secret."""

    name: str
    image: str
    script: Script = field(default_factory=Script)
    sidecar: bool = False


@dataclass(frozen=True, slots=True)
class Sketch:
    """One group. `created` in seconds since the epoch."""

    name: str
    created: float
    ip: str
    policy: RestartPolicy
    actors: tuple[Actor, ...]
    inits: tuple[Actor, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)


def sketch(spec: GroupSpec, created: float, ip: str) -> Sketch:
    """Raises EngineError for a script that cannot be read."""
    return Sketch(
        spec.name,
        created,
        ip,
        spec.restart_policy,
        tuple(_actor(one, init=False) for one in spec.containers),
        tuple(_actor(one, init=True) for one in spec.init_containers),
        dict(spec.labels),
    )


def _actor(spec: ContainerSpec, *, init: bool) -> Actor:
    return Actor(spec.name, spec.image, script_of(spec, init=init and not spec.sidecar), spec.sidecar)


Later = Callable[[float, "SimulatedGroup", Callable[[float], None]], None]


class SimulatedGroup:
    """Moves when it is told the time. `later(moment, group, step)` asks to call `step(moment)` then.

    Every step is told the moment it was due, not the time of day: a group found again after a restart
    goes through its past exactly as it would have.
    """

    __slots__ = (
        "_backoffs",
        "_containers",
        "_later",
        "_passed",
        "_policy",
        "_status",
        "_stopped",
        "round",
        "sketch",
    )

    def __init__(self, outline: Sketch, later: Later, policy: BackoffPolicy) -> None:
        self.sketch = outline
        self.round = 0
        self._later = later
        self._policy = policy
        self._stopped = False
        self._status: GroupStatus | None = None
        self._backoffs: dict[int, RestartBackoff] = {}
        self._passed: set[int] = set()
        waiting = Waiting("PodInitializing" if outline.inits else "ContainerCreating")
        creating = Waiting("ContainerCreating")
        self._containers = [ContainerStatus(one.name, one.image, creating) for one in outline.inits] + [
            ContainerStatus(one.name, one.image, waiting) for one in outline.actors
        ]

    def status(self) -> GroupStatus:
        """The same object as long as nothing has changed."""
        if self._status is None:
            self._status = self._seen()
        return self._status

    def _seen(self) -> GroupStatus:
        count = len(self.sketch.inits)
        inits, containers = tuple(self._containers[:count]), tuple(self._containers[count:])
        passing = [one for one, actor in zip(inits, self.sketch.inits, strict=True) if not actor.sidecar]
        phase = group_phase(self.sketch.policy, containers, passing)
        return GroupStatus(
            self.sketch.name,
            self.sketch.labels,
            GroupPhase.STOPPED if self._stopped else phase,
            self.sketch.created,
            self.sketch.ip,
            containers,
            inits,
        )

    def begin(self, moment: float) -> None:
        self._stopped, self._status = False, None
        self._passed.clear()
        if self.sketch.inits:
            self._start(0, moment)
        else:
            self._start_apps(moment)

    def stop(self, moment: float) -> None:
        self._stopped, self._status = True, None
        self.round += 1
        for index, status in enumerate(self._containers):
            if isinstance(status.state, Running):
                self._set_ended(index, STOPPED_CODE, moment)

    def end(self, container: str, moment: float) -> None:
        """A running container is ended from outside, as by a failed probe."""
        for index, status in enumerate(self._containers):
            if status.name == container and isinstance(status.state, Running):
                self._end(index, STOPPED_CODE, moment)

    def restart(self, moment: float) -> None:
        self.stop(moment)
        self._backoffs.clear()
        self.begin(moment)

    # --- steps ------------------------------------------------------------------------------------

    def _actor(self, index: int) -> Actor:
        inits = self.sketch.inits
        return inits[index] if index < len(inits) else self.sketch.actors[index - len(inits)]

    def _is_init(self, index: int) -> bool:
        return index < len(self.sketch.inits)

    def _policy_of(self, index: int) -> RestartPolicy:
        if not self._is_init(index):
            return self.sketch.policy
        return RestartPolicy.ALWAYS if self._actor(index).sidecar else init_policy(self.sketch.policy)

    def _after_init(self, index: int, moment: float) -> None:
        """What starts once an init container is done, or a sidecar runs."""
        if index + 1 < len(self.sketch.inits):
            self._start(index + 1, moment)
        else:
            self._start_apps(moment)

    def _end_sidecars(self, moment: float) -> None:
        """They are for the others: when those have ended for good, so have they."""
        count = len(self.sketch.inits)
        if all(finished(self.sketch.policy, one) for one in self._containers[count:]):
            for index in range(count):
                if isinstance(self._containers[index].state, Running):
                    self._set_ended(index, 0, moment)

    def _start_apps(self, moment: float) -> None:
        for index in range(len(self.sketch.inits), len(self._containers)):
            self._start(index, moment)

    def _start(self, index: int, moment: float) -> None:
        script = self._actor(index).script
        if script.start > 0:
            self._later(moment + script.start, self, lambda due: self._run(index, due))
        else:
            self._run(index, moment)

    def _run(self, index: int, moment: float) -> None:
        status, actor = self._containers[index], self._actor(index)
        previous = status.state if isinstance(status.state, Terminated) else status.previous
        restarts = status.restarts + 1 if previous is not None else 0
        running = ContainerStatus(
            status.name,
            status.image,
            Running(moment),
            previous,
            restarts,
            ready=not self._is_init(index) or actor.sidecar,
            started=True,
            image_id=f"simulated:{status.image}",
            container_id=f"simulated://{self.sketch.name}/{status.name}/{restarts}",
        )
        self._set(index, running)
        if actor.sidecar and index not in self._passed:
            self._passed.add(index)
            self._after_init(index, moment)
        if actor.script.exit_code is not None:
            code = actor.script.exit_code
            if actor.script.after > 0:
                self._later(
                    moment + actor.script.after, self, lambda due: self._end(index, code, due, restarts)
                )
            else:
                self._end(index, code, moment)

    def _end(self, index: int, code: int, moment: float, run: int | None = None) -> None:
        """`run`: the start that is meant, where another may have come in between."""
        if run is not None and (
            self._containers[index].restarts != run or not isinstance(self._containers[index].state, Running)
        ):
            return
        self._set_ended(index, code, moment)
        if should_restart(self._policy_of(index), code):
            self._again(index, moment)
        elif self._is_init(index) and code == 0:
            self._after_init(index, moment)
        elif not self._is_init(index):
            self._end_sidecars(moment)

    def _again(self, index: int, moment: float) -> None:
        backoff = self._backoffs.setdefault(index, RestartBackoff(self._policy))
        if (wait := backoff.after_exit(moment)) <= 0:
            self._run(index, moment)
            return
        status = self._containers[index]
        ended = status.state if isinstance(status.state, Terminated) else None
        message = f"back-off {wait:g}s restarting failed container={status.name}"
        self._set(index, replace(status, state=Waiting("CrashLoopBackOff", message), previous=ended))
        self._later(moment + wait, self, lambda due: self._run(index, due))

    def _set_ended(self, index: int, code: int, moment: float) -> None:
        status = self._containers[index]
        began = status.state.started_at if isinstance(status.state, Running) else moment
        reason = "Completed" if code == 0 else "Error"
        ended = replace(
            status,
            state=Terminated(code, reason, began, moment, container_id=status.container_id),
            ready=self._is_init(index) and code == 0,
            started=False,
        )
        self._set(index, ended)

    def _set(self, index: int, status: ContainerStatus) -> None:
        self._containers[index] = status
        self._status = None
