"""Azure Resource Manager: who we are, where it is, and one way to call it.

`AzureSettings` says which cloud, identity and subscription; `AzureSession` calls it, either as plain
JSON through the SDK's own pipeline (`arm`) or through the vendor's typed clients. Nothing of the SDK
is imported before a session is opened.
"""

from vnodectl.clouds.azure.errors import (
    AzureConflict,
    AzureError,
    AzureForbidden,
    AzureNotFound,
    AzureThrottled,
    AzureUnauthorized,
    azure_errors,
)
from vnodectl.clouds.azure.session import ArmResponse, AzureSession
from vnodectl.clouds.azure.settings import AzureSettings
from vnodectl.clouds.azure.transport import CallMeter

__all__ = [
    "ArmResponse",
    "AzureConflict",
    "AzureError",
    "AzureForbidden",
    "AzureNotFound",
    "AzureSession",
    "AzureSettings",
    "AzureThrottled",
    "AzureUnauthorized",
    "CallMeter",
    "azure_errors",
]
