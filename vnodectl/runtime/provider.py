"""The contract between the runtime and a provider: what a cloud must do to be a node.

A provider turns one resolved pod into one container group and reports what it sees. It never talks
to the Kubernetes API; the runtime never talks to a cloud. Everything crosses here:

- the runtime calls `create`, `delete` and, on behalf of kubectl, `logs` and `exec`;
- the provider tells what it saw as `Sighting`s, from `observe`, at a pace it chooses itself
  (its cloud's read budget decides).

Facts are level-based: a sighting says how things are, not what happened. Missing one is harmless, as
the next one of the same pod says it again.

Optional abilities are separate protocols at the end of this file; the runtime asks with `isinstance`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable

JSON = dict[str, Any]


@dataclass(frozen=True, slots=True, order=True)
class PodKey:
    """Which pod, exactly: a pod recreated under the same name is another pod."""

    namespace: str
    name: str
    uid: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


# --- what a provider is given ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class EnvVar:
    """A resolved variable. `secret` is true where any part of the value came from a Secret.

    `late` names a field that exists only once the group does (`status.podIP`, `status.podIPs`); `value`
    is then empty, and a provider that can fill it in before the containers start does so.
    """

    name: str
    value: str
    secret: bool = False
    late: str = ""

    def __repr__(self) -> str:
        return f"EnvVar({self.name!r}, {'***' if self.secret else repr(self.value)}, secret={self.secret})"


@dataclass(frozen=True, slots=True)
class File:
    """One file of a volume. `path` is relative to the volume's root, with `/`; `mode` is e.g. 0o644."""

    path: str
    content: bytes = field(repr=False)
    mode: int = 0o644


@dataclass(frozen=True, slots=True)
class Files:
    """A volume made of file contents: configMap, secret, downwardAPI, projected, tokens."""

    files: tuple[File, ...]
    secret: bool = False


@dataclass(frozen=True, slots=True)
class EmptyDir:
    """An empty directory for the life of the group. `medium` is "" or "Memory"; the limit is in bytes."""

    medium: str = ""
    size_limit: int | None = None


@dataclass(frozen=True, slots=True)
class External:
    """A volume source that only the provider understands: the `spec.volumes[]` entry as it stands.

    `secrets` holds the data of the Secrets that the source names (e.g. an Azure Files account key),
    by Secret name, then by key. Where the source is a persistentVolumeClaim, `persistent_volume` is the
    PersistentVolume that the claim is bound to, and `secrets` are those of `SupportsPersistentVolumes`, by
    `namespace/name`.
    """

    source: JSON
    secrets: Mapping[str, Mapping[str, bytes]] = field(default_factory=dict, repr=False)
    persistent_volume: JSON | None = None


Volume = Files | EmptyDir | External


@dataclass(frozen=True, slots=True)
class RegistryCredential:
    """One registry of the pod's pull secrets. `server` is a host, with a port or path where given."""

    server: str
    username: str = field(repr=False)
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ResolvedPod:
    """A pod with everything it refers to looked up.

    `pod` is the API object as plain JSON and must not be changed. `env` is by container name (init
    containers included), `volumes` by name, those that a container mounts; both are complete: a provider
    needs nothing else.
    `field_errors`-like surprises do not exist here: what could not be resolved never reaches a provider.
    """

    key: PodKey
    pod: JSON = field(repr=False)
    env: Mapping[str, tuple[EnvVar, ...]]
    volumes: Mapping[str, Volume]
    registry_credentials: tuple[RegistryCredential, ...] = ()

    @property
    def spec(self) -> JSON:
        spec: JSON = self.pod["spec"]
        return spec


# --- what a provider says -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Seen:
    """How a pod's group is now.

    `status` is a fragment of a Kubernetes PodStatus, plain JSON, of exactly these keys, all optional:
    `phase` (only where the containers do not tell, else the runtime derives it), `reason`, `message`,
    `podIP`, `podIPs`, `hostIP`, `startTime` (RFC 3339, UTC), `containerStatuses`,
    `initContainerStatuses` (full ContainerStatus objects: name, image, imageID, containerID, ready,
    started, restartCount, state, lastState) and `conditions` (extra ones of the provider's own).
    The runtime adds the standard conditions, keeps transition times and sends what differs.
    """

    key: PodKey
    status: JSON


