"""Pods as container groups of Alibaba Cloud's Elastic Container Instance: the runtime's contract, kept."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from datetime import UTC, datetime

from vnodectl.clouds.alibaba import AlibabaError, AlibabaNotFound, AlibabaSession
from vnodectl.clouds.alibaba.session import ECI_API
from vnodectl.errors import VnodectlError
from vnodectl.providers.carrying import carry
from vnodectl.providers.eci import containers, probes, stats
from vnodectl.providers.eci import exec as eci_exec
from vnodectl.providers.eci import logs as eci_logs
from vnodectl.providers.eci import status as states
from vnodectl.providers.eci import volumes as files
from vnodectl.providers.eci.failures import of_create, of_request
from vnodectl.providers.eci.groups import DETAIL_PAGE, Groups
from vnodectl.providers.eci.limits import ApiLimits
from vnodectl.providers.eci.observe import Observer
from vnodectl.providers.eci.profile import Profile
from vnodectl.providers.eci.settings import EciSettings, NodeIdentity, Pacing
from vnodectl.providers.eci.tracking import Tracked
from vnodectl.providers.eci.translate import Place, fails_fast, secrets, translate
from vnodectl.providers.timing import LoopTimer, Timer
from vnodectl.runtime.provider import (
    JSON,
    LogOptions,
    NodeInfo,
    NotFound,
    PodKey,
    PodStats,
    PortConnection,
    ProbeKind,
    Rejected,
    ResolvedPod,
    Retryable,
    Sighting,
    Streams,
    Unsupported,
)

log = logging.getLogger(__name__)

_GOING = ("IncorrectStatus", "OperationConflict")
_TOKEN_TAKEN = ("Idempotent", "InvalidClientToken", "Duplicated.ClientToken")


class EciProvider:
    """One virtual node's groups in one region. Groups of others in it are never touched."""

    name = "alibabacloud"
    late_fields = containers.LATE
    stats_batch = DETAIL_PAGE

    def __init__(
        self,
        groups: Groups,
        settings: EciSettings,
        identity: NodeIdentity,
        capacity: Mapping[str, str],
        *,
        region: str,
        profile: Callable[[], Profile],
        pacing: Pacing,
        timer: Timer,
    ) -> None:
        self._groups = groups
        self._settings = settings
        self._identity = identity
        self._capacity = dict(capacity)
        self._region = region
        self._profile = profile
        self._timer = timer
        self._observer = Observer(groups, identity.owner, pacing, timer)

    async def node(self) -> NodeInfo:
        return NodeInfo(
            operating_system="linux",
            architecture="amd64",
            capacity=self._capacity,
            os_image="Alibaba Cloud Elastic Container Instance",
            container_runtime_version=f"eci://{ECI_API}",
        )

    # --- pods -------------------------------------------------------------------------------------

    async def create(self, pod: ResolvedPod) -> None:
        """The client token makes a repeated request for the same pod harmless: nothing is looked up first."""
        if self._observer.find(pod.key) is not None:
            return
        place = self._place()
        history = self._observer.history(pod.key)
        wait = history.retry_at - self._timer.now()
        if history.cause is not None and wait > 0:
            if fails_fast(pod, place.profile):
                raise Rejected(history.cause.reason, history.cause.message)
            raise Retryable(history.cause.reason, history.cause.message, retry_after=wait)
        body = translate(pod, place, attempt=history.groups + 1)
        if "VSwitchId" not in body:
            raise Retryable(
                "VSwitchMissing", "no vSwitch is given: set ECI_VSWITCH, or vSwitchIds in eci-profile"
            )
        with self._observer.creating(pod.key):
            try:
                await self._create(pod, body)
            except VnodectlError as error:
                failure = of_create(error, body)
                if isinstance(failure, Retryable) and fails_fast(pod, place.profile) and _final(error):
                    raise Rejected(failure.reason, failure.message) from error
                raise failure from error

    async def _create(self, pod: ResolvedPod, body: JSON) -> None:
        hide = tuple(secrets(pod, body))
        inits = bool(pod.spec.get("initContainers"))
        try:
            group_id = await self._groups.create(body, hide)
        except AlibabaError as error:
            if not error.code.startswith(_TOKEN_TAKEN):
                raise
            # The same pod was asked for with other parameters before, and nobody learnt the answer.
            found = await self._made_for(pod.key)
            if not found:
                self._observer.lost(pod.key)
                raise
            group_id = found[0]
        self._observer.accepted(pod.key, group_id, inits=inits)

    async def _made_for(self, key: PodKey) -> list[str]:
        """Ids of the pod's groups, those that could not be made last."""
        rows = await self._groups.rows_of_pod(key.uid)
        rows.sort(key=lambda row: states.group_status(row) == states.NEVER_MADE)
        return [states.group_id(row) for row in rows]

    async def delete(self, key: PodKey, *, grace: float) -> None:
        """ECI keeps the pod's own termination grace from its creation. Asked again when a shorter one is
        over, it is made to end the group at once."""
        known = self._observer.find(key)
        try:
            if known is None:
                await self._delete_unknown(key, force=grace <= 0)
            elif known.vanished:
                self._observer.gone(key)
            else:
                now = self._timer.now()
                await self._groups.delete(known.group_id, force=grace <= 0 or now >= known.kill_at)
                known.kill_at = min(known.kill_at, now + grace)
                self._observer.deleting(key)
        except AlibabaNotFound:
            self._observer.gone(key)
        except VnodectlError as error:
            going = known is not None and known.deleting_at is not None
            if not (going and isinstance(error, AlibabaError) and error.code.startswith(_GOING)):
                raise of_request(error) from error
        self._observer.forget(key)

    async def _delete_unknown(self, key: PodKey, *, force: bool) -> None:
        found = await self._made_for(key)
        if not found:
            self._observer.gone(key)
            return
        for group_id in found:
            await self._groups.delete(group_id, force=force)
        self._observer.accepted(key, found[0], inits=False)
        self._observer.deleting(key)

    def observe(self) -> AsyncIterator[Sighting]:
        return self._observer.sightings()

    def _place(self) -> Place:
        return Place(self._settings, self._identity, self._region, self._profile())

    async def refresh(self, pod: ResolvedPod, volumes: frozenset[str]) -> None:
        """In place (UpdateContainerGroup). Left alone are pods that never restart, as ECI's documents warn
        that an update may fail their containers, and volumes that had no files when the group was made."""
        if not containers.restarts(pod.spec):
            log.info("pod %s never restarts: its files stay as they are", pod.key)
            return  # an error would be tried again, for nothing
        group_id = self._tracked(pod.key).group_id
        bodies = files.refreshed(pod, volumes)
        try:
            (group,) = await self._groups.describe([group_id]) or [{}]
            made = {one.get("Name") for one in group.get("Volumes") or () if one.get("Type") == files.FILES}
            bodies = [one for one in bodies if one["Name"] in made]
            if bodies:
                await self._groups.update_files(group_id, bodies, tuple(files.secrets(bodies)))
        except VnodectlError as error:
            raise of_request(error) from error

    # --- what the runtime does for ECI ------------------------------------------------------------

    def volume_secrets(self, persistent_volume: JSON, namespace: str) -> Sequence[tuple[str, str]]:
        return files.volume_secrets(persistent_volume, namespace)

    def direct_probes(self, pod: JSON) -> Mapping[str, frozenset[ProbeKind]]:
        restarts = containers.restarts(pod["spec"])
        return {one["name"]: probes.direct(one, restarts=restarts) for one in pod["spec"]["containers"]}

    async def restart_container(self, key: PodKey, container: str, *, grace: float) -> None:  # noqa: ARG002
        """The whole group, as ECI restarts nothing less; with the pod's own grace."""
        try:
            await self._groups.restart(self._tracked(key).group_id)
        except VnodectlError as error:
            raise of_request(error) from error
        self._observer.look_soon()

    def direct_pre_stop(self, pod: JSON) -> frozenset[str]:
        return frozenset(
            one["name"] for one in pod["spec"]["containers"] if containers.sleeps_before_stop(one)
        )

    # --- kubectl ----------------------------------------------------------------------------------

    async def logs(self, key: PodKey, container: str, options: LogOptions) -> AsyncIterator[bytes]:
        group_id = self._tracked(key).group_id

        def ended() -> bool:
            self._observer.look_soon()
            tracked = self._observer.find(key)
            return tracked is None or tracked.finished or tracked.deleting_at is not None

        chunks = eci_logs.read(
            self._groups,
            group_id,
            container,
            options,
            timer=self._timer,
            wall=lambda: datetime.now(UTC),
            ended=ended,
        )
        async with aclosing(chunks):
            async for chunk in chunks:
                yield chunk

    async def exec(self, key: PodKey, container: str, command: Sequence[str], streams: Streams) -> int:
        return await eci_exec.run(self._groups, self._tracked(key).group_id, container, command, streams)

    async def attach(self, key: PodKey, container: str, streams: Streams) -> None:
        """ECI has no attach. What a container prints from now on is followed in its log, as kubectl does
        itself where a container cannot be attached to; nothing can be typed."""
        if streams.wants_stdin:
            raise Unsupported(
                "Elastic Container Instance cannot attach to the input of a container; attach without -i, "
                "or run a command with kubectl exec -it"
            )
        chunks = self.logs(key, container, LogOptions(follow=True, tail=0))
        async with aclosing(chunks):  # type: ignore[type-var]
            async for chunk in chunks:
                await streams.write_stdout(chunk)

    async def port_forward(self, key: PodKey, port: int, connection: PortConnection) -> None:
        """Straight to the pod's address, which its security group must let the connector reach."""
        address = states.address(self._tracked(key).row or {})
        if not address:
            raise Retryable("NoAddress", "the pod has no address yet")
        try:
            await carry(address, port, connection)
        except OSError as error:
            why = error.strerror or "no answer"
            raise Retryable("PortNotReached", f"port {port} of {address}: {why}") from error

    async def stats(self, keys: Sequence[PodKey]) -> Sequence[PodStats]:
        """One call for the whole batch (DescribeMultiContainerGroupMetric). Raises Retryable."""
        known = [one for key in keys if (one := self._observer.find(key)) and not one.vanished]
        if not known:
            return []
        return await stats.read(self._groups, {one.group_id: one.key for one in known})

    async def aclose(self) -> None:
        """The session stays open: it belongs to whoever made it."""
        await self._observer.aclose()

    def _tracked(self, key: PodKey) -> Tracked:
        known = self._observer.find(key)
        if known is None or known.vanished:
            raise NotFound(f"pod {key} has no container group")
        return known


def _final(error: VnodectlError) -> bool:
    """Whether ECI itself refused, as opposed to being busy or out of reach."""
    return isinstance(error, AlibabaError) and 400 <= error.status < 500 and error.status != 429


def create_provider(
    session: AlibabaSession,
    settings: EciSettings,
    *,
    node_name: str,
    connector: str,
    capacity: Mapping[str, str],
    profile: Callable[[], Profile] | None = None,
    pacing: Pacing | None = None,
    limits: ApiLimits | None = None,
    timer: Timer | None = None,
) -> EciProvider:
    """The provider of one virtual node; `session` must be open and stays the caller's.

    `connector` is the release's name, `capacity` Kubernetes quantities by resource name. `profile` gives
    the cluster's `eci-profile` as it is now; it is asked for every new pod. `limits` is shared by the nodes
    of one account, where there are several in this process. Raises `UsageError` for a name
    that does not fit into a tag, or without a region.
    """
    timer = timer or LoopTimer()
    identity = NodeIdentity(node_name, connector)
    return EciProvider(
        Groups(session, identity.owner, limits or ApiLimits(timer)),
        settings,
        identity,
        capacity,
        region=session.region,
        profile=profile or Profile,
        pacing=pacing or Pacing(),
        timer=timer,
    )
