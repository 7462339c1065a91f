"""From a container's description to a command line and an environment. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from vnodectl.engines.api import ContainerSpec

SERVICE_ACCOUNT_DIR = "/var/run/secrets/kubernetes.io/serviceaccount"
SERVICE_ACCOUNT_VARIABLE = "VNODECTL_SERVICE_ACCOUNT_DIR"

Programs = Mapping[str, Sequence[str]]
"""The end of an image's repository, e.g. "vnodectl" or "team/vnodectl", to the start of a command line."""


@dataclass(frozen=True, slots=True)
class Invocation:
    argv: tuple[str, ...]
    env: Mapping[str, str]
    directory: str
    log_speaks: bool = False


def program_of(image: str, programs: Programs) -> str | None:
    """The key of the program that an image is: `registry:5000/team/vnodectl:1.2@sha256:…` → `vnodectl`."""
    path, slash, last = image.partition("@")[0].rpartition("/")
    repository = path + slash + last.partition(":")[0]
    fitting = [key for key in programs if repository == key or repository.endswith(f"/{key}")]
    return max(fitting, key=len, default=None)


def invocation(
    container: ContainerSpec,
    programs: Programs,
    sources: Mapping[str, str],
    *,
    ip: str,
    home: str,
    ambient: Mapping[str, str],
) -> Invocation:
    """How to run a container whose image is one of `programs`.

    `sources` maps mount paths to directories here; `home` is the program's home directory.
    Of the `ambient` environment only what finding programs takes is kept. The directory of the service
    account's token is told by VNODECTL_SERVICE_ACCOUNT_DIR, since its usual path is fixed.
    """
    prefix = tuple(programs[program_of(container.image, programs) or ""])
    command, args = container.command or (), container.args or ()
    if command and PurePosixPath(command[0]).name == prefix[-1].rpartition("/")[2]:
        command = command[1:]
    elif command:
        # Something else than the image's own program, e.g. a shell.
        prefix = ()
    here = [rewritten(word, sources) for word in (*command, *args)]
    env = {name: ambient[name] for name in ("PATH", "PYTHONPATH", "LANG", "SSL_CERT_FILE") if name in ambient}
    env["HOME"] = home
    env |= {name: rewritten(value, sources) for name, value in container.env.items()}
    env |= dict.fromkeys(container.address_env, ip)
    if (account := sources.get(SERVICE_ACCOUNT_DIR)) is not None:
        env[SERVICE_ACCOUNT_VARIABLE] = account
    directory = rewritten(container.working_dir, sources) if container.working_dir else home
    place = directory if Path(directory).is_dir() else home
    return Invocation((*prefix, *here), env, place, container.log_speaks)


def rewritten(word: str, sources: Mapping[str, str]) -> str:
    """A path below a mount, alone or after `=`, becomes the path of the volume here."""
    head, equals, path = word.partition("=")
    if not word.startswith("-") or not equals:
        head, equals, path = "", "", word
    for mount in sorted(sources, key=len, reverse=True):
        if path == mount or path.startswith(mount.rstrip("/") + "/"):
            return head + equals + sources[mount] + path[len(mount.rstrip("/")) :]
    return word
