"""What it means to run container groups here, whatever does it.

A group is what Kubernetes calls a pod and Azure a container group: containers that share a network
and volumes, live on one machine, and follow one restart policy. An engine runs groups; it is used by
the `local` provider (pods of a sandbox's node) and by the emulated clouds (what they sell).

Each engine belongs to one *scope* (a sandbox and a role in it, e.g. "demo-node"): it lists, watches
and removes groups of its own scope only, and finds them again after its process was killed.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol


class RestartPolicy(StrEnum):
    ALWAYS = "Always"
    ON_FAILURE = "OnFailure"
    NEVER = "Never"


class PullPolicy(StrEnum):
    ALWAYS = "Always"
    IF_NOT_PRESENT = "IfNotPresent"
    NEVER = "Never"


# --- what to run ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FileContent:
    """`path` relative to the volume's root."""

    path: str
    content: bytes = field(repr=False)
    mode: int = 0o644


@dataclass(frozen=True, slots=True)
class VolumeSpec:
    """A directory of the group. `files` fills it; `memory` puts it in RAM; `size_limit` in bytes.

    `host_path` mounts a directory of this machine instead (the emulator's file shares). A numeric `group`
    owns the directory and may write to it. The size limit holds for volumes in RAM only.
    """

    files: tuple[FileContent, ...] = ()
    memory: bool = False
    size_limit: int | None = None
    host_path: str | None = None
    group: int | None = None


@dataclass(frozen=True, slots=True)
class Mount:
    volume: str
    path: str
    read_only: bool = False
    sub_path: str = ""


@dataclass(frozen=True, slots=True)
class Probe:
    """Exactly one of `command`, `http_path` (with `port`) or `port` alone (TCP). Times in seconds.

    HTTP and TCP go to `host`, by default the group's own address.
    """

    command: tuple[str, ...] = ()
    http_path: str | None = None
    http_scheme: str = "http"
    http_headers: tuple[tuple[str, str], ...] = ()
    port: int | None = None
    host: str = ""
    initial_delay: float = 0
    period: float = 10
    timeout: float = 1
    failure_threshold: int = 3
    success_threshold: int = 1
    grace: float | None = None
    """Between TERM and KILL when the probe gives the container up; None: the group's own."""


@dataclass(frozen=True, slots=True)
class Hook:
    """Exactly one of `command`, `http_path` (with `port`) or `sleep` in seconds.

    HTTP goes to `host`, by default the group's own address.
    """

    command: tuple[str, ...] = ()
    http_path: str | None = None
    http_scheme: str = "http"
    http_headers: tuple[tuple[str, str], ...] = ()
    port: int | None = None
    host: str = ""
    sleep: float | None = None


@dataclass(frozen=True, slots=True)
class RegistryAuth:
    server: str
    username: str = field(repr=False)
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """One container. `command` replaces the image's entrypoint, `args` its arguments (None: the image's own).

    `cpu` in cores and `memory` in bytes are hard limits where given. The variables named in `address_env`
    are set to the group's IP. `user` is a uid, uid:gid or name; `groups` are further numeric groups.
    With `stdin_once`, the end of an attached session's stdin is the end of the container's.

    `sidecar` is of an init container: it is kept running beside all that come after it, whatever the group's
    restart policy. `post_start` is carried out after each start, before the container counts as running,
    `pre_stop` before it is asked to end, within the time that it is given for that.

    Into the file `last_words` ("": none) it may write why it ends, which becomes `Terminated.message`. With
    `log_speaks`, the end of its log does where it fails and has written nothing. The process engine has no
    such files, a simulated container says nothing.
    """

    name: str
    image: str
    command: tuple[str, ...] | None = None
    args: tuple[str, ...] | None = None
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    address_env: tuple[str, ...] = ()
    working_dir: str | None = None
    user: str | None = None
    groups: tuple[int, ...] = ()
    require_non_root: bool = False
    mounts: tuple[Mount, ...] = ()
    cpu: float | None = None
    memory: int | None = None
    tty: bool = False
    stdin: bool = False
    stdin_once: bool = False
    read_only_root: bool = False
    drop_all_capabilities: bool = False
    drop_capabilities: tuple[str, ...] = ()
    add_capabilities: tuple[str, ...] = ()
    no_new_privileges: bool = False
    pull_policy: PullPolicy = PullPolicy.IF_NOT_PRESENT
    liveness: Probe | None = None
    readiness: Probe | None = None
    startup: Probe | None = None
    sidecar: bool = False
    post_start: Hook | None = None
    pre_stop: Hook | None = None
    last_words: str = ""
    log_speaks: bool = False


@dataclass(frozen=True, slots=True)
class GroupSpec:
    """`name` is unique in the scope, [a-z0-9-], at most 63 long. `labels` are kept and given back."""

    name: str
    containers: tuple[ContainerSpec, ...]
    init_containers: tuple[ContainerSpec, ...] = ()
    restart_policy: RestartPolicy = RestartPolicy.ALWAYS
    labels: Mapping[str, str] = field(default_factory=dict)
    volumes: Mapping[str, VolumeSpec] = field(default_factory=dict)
    registry_auth: tuple[RegistryAuth, ...] = field(default=(), repr=False)
    hostname: str = ""
    hosts: tuple[tuple[str, str], ...] = ()
    """Extra lines of /etc/hosts: (IP, name)."""
    dns_servers: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()
    termination_grace: float = 30


