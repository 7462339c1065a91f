from __future__ import annotations

import json

import pytest

from vnodectl.clouds.alibaba import (
    AlibabaError,
    AlibabaForbidden,
    AlibabaNotFound,
    AlibabaThrottled,
    AlibabaUnauthorized,
)
from vnodectl.clouds.alibaba.errors import from_response, parse_retry_after, redact, unreachable
from vnodectl.errors import EXIT_FAILED, EXIT_UNREACHABLE


def _refused(status: int, code: str, message: str = "why") -> AlibabaError:
    body = {"Code": code, "Message": message, "RequestId": "R-1", "HostId": "h", "Recommend": "u"}
    return from_response(status, {}, json.dumps(body), ("planted-secret",))


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "Throttling.User", AlibabaThrottled),
        (429, "", AlibabaThrottled),
        (503, "Throttling", AlibabaThrottled),
        (400, "Degrade.Api", AlibabaThrottled),
        (404, "InvalidAccessKeyId.NotFound", AlibabaUnauthorized),
        (400, "InvalidSecurityToken.Expired", AlibabaUnauthorized),
        (403, "Forbidden.AccessKeyDisabled", AlibabaUnauthorized),
        (401, "ErrUnauthorized", AlibabaUnauthorized),
        (403, "Forbidden.RAM", AlibabaForbidden),
        (403, "NoPermission", AlibabaForbidden),
        (403, "", AlibabaForbidden),
        (400, "InvalidVSwitchId.NotFound", AlibabaNotFound),
        (404, "ErrorClusterNotFound", AlibabaNotFound),
        (404, "", AlibabaNotFound),
        (403, "QuotaExceed.Cpu", AlibabaError),
        (403, "NoStock", AlibabaError),
        (400, "InvalidParameter", AlibabaError),
        (500, "InternalError", AlibabaError),
    ],
)
def test_the_kind_follows_from_the_code(status: int, code: str, kind: type[AlibabaError]) -> None:
    assert type(_refused(status, code)) is kind


def test_an_error_says_everything_but_secrets() -> None:
    error = _refused(403, "NoStock", "nothing left, says planted-secret; Password=planted2 x")
    assert error.message == "NoStock: nothing left, says ***; Password=*** x"
    assert (error.code, error.status, error.request_id, error.exit_code) == (
        "NoStock",
        403,
        "R-1",
        EXIT_FAILED,
    )


def test_a_signature_s_text_is_never_repeated() -> None:
    error = _refused(400, "SignatureDoesNotMatch", "server string to sign is:POST&%2F&Container.1=planted")
    assert "planted" not in str(error)
    assert error.exit_code == EXIT_UNREACHABLE


def test_a_clock_that_is_wrong_is_named() -> None:
    assert "clock" in _refused(400, "InvalidTimeStamp.Expired").hint


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<html>Bad gateway</html>", "Alibaba Cloud answered HTTP 502"),
        ("", "Alibaba Cloud answered HTTP 502"),
        ("[]", "Alibaba Cloud answered HTTP 502"),
        ("plain words", "plain words"),
        ('{"code": "X", "message": "lower case"}', "X: lower case"),
    ],
)
def test_answers_that_are_no_error_documents(text: str, message: str) -> None:
    assert from_response(502, {}, text).message == message


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"X-Acs-Retry-After": "1500"}, 1.5),
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "soon"}, None),
        ({"x-acs-retry-after": "0"}, None),
        ({}, None),
    ],
)
def test_when_to_come_back(headers: dict[str, str], seconds: float | None) -> None:
    assert parse_retry_after(headers) == seconds


def test_no_answer_names_the_ca_where_that_is_the_cause() -> None:
    error = unreachable(OSError("CERTIFICATE_VERIFY_FAILED planted-secret"), ("planted-secret",))
    assert "VNODECTL_CA_BUNDLE" in error.hint
    assert "planted-secret" not in error.message
    assert "ConnectionResetError" in unreachable(ConnectionResetError()).message


def test_short_values_are_not_replaced_everywhere() -> None:
    assert redact("a-b-c", ("b",)) == "a-b-c"


def test_an_error_without_words_gets_some() -> None:
    assert unreachable(TimeoutError()).message == "Alibaba Cloud did not answer: no answer in time"
    assert unreachable(OSError()).message == "Alibaba Cloud did not answer: OSError"
