"""Groups as podman or docker containers.

A group is an infra container, which holds the network, and one container per attempt, which joins it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vnodectl.engines import lastwords
from vnodectl.engines.api import (
    ContainerSpec,
    ContainerUsage,
    EngineError,
    LogQuery,
    NoSuchGroup,
    RegistryAuth,
    Running,
    Session,
    Terminated,
    VolumeSpec,
)
from vnodectl.engines.crilog import read_log
from vnodectl.engines.docker_api import bodies, networks, streams
from vnodectl.engines.docker_api.client import ApiError, NoAnswer, connect, translated
from vnodectl.engines.docker_api.events import Watch
from vnodectl.engines.docker_api.oom import killed_for_memory
from vnodectl.engines.docker_api.pause import PAUSE_IMAGE, pause_archive
from vnodectl.engines.docker_api.podman_config import end_lingering
from vnodectl.engines.docker_api.reading import (
    address,
    attempt_state,
    image_of,
    usage_of,
)
from vnodectl.engines.docker_api.service import DockerSocket, PodmanService
from vnodectl.engines.driver import Attempt, BadConfig, CannotRun, Image, Network
from vnodectl.engines.status import full_reference
from vnodectl.engines.tasks import background
from vnodectl.engines.workspace import Workspace

if TYPE_CHECKING:
    from aiodocker import Docker
    from aiodocker.containers import DockerContainer

NOT_FOUND, CONFLICT, NOT_MODIFIED = 404, 409, 304
AT_ONCE = 8  # creations and removals under way: the engines take a lock for each anyway
RETRY = 1.0  # seconds, while the engine does not answer
LOOKS, SETTLE = 3, 0.2  # how often and how far apart (seconds): a state may come later than its event
KILLED = 137


class DockerDriver:
    """A `Driver` over Docker's API. `network` is a bridge's name (made when missing) or "host".

    `rootless` is known once it is open: then the addresses of a bridge are not reachable from here.
    """

    def __init__(
        self,
        name: str,
        service: PodmanService | DockerSocket,
        *,
        scope: str,
        network: str,
        host_address: str = "127.0.0.1",
        ulimits: Sequence[bodies.JSON] = (),
    ) -> None:
        self.name = name
        self.version = ""
        self._service = service
        self._scope = scope
        self._network = network
        self._host_address = host_address
        self._ulimits = tuple(ulimits)
        self._flavor = bodies.Flavor(podman=name == "podman")
        self._connection: Docker | None = None
        self._architecture = ""
        self.rootless = False
        self._watch: Watch | None = None
        self._watching: asyncio.Task[None] | None = None
        self._slots = asyncio.Semaphore(AT_ONCE)

    # --- its own life -----------------------------------------------------------------------------

    async def open(self) -> None:
        await self._service.ensure()
        self._connection = connect(self._service.url)
        with translated():
            info = await self._connection.system.info()
        self.version = str(info.get("ServerVersion") or "")
        self._architecture = str(info["Architecture"])
        options = " ".join(info.get("SecurityOptions") or ())
        self.rootless, selinux = "rootless" in options, "selinux" in options
        self._flavor = bodies.Flavor(self.name == "podman", self._ulimits, selinux)
        if self._network != "host":
            await self.ensure_network(self._network)
        self._watch = Watch(self._connection, self._service, self._scope)
        self._watching = asyncio.create_task(self._watch.run(), name=f"{self.name}-watch")

    async def aclose(self, *, remove: bool) -> None:
        try:
            if remove and self._connection is not None:
                await self._remove_scope()
        finally:
            if self._watching is not None:
                self._watching.cancel()
                await asyncio.gather(self._watching, return_exceptions=True)
            if self._connection is not None:
                # The session is ours, see `connect`.
                await self._connection.session.close()
                await self._connection.close()
                self._connection = None
            await self._service.stop()

    async def ping(self) -> None:
        await self._service.ensure()
        with translated():
            await self._docker.version()

    # --- networks and images, also for those who build a cluster ------------------------------------

    async def ensure_network(self, name: str) -> networks.Bridge:
        return await networks.ensure_bridge(self._docker, self._scope, name)

    async def remove_network(self, name: str) -> None:
        await networks.remove_bridge(self._docker, name)

    async def hold_network(self, name: str) -> networks.Bridge:
        """Keep the bridge up, with its gateway address on this machine, whether or not a group runs.

        The bridge exists only while a container is in it, so a sleeping one is put there. It outlives
        this process; `release_network` takes it away. Idempotent.
        """
        bridge = await self.ensure_network(name)
        labels = {bodies.SCOPE: self._scope, bodies.ROLE: bodies.HOLD}
        body = bodies.hold_body(name, labels, self._flavor)
        await self._ensure_running(bodies.container_name(self._scope, bodies.HOLD, name), body)
        return bridge

    async def release_network(self, name: str) -> None:
        await self._delete(bodies.container_name(self._scope, bodies.HOLD, name))

    async def self_test(self) -> None:
        """Start and remove a container. Raises EngineError with the cause if that cannot be done here."""
        name = bodies.container_name(self._scope, "test")
        labels = {bodies.SCOPE: self._scope, bodies.ROLE: bodies.HOLD}
        try:
            await self._ensure_running(name, bodies.hold_body("host", labels, self._flavor))
        finally:
            await self._delete(name)

    async def image(self, reference: str) -> Image | None:
        try:
            with translated():
                return image_of(await self._docker.images.inspect(reference))
        except ApiError as error:
            if error.status == NOT_FOUND:
                return None
            raise

    async def pull(self, reference: str, auth: RegistryAuth | None) -> Image:
        full = full_reference(reference)
        credentials = (
            {"username": auth.username, "password": auth.password, "serveraddress": auth.server}
            if auth is not None
            else None
        )
        with translated():
            await self._docker.images.pull(full, auth=credentials)
            return image_of(await self._docker.images.inspect(full))

    async def load_image(self, archive: bytes) -> None:
        """Load a docker archive (`docker save`)."""
        with translated():
            await self._docker.images.import_image(archive)

    # --- groups -----------------------------------------------------------------------------------

    async def known_groups(self) -> set[str]:
        with translated():
            volumes = await self._volumes.list(filters=self._mine())
        things = [*await self._list(), *(volumes.get("Volumes") or ())]
        labels = [one["Labels"] or {} for one in things]
        return {str(one[bodies.GROUP]) for one in labels if bodies.GROUP in one}

    async def open_group(self, group: Workspace) -> Network:
        spec = group.spec
        name = self._infra(spec.name)
        if (shown := await self._show(name)) is not None and shown["State"]["Running"]:
            return Network(address(shown, self._network) or self._host_address, fresh=False)
        # What joined the old network cannot come along.
        await self.close_group(spec.name)
        for volume_name, volume in spec.volumes.items():
            if bodies.in_memory(volume):
                with translated():
                    await self._volumes.create(
                        bodies.memory_volume_body(self._scope, spec.name, volume_name, volume)
                    )
        shown = await self._ensure_running(
            name, bodies.infra_body(self._scope, spec, self._network, self._flavor)
        )
        return Network(address(shown, self._network) or self._host_address, fresh=True)

    async def group_lost(self, name: str) -> None:
        if (shown := await self._show(self._infra(name))) is not None:
            await self._until_ended(str(shown["Id"]))

    async def park_group(self, name: str) -> None:
        with contextlib.suppress(ApiError), translated():
            await self._container(self._infra(name)).kill(signal="SIGKILL")

    async def close_group(self, name: str) -> None:
        containers = await self._list(f"{bodies.GROUP}={name}")
        infra = {str(one["Id"]) for one in containers if one["Labels"].get(bodies.ROLE) == bodies.INFRA}
        # podman does not remove a network's holder before those who use it.
        await asyncio.gather(*(self._delete(one["Id"]) for one in containers if one["Id"] not in infra))
        for identity in infra:
            await self._delete(identity)
        with translated():
            volumes = await self._volumes.list(filters=self._mine(f"{bodies.GROUP}={name}"))
            for one in volumes.get("Volumes") or ():
                await (await self._volumes.get(one["Name"])).delete(force=True)

    # --- attempts ---------------------------------------------------------------------------------

    async def attempts(self, group: str) -> list[Attempt]:
        containers = await self._list(f"{bodies.GROUP}={group}", f"{bodies.ROLE}={bodies.APP}")
        shown = await asyncio.gather(*(self._show(one["Id"]) for one in containers))
        found = [await self._attempt(one) for one in shown if one is not None]
        return sorted(found, key=lambda attempt: (attempt.container, attempt.number))

    async def create(self, group: Workspace, container: ContainerSpec, number: int, ip: str) -> Attempt:
        try:
            sources = {
                mount: str(group.source(mount))
                for mount in container.mounts
                if not bodies.in_memory(_volume(group, mount.volume))
            }
            _check_memory_mounts(group, container)
        except EngineError as error:
            raise BadConfig(str(error)) from error
        if (infra := await self._show(self._infra(group.spec.name))) is None:
            raise EngineError("the group's network has gone")
        last_words = _last_words_file(group, container, number)
        place = bodies.Place(str(infra["Id"]), ip, sources, self._hosts(group, ip), last_words)
        body = bodies.container_body(self._scope, group.spec, container, number, place, self._flavor)
        name = bodies.container_name(self._scope, group.spec.name, container.name, str(number))
        async with self._slots:
            try:
                created = await self._create(name, body)
            except ApiError as error:
                if error.status != CONFLICT and "already in use" not in str(error):
                    raise
                # Left by a creation whose answer was never heard.
                await self._delete(name)
                created = await self._create(name, body)
        if (shown := await self._show(created.id)) is None:
            raise EngineError(f"container {container.name} has gone")
        return await self._attempt(shown)

    async def start(self, attempt: Attempt) -> Attempt:
        try:
            async with self._slots:
                with translated():
                    await self._container(_raw(attempt.id)).start()
        except ApiError as error:
            raise CannotRun(str(error)) from error
        if (shown := await self._show(_raw(attempt.id))) is None:
            raise EngineError(f"container {attempt.container} has gone")
        return await self._attempt(shown)

    async def ended(self, attempt: Attempt) -> Terminated:
        shown = await self._until_ended(_raw(attempt.id))
        state = (await self._attempt(shown)).state if shown is not None else None
        if isinstance(state, Terminated):
            return state
        began = attempt.state.started_at if isinstance(attempt.state, Running) else 0.0
        message = "the container was removed from outside"
        return Terminated(KILLED, "Error", began, began, message, container_id=attempt.id)

    async def signal(self, attempt: Attempt, *, kill: bool) -> None:
        if (shown := await self._show(_raw(attempt.id))) is None or not shown["State"]["Running"]:
            return
        signal = "SIGKILL" if kill else str(shown["Config"].get("StopSignal") or "SIGTERM")
        try:
            with translated():
                await self._container(_raw(attempt.id)).kill(signal=signal)
        except ApiError:
            # It may have ended between the two requests.
            shown = await self._show(_raw(attempt.id))
            if shown is not None and shown["State"]["Running"]:
                raise

    async def discard(self, attempt: Attempt) -> None:
        shown = await self._show(_raw(attempt.id))
        await self._delete(_raw(attempt.id))
        if shown is not None and (words := shown["Config"]["Labels"].get(bodies.LAST_WORDS)):
            Path(words).unlink(missing_ok=True)

    async def run(self, attempt: Attempt, command: Sequence[str], timeout: float) -> int:
        async with asyncio.timeout(timeout):
            return await streams.run_exec(self._docker, _raw(attempt.id), command, streams.SilentSession())

    async def logs(self, container_id: str, query: LogQuery) -> AsyncGenerator[bytes, None]:
        if (shown := await self._show(_raw(container_id))) is None:
            raise NoSuchGroup("the log is no longer there")
        async with contextlib.aclosing(self._log(shown, query)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def exec(self, container_id: str, command: Sequence[str], session: Session) -> int:
        return await streams.run_exec(self._docker, _raw(container_id), command, session)

    async def attach(self, container_id: str, session: Session) -> None:
        await streams.run_attach(self._docker, _raw(container_id), session)

    async def usage(self, container_id: str, name: str) -> ContainerUsage:
        with translated():
            stats = await self._container(_raw(container_id)).stats(stream=False)
        return usage_of(name, stats)

    # --- inside -----------------------------------------------------------------------------------

    async def _log(self, shown: dict[str, Any], query: LogQuery) -> AsyncGenerator[bytes, None]:
        """From podman's file where there is one: podman 4.3 joins and loses lines for a `tail` of output that
        does not end in an end of line, and tells times in whole seconds."""
        identity = str(shown["Id"])
        path = Path(str(shown.get("LogPath") or ""))
        if self._flavor.podman and path.is_file():
            source = self._log_file(path, identity, query)
        else:
            source = streams.read_logs(self._docker, identity, query, tty=bool(shown["Config"]["Tty"]))
        async with contextlib.aclosing(source) as chunks:
            async for chunk in chunks:
                yield chunk

    async def _log_file(self, path: Path, identity: str, query: LogQuery) -> AsyncGenerator[bytes, None]:
        async def ending() -> None:
            if query.follow:
                await self._until_ended(identity)

        async with (
            background(ending(), name="log-end") as task,
            contextlib.aclosing(read_log(path, query, task.done)) as chunks,
        ):
            async for chunk in chunks:
                yield chunk

    @property
    def _docker(self) -> Docker:
        if self._connection is None:
            raise NoAnswer(f"{self.name} is not connected")
        return self._connection

    @property
    def _volumes(self) -> Any:
        # aiodocker annotates everything but this class.
        return self._docker.volumes

    def _container(self, identity: str) -> DockerContainer:
        return self._docker.containers.container(identity)

    def _infra(self, group: str) -> str:
        return bodies.container_name(self._scope, group, bodies.INFRA)

    def _hosts(self, group: Workspace, ip: str) -> str:
        """On this machine's own network, its own names hold and the engine adds the group's."""
        if self._network == "host":
            return ""
        path = group.path / "hosts"
        path.write_text(bodies.hosts_file(group.spec, ip))
        path.chmod(0o644)
        return str(path)

    def _mine(self, *labels: str) -> dict[str, list[str]]:
        return {"label": [f"{bodies.SCOPE}={self._scope}", *labels]}

    async def _attempt(self, shown: dict[str, Any]) -> Attempt:
        attempt = attempt_state(self.name, shown, lambda: killed_for_memory(str(shown["Id"])))
        if not isinstance(attempt.state, Terminated):
            return attempt
        said = await self._last_words(shown, failed=attempt.state.exit_code != 0)
        message = ": ".join(filter(None, (attempt.state.message, said)))
        return replace(attempt, state=replace(attempt.state, message=message))

    async def _last_words(self, shown: dict[str, Any], *, failed: bool) -> str:
        labels = shown["Config"]["Labels"]
        path = labels.get(bodies.LAST_WORDS)
        said = lastwords.from_file(Path(path)) if path else ""
        if not said and failed and labels.get(bodies.LOG_SPEAKS) == "true":
            with contextlib.suppress(EngineError):
                said = await lastwords.from_log(self._log(shown, lastwords.LOG_QUERY))
        return said

    async def _list(self, *labels: str) -> list[DockerContainer]:
        with translated():
            return await self._docker.containers.list(all="true", filters=bodies.filters(self._mine(*labels)))

    async def _show(self, identity: str) -> dict[str, Any] | None:
        try:
            with translated():
                return await self._container(identity).show()
        except ApiError as error:
            if error.status == NOT_FOUND:
                return None
            raise

    async def _until_ended(self, identity: str) -> dict[str, Any] | None:
        """What the container looks like once it has ended; None if it was removed."""
        if self._watch is None:
            raise NoAnswer(f"{self.name} is not connected")
        looks = 0
        while True:
            sign = self._watch.expect(identity)
            try:
                shown = await self._show(identity)
            except NoAnswer:
                await asyncio.sleep(RETRY)
                continue
            if shown is None or not shown["State"]["Running"]:
                return shown
            if looks > 0:
                looks -= 1
                await asyncio.sleep(SETTLE)
                continue
            await sign.wait()
            looks = LOOKS

    async def _create(self, name: str, body: bodies.JSON) -> DockerContainer:
        with translated():
            return await self._docker.containers.create(body, name=name)

    async def _ensure_running(self, name: str, body: bodies.JSON) -> dict[str, Any]:
        """A container of the pause image that runs under this name."""
        async with self._slots:
            if (shown := await self._show(name)) is None:
                try:
                    await self._create(name, body)
                except ApiError as error:
                    if error.status != NOT_FOUND:
                        raise
                    await self.load_image(pause_archive(self._architecture))
                    await self._create(name, body)
            elif shown["State"]["Running"]:
                return shown
            with translated():
                await self._container(name).start()
            if (shown := await self._show(name)) is None:
                raise EngineError(f"container {name} has gone")
            return shown

    async def _delete(self, identity: str) -> None:
        try:
            async with self._slots:
                with translated():
                    await self._container(identity).delete(force=True, v=True)
        except ApiError as error:
            if error.status not in (NOT_FOUND, CONFLICT):
                raise
            if await self._show(identity) is not None:
                raise

    async def _remove_scope(self) -> None:
        identities = {str(one["Id"]) for one in await self._list()}
        await asyncio.gather(*map(self.close_group, await self.known_groups()))
        await asyncio.gather(*(self._delete(one["Id"]) for one in await self._list()))
        if self.name == "podman":
            end_lingering(identities)
        await networks.remove_bridges(self._docker, self._scope)
        # Others may still use the image; then it stays until the last of them goes.
        with contextlib.suppress(ApiError), translated():
            await self._docker.images.delete(PAUSE_IMAGE)


def _last_words_file(group: Workspace, container: ContainerSpec, number: int) -> str:
    """An empty file for the container's last words, whoever it runs as; "" where it wants none."""
    if not container.last_words or any(mount.path == container.last_words for mount in container.mounts):
        return ""
    path = group.path / "last-words" / f"{container.name}.{number}"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"")
    path.chmod(0o666)
    return str(path)


def _check_memory_mounts(group: Workspace, container: ContainerSpec) -> None:
    for mount in container.mounts:
        if mount.sub_path and bodies.in_memory(_volume(group, mount.volume)):
            raise EngineError(f"subPath of volume {mount.volume}: not supported for a volume in memory")


def _volume(group: Workspace, name: str) -> VolumeSpec:
    if (volume := group.spec.volumes.get(name)) is None:
        raise EngineError(f"the group has no volume {name}")
    return volume


def _raw(container_id: str) -> str:
    return container_id.partition("://")[2]