# --- what is seen ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Waiting:
    """Not started (again) yet. Reasons are the kubelet's: ContainerCreating, PodInitializing,
    InvalidImageName, ErrImagePull, ImagePullBackOff, ErrImageNeverPull, CrashLoopBackOff,
    CreateContainerConfigError, CreateContainerError."""

    reason: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class Running:
    """`started_at` in seconds since the epoch."""

    started_at: float


@dataclass(frozen=True, slots=True)
class Terminated:
    """Reasons: Completed, Error, OOMKilled, ContainerCannotRun. Times in seconds since the epoch."""

    exit_code: int
    reason: str
    started_at: float
    finished_at: float
    message: str = ""
    signal: int = 0
    container_id: str = ""


ContainerState = Waiting | Running | Terminated


@dataclass(frozen=True, slots=True)
class ContainerStatus:
    """`container_id` like podman://<hex>; `restarts` counts starts after the first."""

    name: str
    image: str
    state: ContainerState
    previous: Terminated | None = None
    restarts: int = 0
    ready: bool = False
    started: bool = False
    image_id: str = ""
    container_id: str = ""


class GroupPhase(StrEnum):
    """STOPPED: stopped by `stop`, can be started again."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    STOPPED = "Stopped"


@dataclass(frozen=True, slots=True)
class GroupEvent:
    """What happened to a group: InspectFailed, Pulling, Pulled, Created, Started, Killing, BackOff, Failed,
    Unhealthy.

    `time` in seconds since the epoch; `container` is empty for the group itself.
    """

    time: float
    type: str
    reason: str
    message: str
    container: str = ""


@dataclass(frozen=True, slots=True)
class GroupStatus:
    """`created_at` in seconds since the epoch; `ip` is empty until the group has one."""

    name: str
    labels: Mapping[str, str]
    phase: GroupPhase
    created_at: float
    ip: str = ""
    containers: tuple[ContainerStatus, ...] = ()
    init_containers: tuple[ContainerStatus, ...] = ()
    events: tuple[GroupEvent, ...] = ()


@dataclass(frozen=True, slots=True)
class GroupGone:
    name: str
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ContainerUsage:
    """`cpu_seconds` since the container started; memory in bytes."""

    name: str
    cpu_seconds: float
    memory_usage: int
    memory_working_set: int
    time: float


# --- errors and sessions --------------------------------------------------------------------------


class EngineError(Exception):
    """The engine could not do what was asked; the message is for people and holds no secret."""


class NoSuchGroup(EngineError):
    """There is no such group or container (attempt) in this scope."""


class NotSupported(EngineError):
    """This engine cannot do that at all (e.g. a simulated container has no files)."""


@dataclass(frozen=True, slots=True)
class LogQuery:
    """`since` in seconds since the epoch; `tail` in lines."""

    follow: bool = False
    previous: bool = False
    timestamps: bool = False
    tail: int | None = None
    since: float | None = None


class Session(Protocol):
    """The user's end of an exec or attach."""

    tty: bool
    wants_stdin: bool

    async def read_stdin(self) -> bytes:
        """b"" at the end."""

    async def write_stdout(self, data: bytes) -> None: ...

    async def write_stderr(self, data: bytes) -> None: ...

    def sizes(self) -> AsyncIterator[tuple[int, int]]:
        """(columns, rows), first as it is, then at each change."""


class Engine(Protocol):
    """Runs the groups of one scope. All methods may be called at the same time from one event loop."""

    name: str
    """podman, docker, process or simulated; shown to people."""

    @property
    def version(self) -> str:
        """Of podman or docker, once started; of this program where it runs the groups itself."""

    def simulates(self, images: Iterable[str]) -> bool:
        """Whether a group of these images only looks as if it ran: it has no processes, files and ports."""

    async def start(self) -> None:
        """Connect, adopt what the scope runs, begin to supervise. Raises EngineError with the cause."""

    async def ping(self) -> None:
        """Raises EngineError while groups cannot be run or seen, e.g. because podman does not answer."""

    async def aclose(self, *, remove: bool = False) -> None:
        """Stop supervising; with `remove` also take away every group, network and file of the scope."""

    async def create(self, spec: GroupSpec) -> None:
        """Accept the group and return; pulling and starting go on behind. Idempotent by name."""

    async def delete(self, name: str, *, grace: float | None = None) -> None:
        """Begin to stop and remove the group; `watch` says `GroupGone` when it is done. Idempotent."""

    async def stop(self, name: str) -> None: ...

    async def restart(self, name: str) -> None:
        """Also starts a stopped group again."""

    async def end_container(self, name: str, container: str, *, grace: float) -> None:
        """End a running container; the restart policy says what comes next. Returns when it was asked to
        end. Nothing happens to one that does not run. Raises NoSuchGroup."""

    async def groups(self) -> list[GroupStatus]: ...

    async def get(self, name: str) -> GroupStatus:
        """Raises NoSuchGroup."""

    def watch(self) -> AsyncIterator[GroupStatus | GroupGone]:
        """Every change from the moment of the call; each watcher gets all of them, none is lost."""

    def logs(self, name: str, container: str, query: LogQuery) -> AsyncGenerator[bytes, None]:
        """Ends when the container does, even if followed. Raises NoSuchGroup at the first step."""

    async def exec(self, name: str, container: str, command: Sequence[str], session: Session) -> int: ...

    async def attach(self, name: str, container: str, session: Session) -> None: ...

    async def usage(self, name: str) -> list[ContainerUsage]: ...

    async def write_files(self, name: str, volume: str, files: Sequence[FileContent]) -> None:
        """Replace the contents of a volume made of files, as one step as seen by the containers."""
