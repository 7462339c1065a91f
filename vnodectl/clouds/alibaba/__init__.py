"""Alibaba Cloud's OpenAPI: who we are, where it is, and one way to call it.

`AlibabaSettings` says which identity, region and endpoint; `AlibabaSession` calls it, either as plain JSON
(`call` for RPC products, `roa` for path-style ones) or through the vendor's typed ECI client. Nothing of
the SDK is imported before a session calls.
"""

from vnodectl.clouds.alibaba.errors import (
    AlibabaError,
    AlibabaForbidden,
    AlibabaNotFound,
    AlibabaThrottled,
    AlibabaUnauthorized,
)
from vnodectl.clouds.alibaba.session import AlibabaSession
from vnodectl.clouds.alibaba.settings import AlibabaSettings
from vnodectl.clouds.alibaba.transport import CallMeter

__all__ = [
    "AlibabaError",
    "AlibabaForbidden",
    "AlibabaNotFound",
    "AlibabaSession",
    "AlibabaSettings",
    "AlibabaThrottled",
    "AlibabaUnauthorized",
    "CallMeter",
]
