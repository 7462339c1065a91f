from __future__ import annotations

import base64
import json
from types import SimpleNamespace

import pytest

from vnodectl.connector.settings import Settings
from vnodectl.sysdump import redaction
from vnodectl.sysdump.redaction import cleaner

JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJtZSJ9.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    ("line", "cleaned"),
    [
        (f"Authorization: Bearer {JWT}", "Authorization: Bearer ***"),
        ("Authorization: Bearer 0123456789abcdef", "Authorization: Bearer ***"),
        ("Authorization: Basic dXNlcjpwYXNzd29yZA==", "Authorization: Basic ***"),
        ("Protocol=https;AccountKey=abc/def+g==;x=1", "Protocol=https;AccountKey=***;x=1"),
        ("https://a.example.net/c?sv=1&sig=a%2Fb&se=2", "https://a.example.net/c?sv=1&sig=***&se=2"),
        ("https://user:hunter2@example.com/x", "https://***@example.com/x"),
        ('{"password": "hunter2hunter2"}', '{"password": "***"}'),
        ("client_secret=abc~def&grant_type=x", "client_secret=***&grant_type=x"),
        ("token=abcdefghij", "token=***"),
        ("-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----\nok", "***\nok"),
        ("-----BEGIN PRIVATE KEY-----\ncut off", "***"),
    ],
)
def test_what_looks_like_a_credential_is_masked(line: str, cleaned: str) -> None:
    assert cleaner([])(line) == cleaned


@pytest.mark.parametrize(
    "line",
    [
        "node virtual-kubelet-aci-connector-linux-eastus is Ready",
        "GET https://management.azure.com/subscriptions/1/resourceGroups/g?api-version=2023-05-01 200",
        "secret vnode-system/azure mounted; token refreshed",
        "reason: ErrImagePull, message: manifest unknown",
        "2026-01-02T03:04:05Z pods 3 of 5 are Running",
    ],
)
def test_other_text_stays(line: str) -> None:
    assert cleaner([])(line) == line


def test_known_secrets_in_every_form() -> None:
    secret = 'p"w/1 ~é'
    encoded = base64.b64encode(secret.encode()).decode()
    text = f"{secret} {encoded} {json.dumps(secret)} p%22w%2F1%20~%C3%A9"
    cleaned = cleaner([secret])(text)
    assert secret not in cleaned
    assert cleaned.count("***") == 4


def test_short_values_are_words() -> None:
    assert cleaner(["true", "admin"])("admin said true") == "admin said true"


def test_each_line_of_a_secret_of_several_lines() -> None:
    key = "-----BEGIN X-----\nMIIEvQIBADANBg\nkqhkiG9w0BAQEF\n-----END X-----"
    assert cleaner([key])("level=error kqhkiG9w0BAQEF") == "level=error ***"


def test_the_values_of_secrets_and_the_logins_within() -> None:
    auth = base64.b64encode(b"user:from-auth").decode()
    config = {"auths": {"a": {"auth": auth}, "b": {"username": "u", "password": "from-password"}}}
    data = {
        "plain": base64.b64encode(b"value-1").decode(),
        "binary": base64.b64encode(b"\xff\xfe\x00").decode(),
        ".dockerconfigjson": base64.b64encode(json.dumps(config).encode()).decode(),
        "broken": "not base64",
    }
    found = redaction.of_secret({"data": data})
    assert {"value-1", "from-auth", "from-password", auth} <= set(found)


def test_the_kubeconfig_s_credentials() -> None:
    configuration = SimpleNamespace(api_key={"BearerToken": "Bearer abc"}, password="pw")
    assert redaction.of_kubeconfig(configuration) == ["abc", "pw"]


def test_the_user_s_own_settings_and_environment() -> None:
    settings = Settings(client_secret="s3cret", environment_secret="s3cret-2", connector_name="name")
    assert set(redaction.of_settings(settings)) == {"s3cret", "s3cret-2"}
    environ = {
        "AZURE_CLIENT_SECRET": "a",
        "AZURE_CLIENT_ID": "no",
        "ALIBABA_CLOUD_ACCESS_KEY_SECRET": "b",
        "ALIBABA_CLOUD_SECURITY_TOKEN": "c",
        "AZURE_FEDERATED_TOKEN_FILE": "/path",
        "ECI_SECRET_KEY": "d",
        "ECI_ACCESS_KEY": "no",
        "PATH": "/bin",
    }
    assert redaction.of_environment(environ) == ["a", "b", "c", "d"]
