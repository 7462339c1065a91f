from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from azure.core.exceptions import ClientAuthenticationError

from vnodectl.clouds.azure import errors
from vnodectl.errors import CloudUnreachable, VnodectlError


@pytest.mark.parametrize(
    ("status", "kind", "exit_code"),
    [
        (400, errors.AzureError, 1),
        (401, errors.AzureUnauthorized, 5),
        (403, errors.AzureForbidden, 1),
        (404, errors.AzureNotFound, 1),
        (409, errors.AzureConflict, 1),
        (429, errors.AzureThrottled, 1),
        (503, errors.AzureError, 1),
    ],
)
def test_the_class_follows_the_status(status: int, kind: type, exit_code: int) -> None:
    error = errors.from_response(status, {}, json.dumps({"error": {"code": "Some", "message": "thing"}}))
    assert type(error) is kind
    assert (error.status, error.code, error.detail, error.message) == (status, "Some", "thing", "Some: thing")
    assert error.exit_code == exit_code


def test_details_are_part_of_the_message() -> None:
    body = {"error": {"code": "A", "message": "outer", "details": [{"code": "B", "message": "inner"}]}}
    assert errors.from_response(400, {}, json.dumps(body)).message == "A: outer B: inner"


@pytest.mark.parametrize("text", ["", "<html><body>Bad Gateway</body></html>", "[]"])
def test_an_answer_without_arm_s_shape_still_says_what_happened(text: str) -> None:
    assert "502" in errors.from_response(502, {}, text).message or text == "[]"


def test_a_missing_registration_says_how_to_mend_it() -> None:
    body = {"error": {"code": "MissingSubscriptionRegistration", "message": "not registered"}}
    assert "az provider register" in errors.from_response(409, {}, json.dumps(body)).hint


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "17"}, 17.0),
        ({"retry-after-ms": "1500"}, 1.5),
        ({"x-ms-retry-after-ms": "x", "Retry-After": "3"}, 3.0),
        ({"Retry-After": "soon"}, None),
        ({}, None),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    assert errors.parse_retry_after(headers) == seconds
    assert errors.from_response(429, headers, "").retry_after == seconds


def test_retry_after_may_be_a_date() -> None:
    when = datetime.now(UTC) + timedelta(seconds=90)
    wait = errors.parse_retry_after({"Retry-After": format_datetime(when, usegmt=True)})
    assert wait is not None
    assert 60 < wait <= 90


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer abc.def-ghi",
        "token eyJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJ4In0.c2ln",
        "client_secret=planted&x=1",
        'the "password": "planted" is wrong',
        "AccountKey=planted;EndpointSuffix=x",
    ],
)
def test_what_looks_like_a_secret_is_taken_out(text: str) -> None:
    shown = errors.redact(text)
    assert "***" in shown
    assert not any(word in shown for word in ("planted", "abc.def-ghi", "eyJhbGci", "c2ln"))


def test_known_secrets_are_taken_out_but_no_short_words() -> None:
    assert errors.redact("value s3cr3t-long and ab", ("s3cr3t", "s3cr3t-long", "ab")) == "value *** and ab"


def test_sdk_errors_become_ours() -> None:
    from azure.core import exceptions as sdk
    from azure.identity import CredentialUnavailableError

    with pytest.raises(errors.AzureUnauthorized) as refused, errors.azure_errors():
        raise CredentialUnavailableError(message="Azure CLI not found on path\nlong story")
    assert refused.value.message == "AuthenticationFailed: Azure CLI not found on path"
    assert "az login" in refused.value.hint

    with pytest.raises(CloudUnreachable) as silent, errors.azure_errors():
        raise sdk.ServiceRequestError("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed")
    assert "VNODECTL_CA_BUNDLE" in silent.value.hint

    with pytest.raises(errors.AzureError), errors.azure_errors():
        raise sdk.HttpResponseError("no response at all")


def test_the_same_refused_sign_in_reads_the_same_every_time():
    def refused(trace: str) -> VnodectlError:
        text = f"Authentication failed: AADSTS7000215: Invalid client secret provided. Trace ID: {trace}"
        with pytest.raises(VnodectlError) as caught, errors.azure_errors():
            raise ClientAuthenticationError(message=text)
        return caught.value

    first, second = refused("1-2"), refused("3-4")
    assert first.message == second.message
    assert first.message.count("AADSTS7000215") == 1
    assert "Invalid client secret provided." in first.message


def test_an_error_without_words_gets_some() -> None:
    assert errors.unreachable(TimeoutError()).message == "Azure did not answer: no answer in time"
