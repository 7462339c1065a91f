from __future__ import annotations

import pytest

from vnodectl.clouds.azure.errors import AzureError, AzureThrottled
from vnodectl.errors import CloudUnreachable
from vnodectl.providers.aci.failures import of_create, of_request
from vnodectl.runtime.provider import Rejected, Retryable


@pytest.mark.parametrize(
    ("error", "kind", "reason"),
    [
        (AzureError(400, "InvalidParameter", "x"), Rejected, "InvalidParameter"),
        (AzureError(400, "InaccessibleImage", "x"), Retryable, "ErrImagePull"),
        (AzureError(409, "RegistryErrorResponse", "x"), Retryable, "ErrImagePull"),
        (AzureError(400, "SomethingQuotaReached", "x"), Retryable, "SomethingQuotaReached"),
        (AzureError(409, "ServiceUnavailable", "x"), Retryable, "ServiceUnavailable"),
        (AzureError(403, "AuthorizationFailed", "x"), Retryable, "AuthorizationFailed"),
        (AzureError(404, "ResourceGroupNotFound", "x"), Retryable, "ResourceGroupNotFound"),
        (AzureError(500, "", "x"), Retryable, "AzureError"),
        (CloudUnreachable("x"), Retryable, "CloudUnreachable"),
    ],
)
def test_what_a_failed_create_means(error: AzureError, kind: type, reason: str) -> None:
    meant = of_create(error)
    assert type(meant) is kind
    assert (meant.reason, meant.message) == (reason, "x")


def test_throttling_says_when_to_come_back() -> None:
    meant = of_create(AzureThrottled(429, "TooManyRequests", "x", retry_after=17.0))
    assert isinstance(meant, Retryable)
    assert meant.retry_after == 17.0
    assert of_request(AzureThrottled(429, "TooManyRequests", "x", retry_after=3.0)).retry_after == 3.0
