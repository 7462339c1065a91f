"""What an error of ECI means for a pod: never possible (`Rejected`) or not now (`Retryable`).

What is wrong with the node's own settings (a vSwitch, a security group, a key, a right) or with the account
(stock, quota, balance) can be mended while the pod waits. Only what the pod itself asks for, and nobody can
have, ends it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from vnodectl.clouds.alibaba import AlibabaError, AlibabaThrottled
from vnodectl.errors import VnodectlError
from vnodectl.runtime.provider import ProviderError, Rejected, Retryable

# Beginnings of codes that say that the request is wrong in itself.
_WRONG = (
    "BatchCreateNotSupport",
    "CpuOptions",
    "DiskNumber.LimitExceed",
    "DiskVolume.NotSupport",
    "FeatureAccessRestricted",
    "FeatureBasedConstraintConflict",
    "IllegalParameter",
    "InvalidContainer",
    "InvalidImage",
    "InvalidParam",
    "MissingParameter",
    "NotSupport",
    "SpecNotSupport",
    "UnsupportedOperation",
    "VolumeNameDuplicate",
)
# Words in codes of things that are mended elsewhere.
_MENDABLE = re.compile(
    r"vswitch|securitygroup|vpc|zone|eip|resourcegroup|ramrole|quota|stock|balance|\.notfound$", re.IGNORECASE
)


_ABOUT = {
    "vswitch|vpc|zone|stock": ("VSwitchId",),
    "securitygroup": ("SecurityGroupId",),
    "eip|allocationid": ("EipInstanceId",),
    "resourcegroup": ("ResourceGroupId",),
    "ramrole": ("RamRoleName",),
    "imagesnapshot": ("ImageSnapshotId",),
    "stock|instancetype|cpu": ("InstanceType", "Cpu", "Memory"),
}
"""What the code is about, and the parameters that were asked for: the messages do not repeat them."""


def of_create(error: VnodectlError, asked: Mapping[str, Any] | None = None) -> ProviderError:
    """What a failed create means; `asked` are its parameters."""
    if not isinstance(error, AlibabaError):
        return Retryable("CloudUnreachable", error.message)
    message = error.message + _asked(error.code, asked or {})
    if error.code.startswith(_WRONG) and error.status < 500 and not _MENDABLE.search(error.code):
        return Rejected(reason(error), message)
    failure = of_request(error)
    return Retryable(failure.reason, message, retry_after=failure.retry_after)


def _asked(code: str, asked: Mapping[str, Any]) -> str:
    names = {
        name: None
        for words, parameters in _ABOUT.items()
        if re.search(words, code, re.IGNORECASE)
        for name in parameters
    }
    found = ", ".join(f"{name}={asked[name]}" for name in names if asked.get(name))
    return f" ({found})" if found else ""


def of_request(error: VnodectlError) -> Retryable:
    """What any other failed request means: it may work later."""
    if not isinstance(error, AlibabaError):
        return Retryable("CloudUnreachable", error.message)
    if isinstance(error, AlibabaThrottled):
        return Retryable("Throttling", error.message, retry_after=error.retry_after)
    return Retryable(reason(error), error.message, retry_after=error.retry_after)


def reason(error: AlibabaError) -> str:
    """The code as one CamelCase word: `InvalidVSwitchId.NotFound` is `InvalidVSwitchIdNotFound`."""
    return "".join(part[:1].upper() + part[1:] for part in re.split(r"[^A-Za-z0-9]+", error.code)) or (
        "AlibabaCloudError"
    )