@dataclass(frozen=True, slots=True)
class Gone:
    """The pod's group does not exist (any more): the cloud itself said so, not a failed read."""

    key: PodKey


@dataclass(frozen=True, slots=True)
class Listed:
    """A complete list of this node's groups was read without error.

    `began` is `loop.time()` just before the first request: a group created after that may be
    missing from `keys` though it exists. A list that failed, or of which a page failed, is no `Listed`.
    """

    keys: frozenset[PodKey]
    began: float


@dataclass(frozen=True, slots=True)
class Health:
    """Whether the provider can do its work now; becomes the node's Ready condition.

    `reason` is CamelCase; `message` is one sentence for people.
    """

    ok: bool
    reason: str = "ProviderReady"
    message: str = "the provider answers"


@dataclass(frozen=True, slots=True)
class Happened:
    """Something that people who look at the pod should know: it becomes an event on it.

    `type` is Normal or Warning; `reason` CamelCase, the kubelet's own where it has one (Pulled, Started,
    Killing, Unhealthy, BackOff, Failed); `container` is empty for the pod itself. Unlike the other
    sightings it says what happened, not how things are: say it once. Repeats are counted, not listed.
    """

    key: PodKey
    type: str
    reason: str
    message: str
    container: str = ""


Sighting = Seen | Gone | Listed | Health | Happened


@dataclass(frozen=True, slots=True)
class NodeInfo:
    """What the node offers. Capacity values are Kubernetes quantities, e.g. {"cpu": "800", "pods": "200"}."""

    operating_system: str
    architecture: str
    capacity: Mapping[str, str]
    os_image: str = ""
    kernel_version: str = ""
    container_runtime_version: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


# --- errors ---------------------------------------------------------------------------------------


class ProviderError(Exception):
    """Base of what a provider raises on purpose. `reason` is CamelCase, `message` for people; no secrets."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason
        self.message = message


class Rejected(ProviderError):
    """This pod can never run here as it is written. The pod becomes Failed with this reason.

    `field` is the path in the pod that is at fault, e.g. "spec.containers[0].volumeMounts[1].subPath".
    """

    def __init__(self, reason: str, message: str, *, field: str = "") -> None:
        super().__init__(reason, f"{field}: {message}" if field else message)
        self.field = field


class Retryable(ProviderError):
    """It did not work now but may later (quota, throttling, capacity, network). The pod stays Pending.

    `retry_after` in seconds, where the cloud said so; else the runtime's own back-off applies.
    """

    def __init__(self, reason: str, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(reason, message)
        self.retry_after = retry_after


class NotFound(ProviderError):
    """There is no such group, container, or log."""

    def __init__(self, message: str) -> None:
        super().__init__("NotFound", message)


class Unsupported(ProviderError):
    """The provider cannot do this at all. Said to the user of kubectl as it is."""

    def __init__(self, message: str) -> None:
        super().__init__("Unsupported", message)


# --- kubectl's requests ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LogOptions:
    """`kubectl logs`: `tail` in lines, `limit_bytes` in bytes, `since` in seconds before now.

    `since_time` is RFC 3339 and excludes `since`. `timestamps` puts an RFC 3339 time before each line.
    """

    follow: bool = False
    previous: bool = False
    timestamps: bool = False
    tail: int | None = None
    limit_bytes: int | None = None
    since: float | None = None
    since_time: str | None = None


@dataclass(frozen=True, slots=True)
class TerminalSize:
    """In character cells."""

    width: int
    height: int


class Streams(Protocol):
    """The far end of an exec or attach: kubectl.

    `tty` says whether the caller wants a terminal (then everything comes on stdout).
    """

    tty: bool
    wants_stdin: bool
    wants_stdout: bool
    wants_stderr: bool

    async def read_stdin(self) -> bytes:
        """The next bytes typed; b"" once the caller has closed stdin (or never had one)."""

    async def write_stdout(self, data: bytes) -> None: ...

    async def write_stderr(self, data: bytes) -> None: ...

    def resizes(self) -> AsyncIterator[TerminalSize]:
        """The terminal's size, first as it is, then at each change; ends with the session."""


