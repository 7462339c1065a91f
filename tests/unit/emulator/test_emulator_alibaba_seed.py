"""The seed of an emulated Alibaba Cloud: what it may say, and how mistakes are told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from vnodectl.emulator.alibaba.config import AlibabaConfig
from vnodectl.emulator.alibaba.seed import config_of, config_of_file
from vnodectl.errors import UsageError


def test_nothing_is_needed() -> None:
    assert config_of({}) == AlibabaConfig()


def test_everything_that_is_documented() -> None:
    config = config_of(
        {
            "account": "7",
            "regions": ["cn-hangzhou", {"id": "moon-1", "zones": ["moon-1a", {"id": "moon-1b", "stock": 8}]}],
            "accessKeys": [{"id": "k", "secret": "s"}],
            "users": [
                {
                    "name": "alice",
                    "policies": ["AliyunECIFullAccess", {"name": "mine", "actions": ["cs:*"]}],
                    "accessKeys": [{"id": "k2", "secret": "s2", "active": False}],
                }
            ],
            "roles": [
                {"name": "plain"},
                {
                    "name": "vnode",
                    "maxSessionDuration": 7200,
                    "trust": {"oidc": [{"provider": "rrsa", "subject": "sub", "audience": "aud"}]},
                },
            ],
            "oidcProviders": [{"name": "rrsa", "issuer": "https://issuer.example"}],
            "vpcs": [{"id": "vpc-1", "region": "moon-1"}],
            "vswitches": [{"id": "vsw-1", "vpc": "vpc-1", "zone": "moon-1a", "freeAddresses": 3}],
            "securityGroups": [{"id": "sg-1", "vpc": "vpc-1", "rules": [{"Direction": "ingress"}]}],
            "natGateways": [{"id": "ngw-1", "vpc": "vpc-1", "eips": ["eip-1"]}],
            "eips": [{"id": "eip-1", "region": "moon-1", "address": "203.0.113.1"}],
            "clusters": [{"id": "c1", "name": "ack", "region": "moon-1", "addons": {"a": "1"}}],
            "quotas": {"moon-1": {"vcpu": 10}},
            "instanceTypes": {"ecs.x.large": {"cpu": 2, "memory": 4}},
            "inaccessibleImages": ["^private/"],
            "streamProtocols": [],
            "streamFraming": "raw",
            "timings": {"scheduling": 0, "imageCache": 5},
            "limits": {"createContainerGroup": 3, "strictLengths": True},
        }
    )
    assert config.account == "7"
    assert [zone.stock for zone in config.regions[1].zones] == [None, 8]
    assert [(key.id, key.user, key.active) for key in config.access_keys] == [
        ("k", "", True),
        ("k2", "alice", False),
    ]
    assert [policy.system for policy in config.users[0].policies] == [True, False]
    assert (config.roles[0].accounts, config.roles[1].accounts) == (("7",), ())
    assert (config.roles[1].oidc[0].audience, config.roles[1].max_session) == ("aud", 7200)
    assert config.vswitches[0].free == 3
    assert (config.stream_protocols, config.stream_framing) == ((), "raw")
    assert (config.timings.scheduling, config.timings.image_cache, config.timings.deleting) == (0, 5, 0.5)
    assert (config.limits.create_container_group, config.limits.strict_lengths) == (3, True)
    assert "s2" not in repr(config.access_keys)


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ([], "object"),
        ({"typo": 1}, "typo"),
        ({"regions": []}, "at least one region"),
        ({"regions": [{"id": "moon-1"}]}, "zones is missing"),
        ({"accessKeys": [{"id": "k"}]}, "secret"),
        ({"users": [{"name": "a", "policies": ["NoSuchPolicy"]}]}, "NoSuchPolicy"),
        ({"timings": {"schedulin": 1}}, "schedulin"),
        ({"limits": {"commandLength": "much"}}, "commandLength"),
        ({"streamFraming": "morse"}, "streamFraming"),
        ({"quotas": {"cn-hangzhou": {"pods": 1}}}, "pods"),
    ],
)
def test_mistakes_are_told(document: Any, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        config_of(document)


def test_a_file(tmp_path: Path) -> None:
    file = tmp_path / "seed.json"
    file.write_text(json.dumps({"account": "9"}))
    assert config_of_file(file).account == "9"
    file.write_text("{")
    with pytest.raises(UsageError, match="not JSON"):
        config_of_file(file)
    with pytest.raises(UsageError, match="cannot be read"):
        config_of_file(tmp_path / "none")
