"""What an error of ARM means for a pod: never possible (`Rejected`) or not now (`Retryable`)."""

from __future__ import annotations

from vnodectl.clouds.azure import AzureError, AzureThrottled
from vnodectl.errors import VnodectlError
from vnodectl.runtime.provider import ProviderError, Rejected, Retryable

# Codes of the service that come with 400 or 409 but may pass later: capacity, quota, registries.
_MAY_PASS = frozenset(
    {
        "AnotherOperationInProgress",
        "ContainerGroupQuotaReached",
        "ContainerGroupTransitioning",
        "InaccessibleImage",
        "RegistryErrorResponse",
        "ResourceGroupBeingDeleted",
        "ServiceUnavailable",
        "ServiceAssociationLinkConflict",
        "StandardCoresQuotaReached",
        "SubnetInUse",
    }
)
_REASONS = {"InaccessibleImage": "ErrImagePull", "RegistryErrorResponse": "ErrImagePull"}


def of_create(error: VnodectlError) -> ProviderError:
    """What a failed create means. A request that is wrong in itself is rejected, all else is tried again."""
    if not isinstance(error, AzureError):
        return Retryable("CloudUnreachable", error.message)
    reason = _REASONS.get(error.code, error.code) or "AzureError"
    if isinstance(error, AzureThrottled):
        return Retryable(reason, error.detail, retry_after=error.retry_after)
    permanent = error.status in {400, 413, 422} and error.code not in _MAY_PASS and "Quota" not in error.code
    if permanent:
        return Rejected(reason, error.detail)
    return Retryable(reason, error.detail, retry_after=error.retry_after)


def of_request(error: VnodectlError) -> Retryable:
    """What any other failed request means: it may work later."""
    if isinstance(error, AzureError):
        return Retryable(error.code or "AzureError", error.detail, retry_after=error.retry_after)
    return Retryable("CloudUnreachable", error.message)
