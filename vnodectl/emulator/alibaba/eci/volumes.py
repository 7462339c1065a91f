"""Volumes of a container group: whether they are well-formed, and what directory stands for each. Pure."""

from __future__ import annotations

import base64
import binascii
import json
import re
from pathlib import Path
from typing import Any

from vnodectl.emulator.alibaba.config import Limits
from vnodectl.emulator.alibaba.errors import ApiError, invalid_parameter
from vnodectl.emulator.alibaba.params import Params
from vnodectl.engines.api import FileContent, VolumeSpec

CONFIG_FILE = "ConfigFileVolume"
TYPES = ("EmptyDirVolume", "NFSVolume", CONFIG_FILE, "FlexVolume", "HostPathVolume", "DiskVolume")
DRIVERS = ("alicloud/disk", "alicloud/nas", "alicloud/oss")
GIB = 1024**3
_SIZE = re.compile(r"(\d+(?:\.\d+)?)(Ki|Mi|Gi|Ti|K|M|G|T)?")
_UNITS = {"K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


def check_volumes(params: Params, limits: Limits) -> set[str]:
    """The names of the volumes. Raises ApiError."""
    volumes = params.items("Volume")
    names = [volume.required("Name") for volume in volumes]
    if len(set(names)) < len(names):
        raise ApiError(
            400,
            "InvalidParameter.DuplicatedVolumeName",
            "The container group includes volumes with duplicate names.",
        )
    for volume in volumes:
        kind = volume.required("Type")
        if kind not in TYPES:
            raise ApiError(400, "UnsupportedVolumeType", f"The volume type {kind} is not supported.")
        if kind == CONFIG_FILE:
            for file in volume.items("ConfigFileVolume.ConfigFileToPath"):
                _check_file(volume, file, limits)
        elif kind == "EmptyDirVolume":
            _bytes(volume.text("EmptyDirVolume.SizeLimit"), volume.at("EmptyDirVolume.SizeLimit"))
        elif kind == "NFSVolume":
            volume.required("NFSVolume.Server")
            volume.required("NFSVolume.Path")
        elif kind == "FlexVolume":
            volume.choice("FlexVolume.Driver", DRIVERS, "")
            _options(volume)
        elif kind == "HostPathVolume":
            raise ApiError(
                403,
                "FeatureAccessRestricted",
                "Access to this feature:[HostPathVolume] is restricted. Please contact Alibaba Cloud ECI "
                "support to request access.",
            )
    return set(names)


def volume_specs(params: Params, shares: Path) -> dict[str, VolumeSpec]:
    """`shares` is the directory that stands for NAS, OSS and disks; `share_paths` must exist."""
    return {volume.text("Name"): _spec(volume, shares) for volume in params.items("Volume")}


def share_paths(params: Params, shares: Path) -> list[Path]:
    specs = volume_specs(params, shares).values()
    return [Path(spec.host_path) for spec in specs if spec.host_path is not None]


def config_files(volume: Params) -> tuple[FileContent, ...]:
    default = _mode(volume.text("ConfigFileVolume.DefaultMode"), 0o644)
    return tuple(
        FileContent(
            file.text("Path").lstrip("/"),
            base64.b64decode(file.text("Content")),
            _mode(file.text("Mode"), default),
        )
        for file in volume.items("ConfigFileVolume.ConfigFileToPath")
    )


def disk_size(volume: Params) -> int:
    """In GiB, 0 where it says none."""
    if volume.text("Type") == "DiskVolume":
        return volume.integer("DiskVolume.DiskSize")
    try:
        return int(_options(volume).get("volumeSize") or 0)
    except (TypeError, ValueError):
        return 0


def is_disk(volume: Params) -> bool:
    return volume.text("Type") == "DiskVolume" or volume.text("FlexVolume.Driver") == "alicloud/disk"


def _spec(volume: Params, shares: Path) -> VolumeSpec:
    kind = volume.text("Type")
    if kind == CONFIG_FILE:
        return VolumeSpec(files=config_files(volume))
    if kind == "EmptyDirVolume":
        return VolumeSpec(
            memory=volume.text("EmptyDirVolume.Medium").casefold() == "memory",
            size_limit=_bytes(volume.text("EmptyDirVolume.SizeLimit"), "SizeLimit"),
        )
    return VolumeSpec(host_path=str(shares.joinpath(*_share(volume))))


def _share(volume: Params) -> tuple[str, ...]:
    """Two groups that name the same share or disk get the same directory."""
    kind = volume.text("Type")
    if kind == "NFSVolume":
        return "nas", _safe(volume.text("NFSVolume.Server")), *_path(volume.text("NFSVolume.Path"))
    if kind == "DiskVolume":
        return "disk", _safe(volume.text("DiskVolume.DiskId") or volume.text("Name"))
    options = _options(volume)
    driver = volume.text("FlexVolume.Driver").rpartition("/")[2]
    identity = str(
        options.get("volumeId") or options.get("bucket") or options.get("server") or volume.text("Name")
    )
    return driver, _safe(identity), *_path(str(options.get("path") or ""))


def _safe(text: str) -> str:
    return _UNSAFE.sub("-", text).strip(".") or "none"


def _path(text: str) -> tuple[str, ...]:
    return tuple(_safe(part) for part in text.split("/") if part and part != "..")


def _options(volume: Params) -> dict[str, Any]:
    text = volume.text("FlexVolume.Options")
    try:
        options = json.loads(text) if text else {}
    except ValueError as error:
        raise invalid_parameter(volume.at("FlexVolume.Options"), "must be a JSON object") from error
    if not isinstance(options, dict):
        raise invalid_parameter(volume.at("FlexVolume.Options"), "must be a JSON object")
    return options


def _check_file(volume: Params, file: Params, limits: Limits) -> None:
    path = file.required("Path")
    if ".." in path.split("/"):
        raise invalid_parameter(file.at("Path"))
    try:
        content = base64.b64decode(file.text("Content"), validate=True)
    except binascii.Error as error:
        raise invalid_parameter(file.at("Content"), "must be encoded in Base64") from error
    if limits.config_file_bytes and len(content) > limits.config_file_bytes:
        raise ApiError(
            400,
            "InvalidParameter.LengthExceeded",
            f"{file.at('Content')} is larger than {limits.config_file_bytes // 1024} KB.",
        )
    for text in (file.text("Mode"), volume.text("ConfigFileVolume.DefaultMode")):
        if text and not text.isdigit():
            raise invalid_parameter(file.at("Mode"), "must be a number")


def _mode(text: str, default: int) -> int:
    """ECI documents four octal digits (0644) in a field that is an integer, where Kubernetes' own number for
    the same is 420: what begins with 0, or is no mode as a decimal number, is read as octal digits."""
    if not text:
        return default
    octal = set(text) <= set("01234567")
    if octal and (text.startswith("0") or int(text) > 0o777):
        return int(text, 8) & 0o777
    return int(text) & 0o777


def _bytes(text: str, place: str) -> int | None:
    """A bare number counts GiB. Raises ApiError."""
    if not text:
        return None
    match = _SIZE.fullmatch(text)
    if match is None:
        raise invalid_parameter(place, "must be a size such as 2 (GiB) or 256Mi")
    return int(float(match[1]) * (_UNITS[match[2]] if match[2] else GIB))
