"""Where the API is answered: docker's socket, or a podman service of our own."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import resource
import shutil
import signal
import stat
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vnodectl.engines import child
from vnodectl.engines.api import EngineError
from vnodectl.engines.docker_api.podman_config import config_environment, machine_config_files

SOCKET, LOG = "podman.sock", "podman.log"
SOCKET_PATH_LIMIT = 100  # a Unix socket's path holds 107 bytes, see unix(7)
START_TIMEOUT = 30.0
STOP_TIMEOUT = 10.0
CAP_SYS_RESOURCE = 24


def is_cgroup2(root: Path = Path("/sys/fs/cgroup")) -> bool:
    """Whether the machine has only the unified hierarchy; a hybrid one counts as version 1."""
    return (root / "cgroup.controllers").exists()


def podman_command(*, cgroup2: bool, root: bool, has_runc: bool) -> list[str]:
    """podman, with runc where crun would refuse: as root on cgroup v1 or hybrid machines."""
    command = ["podman"]
    if root and not cgroup2 and has_runc:
        command += ["--runtime", "runc"]
    return command


def here_podman_command() -> list[str]:
    """`podman_command` for this machine."""
    has_runc = shutil.which("runc", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin") is not None
    return podman_command(cgroup2=is_cgroup2(), root=os.geteuid() == 0, has_runc=has_runc)


def podman_ulimits(may_raise: bool, files: int, processes: int, pid_max: int) -> list[dict[str, Any]]:
    """Limits to ask for where this process may not raise any: podman's defaults lie above ours.

    podman lowers its own limit of processes to the kernel's pid_max, so that is as far as it can go.
    """
    if may_raise:
        return []
    most = min(processes, pid_max) if processes > 0 else pid_max
    return [
        {"Name": "nofile", "Soft": files, "Hard": files},
        {"Name": "nproc", "Soft": most, "Hard": most},
    ]


def here_ulimits() -> list[dict[str, Any]]:
    """`podman_ulimits` for this process."""
    capabilities = 0
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            capabilities = int(line.split()[1], 16)
    return podman_ulimits(
        bool(capabilities >> CAP_SYS_RESOURCE & 1),
        resource.getrlimit(resource.RLIMIT_NOFILE)[1],
        resource.getrlimit(resource.RLIMIT_NPROC)[1],
        int(Path("/proc/sys/kernel/pid_max").read_text()),
    )


def socket_directory(directory: Path) -> Path:
    """Where the podman service of `directory` has its socket: there, or among temporary files where that path
    is too long. It is the same each time, so that what a killed process has left is found again."""
    if len(str(directory / SOCKET).encode()) <= SOCKET_PATH_LIMIT:
        return directory
    digest = hashlib.sha256(str(directory.absolute()).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"vnodectl-{os.geteuid()}-{digest}"


def remove_socket(directory: Path) -> None:
    """Remove what the podman service of `directory` has outside of it, once nothing of it runs."""
    if (place := socket_directory(directory)) != directory:
        shutil.rmtree(place, ignore_errors=True)


def _make_private(place: Path) -> None:
    """Others could put a socket of theirs into a directory of theirs. Raises EngineError."""
    with contextlib.suppress(FileExistsError):
        place.mkdir(mode=0o700)
    found = place.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise EngineError(f"{place} is somebody else's; remove it or name another directory in TMPDIR")


def docker_url(environ: Mapping[str, str]) -> str:
    """The URL of docker's own socket. Raises EngineError for another machine's: volumes would be missing."""
    host = environ.get("DOCKER_HOST") or ""
    if host and not host.startswith("unix://"):
        raise EngineError("DOCKER_HOST is not a Unix socket: containers must run on this machine")
    if host:
        return host
    for path in (Path("/run/docker.sock"), Path("/var/run/docker.sock")):
        if path.is_socket():
            return f"unix://{path}"
    raise EngineError("docker's socket is not there: is docker running?")


class PodmanService:
    """`podman system service` on a private socket, for as long as this process lives.

    Containers do not depend on it: they keep running when it ends.
    """

    def __init__(self, directory: Path, command: Sequence[str]) -> None:
        self._directory = directory
        self._command = list(command)
        self._process: asyncio.subprocess.Process | None = None
        self._log = directory / LOG
        self._starting = asyncio.Lock()

    @property
    def url(self) -> str:
        return f"unix://{self._socket}"

    async def ensure(self) -> None:
        """Start it, again if it has died. Raises EngineError with its last words."""
        async with self._starting:
            if self._process is None or self._process.returncode is not None:
                await self._start()

    async def _start(self) -> None:
        if self._socket.parent != self._directory:
            _make_private(self._socket.parent)
        self._socket.unlink(missing_ok=True)
        parent, end = str(os.getpid()), str(int(signal.SIGTERM))
        service = [*self._command, "system", "service", "--time=0", self.url]
        files = machine_config_files(os.environ, root=os.geteuid() == 0)
        settings = config_environment(self._directory, files)
        with self._log.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", child.__file__, parent, end, *service),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **settings},
                # conmon leaves a file where it was started when a container runs out of memory.
                cwd=self._directory,
                start_new_session=True,
            )
        try:
            async with asyncio.timeout(START_TIMEOUT):
                while not await self._listens():
                    if self._process.returncode is not None:
                        raise EngineError(f"podman system service ended: {self._last_words()}")
                    await asyncio.sleep(0.02)
        except TimeoutError as error:
            await self.stop()
            raise EngineError(f"podman system service did not start: {self._last_words()}") from error

    async def _listens(self) -> bool:
        """The socket is there a moment before anybody listens."""
        try:
            _, writer = await asyncio.open_unix_connection(self._socket)
        except OSError:
            return False
        writer.close()
        return True

    async def stop(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            try:
                async with asyncio.timeout(STOP_TIMEOUT):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
        self._socket.unlink(missing_ok=True)
        remove_socket(self._directory)

    @property
    def _socket(self) -> Path:
        return socket_directory(self._directory) / SOCKET

    def _last_words(self) -> str:
        lines = self._log.read_text(errors="replace").strip().splitlines() if self._log.exists() else []
        return " / ".join(lines[-3:]) or "it said nothing"


class DockerSocket:
    """docker's own daemon, which is somebody else's to start and stop."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    @property
    def url(self) -> str:
        return docker_url(self._environ)

    async def ensure(self) -> None:
        """Nothing to start."""

    async def stop(self) -> None:
        """Nothing to stop."""
