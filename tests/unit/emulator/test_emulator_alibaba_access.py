"""Signatures against worked examples of the documentation, and freshness of requests."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any

import pytest

from vnodectl.emulator.alibaba.access import Access
from vnodectl.emulator.alibaba.errors import ApiError
from vnodectl.emulator.alibaba.seed import config_of
from vnodectl.emulator.alibaba.signatures import Message, read
from vnodectl.emulator.alibaba.world import World
from vnodectl.emulator.clock import Clock

KEY = {"accessKeys": [{"id": "testid", "secret": "testsecret"}]}
OLD = 1456273364.0  # 2016-02-24T00:22:44Z
PARAMETERS = {
    "AccessKeyId": "testid",
    "Action": "DescribeRegions",
    "Format": "XML",
    "SignatureMethod": "HMAC-SHA1",
    "SignatureNonce": "3ee8c1b8-83d3-44af-a94f-4e0ad82fd6cf",
    "SignatureVersion": "1.0",
    "Timestamp": "2016-02-23T12:46:24Z",
    "Version": "2014-05-26",
    "Signature": "OLeaidS1JvxuMvnyHOwuJ+uX5qY=",
}
"""The example of "Request signatures" in the reference of ECS."""


def rpc(**changes: str) -> Message:
    parameters = PARAMETERS | changes
    return Message("GET", "/", parameters, parameters, {})


def code_of(work: Any, *arguments: Any) -> str:
    with pytest.raises(ApiError) as caught:
        work(*arguments)
    return caught.value.code


def test_the_documented_example_of_the_rpc_style() -> None:
    signed = read(rpc())
    assert signed.key_id == "testid"
    assert signed.made_with("testsecret")
    assert not signed.made_with("another")
    assert not read(rpc(Version="2014-05-27")).made_with("testsecret")


def test_the_roa_style_by_its_documented_rules() -> None:
    headers = {
        "accept": "application/json",
        "content-md5": "",
        "content-type": "application/json",
        "date": "Tue, 23 Feb 2016 12:46:24 GMT",
        "x-acs-signature-method": "HMAC-SHA1",
        "x-acs-signature-nonce": "n",
    }
    text = (
        "GET\napplication/json\n\napplication/json\nTue, 23 Feb 2016 12:46:24 GMT\n"
        "x-acs-signature-method:HMAC-SHA1\nx-acs-signature-nonce:n\n/clusters/c1?a=1&b"
    )
    signature = base64.b64encode(hmac.new(b"secret", text.encode(), hashlib.sha1).digest()).decode()
    query = {"b": "", "a": "1"}
    message = Message(
        "GET", "/clusters/c1", query, query, headers | {"authorization": f"acs testid:{signature}"}
    )
    assert read(message).made_with("secret")
    assert not read(message).made_with("secret2")


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "MissingAccessKeyId"),
        ({"authorization": "Bearer x"}, "IncompleteSignature"),
        (
            {"authorization": "ACS3-HMAC-SM3 Credential=a,SignedHeaders=b,Signature=c0"},
            "InvalidSignatureMethod",
        ),
        (
            {"authorization": "ACS3-HMAC-SHA256 Credential=a,SignedHeaders=host,Signature=c0"},
            "SignatureDoesNotMatch",
        ),
    ],
)
def test_requests_that_are_not_signed_well(headers: dict[str, str], code: str) -> None:
    assert code_of(read, Message("POST", "/", {}, {}, headers)) == code


@pytest.mark.parametrize("left_out", ["x-acs-action", "host"])
def test_a_header_that_matters_must_be_signed(left_out: str) -> None:
    names = ["host", "x-acs-action", "x-acs-content-sha256"]
    names.remove(left_out)
    headers = {
        "host": "h",
        "x-acs-action": "ListUsage",
        "x-acs-content-sha256": hashlib.sha256(b"").hexdigest(),
        "authorization": f"ACS3-HMAC-SHA256 Credential=a,SignedHeaders={';'.join(names)},Signature=c0",
    }
    assert code_of(read, Message("POST", "/", {}, {}, headers)) == "SignatureDoesNotMatch"


def test_a_body_that_was_changed() -> None:
    headers = {
        "x-acs-content-sha256": hashlib.sha256(b"as it was").hexdigest(),
        "authorization": "ACS3-HMAC-SHA256 Credential=a,SignedHeaders=x-acs-content-sha256,Signature=c0",
    }
    assert code_of(read, Message("POST", "/", {}, {}, headers, b"changed")) == "SignatureDoesNotMatch"


def test_times_are_checked_against_the_real_clock() -> None:
    clock = Clock(lambda: OLD)
    access = Access(World(config_of(KEY), clock))
    assert code_of(access.authenticate, read(rpc())) == "InvalidTimeStamp.Expired"
    assert code_of(read, rpc(Timestamp="yesterday")) == "InvalidTimeStamp.Format"


def test_a_nonce_is_good_once() -> None:
    now = 1456231584.0  # the example's own time
    clock = Clock(lambda: now)
    access = Access(World(config_of(KEY), clock))
    clock.advance(86400)
    assert access.authenticate(read(rpc())).kind == "Account"
    assert code_of(access.authenticate, read(rpc())) == "SignatureNonceUsed"
    access.clear()
    assert access.authenticate(read(rpc())).kind == "Account"