# --- the contract ---------------------------------------------------------------------------------


class Provider(Protocol):
    """What every provider does."""

    name: str
    """The value of the node's taint `virtual-kubelet.io/provider`: azure, alibabacloud, local."""

    async def node(self) -> NodeInfo:
        """What the node offers now."""

    async def create(self, pod: ResolvedPod) -> None:
        """Ask for the pod's group; return when the cloud has accepted it.

        Idempotent by `pod.key.uid`: a second call for a group that exists changes nothing.
        Raises Rejected or Retryable.
        """

    async def delete(self, key: PodKey, *, grace: float) -> None:
        """Ask that the pod's group goes away; `grace` in seconds between TERM and KILL.

        Returns when the cloud has accepted it; `observe` then says `Gone`. Idempotent; a group that
        does not exist is not an error (`Gone` must still follow). Raises Retryable.
        """

    def observe(self) -> AsyncIterator[Sighting]:
        """Everything seen, until cancelled; called once. Must begin with a `Listed` or a bad `Health`.

        Never raises because a read failed: it reports `Health(ok=False)` and tries again.
        """

    def logs(self, key: PodKey, container: str, options: LogOptions) -> AsyncIterator[bytes]:
        """The container's output in chunks. Raises NotFound or Unsupported at the first step."""

    async def exec(self, key: PodKey, container: str, command: Sequence[str], streams: Streams) -> int:
        """Run `command` and return its exit code (0 where the cloud cannot know it)."""

    async def aclose(self) -> None:
        """Release connections and tasks. Groups keep running."""


@runtime_checkable
class SupportsAttach(Protocol):
    async def attach(self, key: PodKey, container: str, streams: Streams) -> None: ...


@runtime_checkable
class SupportsFileRefresh(Protocol):
    async def refresh(self, pod: ResolvedPod, volumes: frozenset[str]) -> None:
        """Put new contents of the named `Files` volumes in place (a fresh token, a changed ConfigMap)."""


@runtime_checkable
class SupportsPersistentVolumes(Protocol):
    """A provider that mounts (some) PersistentVolumes; for others, claims are not looked up."""

    def volume_secrets(self, persistent_volume: JSON, namespace: str) -> Sequence[tuple[str, str]]:
        """(namespace, name) of the Secrets that it needs for a volume claimed from `namespace`. Pure.

        A PersistentVolume is the cluster administrator's, so what it names may be in another namespace.
        """


@runtime_checkable
class InjectsLateFields(Protocol):
    late_fields: frozenset[str]
    """The fields of `EnvVar.late` that this provider puts in before the containers start. A variable that
    needs another one is empty, and an event says so."""


class ProbeKind(StrEnum):
    """The field of a container that describes the probe."""

    STARTUP = "startupProbe"
    LIVENESS = "livenessProbe"
    READINESS = "readinessProbe"


@runtime_checkable
class SupportsDirectProbes(Protocol):
    """A cloud that cannot run some probes, or whose answer to them is expensive to read, leaves them to the
    runtime, which then runs them as a kubelet does: from where it runs, against the pod's own addresses.
    """

    def direct_probes(self, pod: JSON) -> Mapping[str, frozenset[ProbeKind]]:
        """The probes that the runtime is to run, by container name; init containers (sidecars) included.

        Pure and quick; asked once for each pod. httpGet, tcpSocket and grpc can be named;
        exec probes, probes that the container does not have, and pods without a `podIP` are passed over.

        What is named here decides `started` and `ready` of a running container, without any read of the
        cloud: what `Seen` says of the two then counts for nothing but where the probe is not named (a startup
        probe that the cloud runs still holds the others back through `started`). Do not name a startup or
        liveness probe whose failure cannot be carried out: see `SupportsContainerRestart`.
        """


