from __future__ import annotations

import pytest

from vnodectl.clouds.alibaba import AlibabaError, AlibabaForbidden, AlibabaThrottled, AlibabaUnauthorized
from vnodectl.errors import CloudUnreachable
from vnodectl.providers.eci.failures import of_create, of_request, reason
from vnodectl.runtime.provider import Rejected, Retryable


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "InvalidParameter"),
        (400, "InvalidParameter.ValueExceeded"),
        (400, "InvalidParam.Format"),
        (400, "MissingParameter"),
        (403, "FeatureAccessRestricted"),
        (400, "InvalidContainerGroupName.Malformed"),
        (400, "DiskNumber.LimitExceed"),
    ],
)
def test_a_request_that_is_wrong_in_itself(status: int, code: str) -> None:
    error = of_create(AlibabaError(status, code, "why"))
    assert isinstance(error, Rejected)
    assert error.message == f"{code}: why", "the code as Alibaba Cloud writes it"
    assert isinstance(of_request(AlibabaError(status, code, "why")), Retryable)


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (403, "NoStock", "NoStock"),
        (403, "QuotaExceed.Cpu", "QuotaExceedCpu"),
        (400, "InvalidVSwitchId.NotFound", "InvalidVSwitchIdNotFound"),
        (404, "InvalidParameter.NotFound", "InvalidParameterNotFound"),
        (400, "InvalidParameter.VSwitchId", "InvalidParameterVSwitchId"),
        (400, "InvalidSecurityGroupId.NotFound", "InvalidSecurityGroupIdNotFound"),
        (400, "Account.Arrearage", "AccountArrearage"),
        (400, "InvalidBalance.NotEnough", "InvalidBalanceNotEnough"),
        (500, "InvalidParameter", "InvalidParameter"),
        (500, "InternalError", "InternalError"),
        (0, "", "AlibabaCloudError"),
    ],
)
def test_what_can_be_mended_while_the_pod_waits(status: int, code: str, expected: str) -> None:
    error = of_create(AlibabaError(status, code, "why"))
    assert isinstance(error, Retryable)
    assert (error.reason, error.message) == (expected, f"{code}: why" if code else "why")


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("InvalidVSwitchId.NotFound", " (VSwitchId=vsw-1,vsw-2)"),
        ("InvalidSecurityGroupId.NotFound", " (SecurityGroupId=sg-1)"),
        ("OperationDenied.NoStock", " (VSwitchId=vsw-1,vsw-2, Cpu=2, Memory=4)"),
        ("InvalidParameter.CPU.Memory", " (Cpu=2, Memory=4)"),
        ("InvalidParameter", ""),
        ("InvalidAllocationId.NotFound", ""),
    ],
)
def test_what_was_asked_for_is_said_where_the_code_is_about_it(code: str, said: str) -> None:
    asked = {
        "VSwitchId": "vsw-1,vsw-2",
        "SecurityGroupId": "sg-1",
        "Cpu": "2",
        "Memory": "4",
        "Container": [{"EnvironmentVar": "planted"}],
    }
    assert of_create(AlibabaError(403, code, "why"), asked).message == f"{code}: why{said}"


def test_keys_and_rights_can_be_mended_too() -> None:
    assert isinstance(of_create(AlibabaForbidden(403, "Forbidden.RAM", "why")), Retryable)
    assert isinstance(of_create(AlibabaUnauthorized(404, "InvalidAccessKeyId.NotFound", "why")), Retryable)
    assert isinstance(of_create(CloudUnreachable("gone")), Retryable)
    assert of_request(CloudUnreachable("gone")).reason == "CloudUnreachable"


def test_throttling_says_when_to_come_back() -> None:
    error = of_create(AlibabaThrottled(400, "Throttling.User", "slow", retry_after=7.0))
    assert isinstance(error, Retryable)
    assert (error.reason, error.retry_after) == ("Throttling", 7.0)


def test_a_reason_is_one_word() -> None:
    assert reason(AlibabaError(400, "a.b-c D", "x")) == "ABCD"
