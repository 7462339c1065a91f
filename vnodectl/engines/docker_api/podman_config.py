"""The configuration of our own podman service, and what a command run in a container leaves behind.

After each `exec`, podman keeps a conmon process for five minutes so that somebody may ask for the exit code.
With a probe every few seconds that is a crowd. The delay can only be set in containers.conf(5).
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

EXIT_DELAY = 5  # seconds; the exit code is asked for as soon as the output has ended
SETTING = f"exit_command_delay = {EXIT_DELAY}"


def config_environment(directory: Path, files: Sequence[Path]) -> dict[str, str]:
    """Write the setting into `directory` and say how podman finds it.

    podman 4.4 and newer merge CONTAINERS_CONF_OVERRIDE with the machine's configuration. Older ones only
    have CONTAINERS_CONF, which replaces it; so that gets a copy where the machine has just one file.
    """
    override = directory / "containers-override.conf"
    override.write_text(f"[engine]\n{SETTING}\n")
    environment = {"CONTAINERS_CONF_OVERRIDE": str(override)}
    if len(files) <= 1:
        whole = directory / "containers.conf"
        whole.write_text(with_exit_delay(files[0].read_text() if files else ""))
        environment["CONTAINERS_CONF"] = str(whole)
    return environment


def with_exit_delay(text: str) -> str:
    """The configuration with our setting, unless it has one of its own."""
    lines = text.splitlines()
    if any(line.strip().startswith("exit_command_delay") for line in lines):
        return text
    for index, line in enumerate(lines):
        if line.strip() == "[engine]":
            return "\n".join([*lines[: index + 1], SETTING, *lines[index + 1 :]]) + "\n"
    return "\n".join([*lines, "[engine]", SETTING]) + "\n"


def machine_config_files(environ: Mapping[str, str], *, root: bool) -> list[Path]:
    """The files that podman reads here, see containers.conf(5)."""
    home = Path(environ.get("XDG_CONFIG_HOME") or Path(environ.get("HOME") or "/") / ".config")
    places = [Path("/usr/share/containers"), Path("/etc/containers")]
    if not root:
        places.append(home / "containers")
    found = []
    for place in places:
        found += [place / "containers.conf", *sorted((place / "containers.conf.d").glob("*.conf"))]
    return [path for path in found if path.is_file()]


def end_lingering(containers: Collection[str], proc: Path = Path("/proc")) -> None:
    """End the conmon processes that wait out their delay for containers which are removed."""
    for path in proc.glob("[0-9]*/cmdline"):
        # Processes come and go, and others' need not be readable.
        with contextlib.suppress(OSError):
            words = path.read_bytes().decode(errors="replace").split("\0")
            is_conmon = words[0].rpartition("/")[2] == "conmon"
            if is_conmon and any(pair in containers for pair in _values(words, "-c")):
                os.kill(int(path.parent.name), signal.SIGTERM)


def _values(words: Sequence[str], option: str) -> list[str]:
    return [after for before, after in itertools.pairwise(words) if before == option]
