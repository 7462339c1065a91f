"""Phases and messages of groups from the states of their containers. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from vnodectl.engines.api import (
    ContainerSpec,
    ContainerStatus,
    GroupPhase,
    GroupStatus,
    NoSuchGroup,
    RegistryAuth,
    RestartPolicy,
    Running,
    Terminated,
    Waiting,
)


def should_restart(policy: RestartPolicy, exit_code: int) -> bool:
    return policy is RestartPolicy.ALWAYS or (policy is RestartPolicy.ON_FAILURE and exit_code != 0)


def init_policy(policy: RestartPolicy) -> RestartPolicy:
    """An init container runs until it succeeds, unless the group never restarts anything."""
    return RestartPolicy.NEVER if policy is RestartPolicy.NEVER else RestartPolicy.ON_FAILURE


def initial_status(spec: ContainerSpec, *, after_init: bool) -> ContainerStatus:
    reason = "PodInitializing" if after_init else "ContainerCreating"
    return ContainerStatus(spec.name, spec.image, Waiting(reason))


def finished(policy: RestartPolicy, status: ContainerStatus) -> bool:
    """Whether a container has ended and will not be started again by itself."""
    state = status.state
    return isinstance(state, Terminated) and not should_restart(policy, state.exit_code)


def group_phase(
    policy: RestartPolicy, containers: Sequence[ContainerStatus], inits: Sequence[ContainerStatus]
) -> GroupPhase:
    """The kubelet's rule (getPhase): waiting for a first start is Pending, all ended decides by codes."""
    if any(finished(init_policy(policy), status) and not succeeded(status) for status in inits):
        return GroupPhase.FAILED
    if any(isinstance(status.state, Waiting) and status.previous is None for status in containers):
        return GroupPhase.PENDING
    if all(finished(policy, status) for status in containers):
        return GroupPhase.SUCCEEDED if all(map(succeeded, containers)) else GroupPhase.FAILED
    return GroupPhase.RUNNING


def succeeded(status: ContainerStatus) -> bool:
    return isinstance(status.state, Terminated) and status.state.exit_code == 0


def container_of(group: GroupStatus, name: str) -> ContainerStatus:
    """Of the containers and init containers. Raises NoSuchGroup."""
    for one in group.containers + group.init_containers:
        if one.name == name:
            return one
    raise NoSuchGroup(f"group {group.name} has no container {name}")


def running_container(group: GroupStatus, name: str) -> ContainerStatus:
    """Raises NoSuchGroup where it does not run."""
    status = container_of(group, name)
    if not isinstance(status.state, Running):
        raise NoSuchGroup(f"container {name} in {group.name} is not running")
    return status


def current_id(status: ContainerStatus) -> str:
    """The container whose log `kubectl logs` shows: the one that runs or ended last; "" before the first."""
    if isinstance(status.state, Running):
        return status.container_id
    if isinstance(status.state, Terminated) and status.state.container_id:
        return status.state.container_id
    return status.previous.container_id if status.previous else ""


def credentials_for(image: str, auths: Sequence[RegistryAuth]) -> RegistryAuth | None:
    """The entry whose server is the longest prefix of the image's own registry and path."""
    reference = full_reference(image)
    best: tuple[int, RegistryAuth] | None = None
    for auth in auths:
        server = auth.server.removeprefix("https://").removeprefix("http://").rstrip("/")
        server = server.removesuffix("/v1").removesuffix("/v2")
        if server in ("index.docker.io", "registry-1.docker.io"):
            server = "docker.io"
        fits = reference == server or reference.startswith(server + "/")
        if fits and (best is None or len(server) > best[0]):
            best = (len(server), auth)
    return best[1] if best else None


def full_reference(image: str) -> str:
    """`nginx:1` → `docker.io/library/nginx:1`, as docker reads it; with a registry host it stays as it is."""
    first, slash, _ = image.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return image
    return f"docker.io/{image}" if slash else f"docker.io/library/{image}"
