"""A support archive as `vnodectl sysdump` writes it, as far as replaying checks needs it."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

from vnodectl.checks.readers import JSON
from vnodectl.errors import UsageError

MEMBER = "checks/recording.json"
"""Below the archive's single top folder."""

_MOST = 256 * 2**20
"""Bytes of a recording that are read; no honest one comes near it."""


def recording(path: str | Path) -> JSON:
    """The recording of checks in a `.tar.gz`. UsageError where there is none."""
    try:
        with tarfile.open(path, "r:*") as archive:
            for member in archive:
                folder, _, rest = member.name.removeprefix("./").partition("/")
                if rest == MEMBER and folder and member.isfile() and member.size <= _MOST:
                    content = archive.extractfile(member)
                    found = json.loads(content.read()) if content is not None else None
                    if isinstance(found, dict):
                        return found
    except OSError as error:
        raise UsageError(f"--from-sysdump {path}: {error.strerror or error}") from error
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise UsageError(
            f"--from-sysdump {path}: this is no archive of vnodectl sysdump",
            hint="make one: vnodectl sysdump",
        ) from error
    raise UsageError(
        f"--from-sysdump {path}: it holds no recording of checks",
        hint="make one with this version: vnodectl sysdump",
    )
