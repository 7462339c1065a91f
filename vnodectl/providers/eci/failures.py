"""What an error of ECI means for a pod: never possible (`Rejected`) or not now (`Retryable`).

What is wrong with the node's own settings (a vSwitch, a security group, a key, a right) or with the account
(stock, quota, balance) can be mended while the pod waits. Only what the pod itself asks for, and nobody can
have, ends it.
"""

from __future__ import annotations

import re

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


def of_create(error: VnodectlError) -> ProviderError:
    """What a failed create means."""
    if not isinstance(error, AlibabaError):
        return Retryable("CloudUnreachable", error.message)
    if error.code.startswith(_WRONG) and error.status < 500 and not _MENDABLE.search(error.code):
        return Rejected(reason(error), error.detail)
    return of_request(error)


def of_request(error: VnodectlError) -> Retryable:
    """What any other failed request means: it may work later."""
    if not isinstance(error, AlibabaError):
        return Retryable("CloudUnreachable", error.message)
    if isinstance(error, AlibabaThrottled):
        return Retryable("Throttling", error.detail, retry_after=error.retry_after)
    return Retryable(reason(error), error.detail, retry_after=error.retry_after)


def reason(error: AlibabaError) -> str:
    """The code as one CamelCase word: `InvalidVSwitchId.NotFound` is `InvalidVSwitchIdNotFound`."""
    return "".join(part[:1].upper() + part[1:] for part in re.split(r"[^A-Za-z0-9]+", error.code)) or (
        "AlibabaCloudError"
    )
