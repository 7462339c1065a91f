"""The image of the process that only holds a group's network: made here, as no registry may be reachable.

It is one static ELF executable of a few instructions that sleeps for ever. It is always ended by SIGKILL:
as process 1 of its namespace it ignores signals that it has no handler for.
"""

from __future__ import annotations

import hashlib
import io
import json
import struct
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass

from vnodectl.engines.api import EngineError

PAUSE_IMAGE = "localhost/vnodectl-pause:1"

_BASE = 0x400000
_ELF_HEADER, _PROGRAM_HEADER = 64, 56
_READ_EXECUTE = 5


@dataclass(frozen=True, slots=True)
class _Machine:
    """`number` is the ELF machine, `code` a loop around the system call that sleeps."""

    number: int
    code: bytes


_AMD64 = _Machine(
    62,
    bytes.fromhex(
        "b822000000"  # mov eax, 34 (pause)
        "0f05"  # syscall
        "ebf7"  # jmp to the first instruction
    ),
)
_ARM64 = _Machine(
    183,
    struct.pack(
        "<7I",
        0xD2800000,  # mov x0, #0
        0xD2800001,  # mov x1, #0
        0xD2800002,  # mov x2, #0
        0xD2800003,  # mov x3, #0
        0xD2800928,  # mov x8, #73 (ppoll; there is no pause)
        0xD4000001,  # svc #0
        0x17FFFFFA,  # b to the first instruction
    ),
)


def pause_archive(architecture: str) -> bytes:
    """The image as `docker load` takes it. `architecture` in Go's names; raises EngineError for others."""
    machines = {"amd64": _AMD64, "x86_64": _AMD64, "arm64": _ARM64, "aarch64": _ARM64}
    if architecture not in machines:
        raise EngineError(f"containers on {architecture} are not supported (amd64 and arm64 are)")
    machine = machines[architecture]
    layer = _tar({"pause": (0o755, _executable(machine))})
    name = "amd64" if machine is _AMD64 else "arm64"
    return image_archive(PAUSE_IMAGE, layer, architecture=name, config={"Entrypoint": ["/pause"]})


def image_archive(reference: str, layer: bytes, *, architecture: str, config: Mapping[str, object]) -> bytes:
    """A docker archive of one layer (a tar), ready for `docker load` and `podman load`."""
    image = {
        "architecture": architecture,
        "os": "linux",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
        "history": [{"created": "1970-01-01T00:00:00Z"}],
    }
    document = json.dumps(image).encode()
    name = f"{hashlib.sha256(document).hexdigest()}.json"
    manifest = [{"Config": name, "RepoTags": [reference], "Layers": ["layer.tar"]}]
    return _tar(
        {
            name: (0o644, document),
            "layer.tar": (0o644, layer),
            "manifest.json": (0o644, json.dumps(manifest).encode()),
        }
    )


def _executable(machine: _Machine) -> bytes:
    """An ELF file of one segment, see elf(5)."""
    start = _ELF_HEADER + _PROGRAM_HEADER
    size = start + len(machine.code)
    identity = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)  # 64 bits, little endian, version 1
    header = struct.pack(
        "<HHIQQQIHHHHHH",
        2,  # an executable
        machine.number,
        1,
        _BASE + start,
        _ELF_HEADER,
        0,
        0,
        _ELF_HEADER,
        _PROGRAM_HEADER,
        1,
        0,
        0,
        0,
    )
    segment = struct.pack("<IIQQQQQQ", 1, _READ_EXECUTE, 0, _BASE, _BASE, size, size, 0x1000)
    return identity + header + segment + machine.code


def _tar(files: Mapping[str, tuple[int, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, (mode, content) in files.items():
            entry = tarfile.TarInfo(name)
            entry.mode, entry.size = mode, len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