@runtime_checkable
class SupportsContainerRestart(Protocol):
    async def restart_container(self, key: PodKey, container: str, *, grace: float) -> None:
        """End the running container, `grace` seconds between TERM and KILL: it failed its liveness or startup
        probe. The pod's restart policy says whether the cloud starts it again; `observe` tells of both.

        Returns when the cloud has accepted it. Where the cloud can only restart the whole group, do that.
        Raises NotFound, Unsupported (an event says so, and the container runs on) or Retryable (it is asked
        again at the next failure).
        """


@runtime_checkable
class HearsProbeFailures(Protocol):
    def probe_failed(self, key: PodKey, container: str, kind: ProbeKind) -> None:
        """A direct probe of this pod just failed: a good moment to spend a read on it.

        Told of each single failure, also below the threshold, on the event loop: note it and return.
        """


@runtime_checkable
class SupportsDirectPreStop(Protocol):
    def direct_pre_stop(self, pod: JSON) -> frozenset[str]:
        """Names of the containers whose `lifecycle.preStop` the runtime is to carry out before it calls
        `delete`: exec through `exec`, httpGet against the pod's address, sleep by waiting.

        As with a kubelet it takes no longer than the grace period, what it takes is taken off the `grace`
        that `delete` is given (of which 2 s are always left), and a failure is an event, not an obstacle.
        """


class PortConnection(Protocol):
    """One TCP connection that kubectl port-forward carries: the caller's end of it."""

    async def read(self) -> bytes:
        """The next bytes from the caller; b"" once it sends no more."""

    async def write(self, data: bytes) -> None:
        """Send to the caller; waits while it is slower."""

    async def write_eof(self) -> None:
        """The pod sends no more; the caller may still."""


@runtime_checkable
class SupportsPortForward(Protocol):
    async def port_forward(self, key: PodKey, port: int, connection: PortConnection) -> None:
        """Carry one connection to a TCP port of the pod, returning when both directions are done.

        Cancelled when the caller hangs up. Raises NotFound, Unsupported or Retryable where the port
        cannot be reached; the message goes to the user of kubectl.
        """


@dataclass(frozen=True, slots=True)
class Usage:
    """What one container uses, measured at `time` (seconds since the epoch).

    `cpu_seconds`: core-seconds since the container started; it never shrinks but by a restart. Memory in
    bytes: `working_set` is what cannot be taken back under pressure, `memory` everything.
    """

    time: float
    cpu_seconds: float
    working_set: int
    memory: int


@dataclass(frozen=True, slots=True)
class Interface:
    """One network interface of a pod; totals since the start, in bytes and packets."""

    name: str
    rx_bytes: int
    rx_errors: int
    tx_bytes: int
    tx_errors: int


@dataclass(frozen=True, slots=True)
class PodStats:
    """The newest sample of one pod: its running containers by name, init containers included.

    The first of the interfaces is the default one.
    """

    key: PodKey
    containers: Mapping[str, Usage]
    interfaces: tuple[Interface, ...] = ()


@dataclass(frozen=True, slots=True)
class Metric:
    """A number of a provider's own for /metrics. `name` begins with `vnodectl_` and the provider's name and
    ends as Prometheus wants it (a counter with `_total`); `kind` is counter or gauge; `values` is by the
    values of `labels`, `{(): 1.5}` where there are none.
    """

    name: str
    kind: str
    help: str
    values: Mapping[tuple[str, ...], float]
    labels: tuple[str, ...] = ()


@runtime_checkable
class ReportsMetrics(Protocol):
    def metrics(self) -> Sequence[Metric]:
        """All of its numbers as they are now: always the same metrics. Called at each scrape; be quick."""


@runtime_checkable
class SupportsStats(Protocol):
    stats_batch: int
    """How many pods one call of `stats` may name; what one of them breaks, it breaks for its batch."""

    async def stats(self, keys: Sequence[PodKey]) -> Sequence[PodStats]:
        """The pods that have a sample; those that have none (yet, or any more) are left out.

        Called with at most `stats_batch` keys, several calls at a time; a call that takes too long is
        cancelled. Raises Retryable.
        """
