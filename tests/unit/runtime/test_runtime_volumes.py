"""Volumes as a kubelet resolves them."""

from __future__ import annotations

import base64

import pytest

from vnodectl.lint.manifest import unknown_fields
from vnodectl.lint.paths import text
from vnodectl.runtime.facts import Facts, NodeFacts, TokenRequest, Unresolved, needs
from vnodectl.runtime.provider import EmptyDir, External, File, Files, Rejected
from vnodectl.runtime.volumes import resolve

NODE = NodeFacts("vn-1", ("10.0.0.7",), {"cpu": "8"})


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


FACTS = Facts(
    NODE,
    config_maps={"c": {"data": {"a": "1", "b": "2"}, "binaryData": {"bin": b64("\x00\x01")}}, "none": None},
    secrets={"s": {"data": {"k": b64("v")}}, "none": None, "files-key": {"data": {"key": b64("zzz")}}},
    tokens={TokenRequest("v", "token", "vault", 900): "jwt"},
)


def volume(source: dict, facts: Facts = FACTS, **spec):
    pod = {
        "metadata": {"name": "p", "namespace": "n", "uid": "u", "labels": {"a": "b", "x": 'q"\n'}},
        "spec": {
            "containers": [{"name": "main", "resources": {"limits": {"cpu": "2"}}}],
            "volumes": [{"name": "v", **source}],
            **spec,
        },
    }
    volumes, notices = resolve(pod, facts)
    return volumes["v"], [notice.reason for notice in notices]


def test_config_map_with_modes_items_and_binary_data():
    whole, _ = volume({"configMap": {"name": "c", "defaultMode": 0o600}})
    assert whole == Files((File("a", b"1", 0o600), File("b", b"2", 0o600), File("bin", b"\x00\x01", 0o600)))
    some, _ = volume({"configMap": {"name": "c", "items": [{"key": "a", "path": "x/y", "mode": 0o400}]}})
    assert some == Files((File("x/y", b"1", 0o400),))


def test_secret_is_marked_and_not_shown():
    found, _ = volume({"secret": {"secretName": "s"}})
    assert found == Files((File("k", b"v", 0o644),), secret=True)
    assert "b'v'" not in repr(found)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ({"secret": {"secretName": "none"}}, "MandatorySecretNotFound"),
        ({"configMap": {"name": "none"}}, "MandatoryConfigMapNotFound"),
        ({"configMap": {"name": "c", "items": [{"key": "zz", "path": "z"}]}}, "MandatoryConfigMapNotFound"),
        ({"projected": {"sources": [{"secret": {"name": "none"}}]}}, "MandatorySecretNotFound"),
        ({"azureFile": {"secretName": "none", "shareName": "x"}}, "MandatorySecretNotFound"),
    ],
)
def test_what_is_missing_blocks_the_pod(source, reason):
    with pytest.raises(Unresolved) as caught:
        volume(source)
    assert caught.value.notice.reason == reason


def test_what_is_optional_and_missing_is_an_empty_volume_and_an_event():
    assert volume({"secret": {"secretName": "none", "optional": True}}) == (
        Files((), secret=True),
        ["OptionalSecretNotFound"],
    )
    source = {"configMap": {"name": "c", "optional": True, "items": [{"key": "zz", "path": "z"}]}}
    assert volume(source) == (Files(()), ["OptionalConfigMapNotFound"])


@pytest.mark.parametrize(
    ("source", "reason", "at"),
    [
        (
            {"projected": {"sources": [{"secret": {"name": "s"}}, {"clusterTrustBundle": {"path": "x"}}]}},
            "UnsupportedVolumeSource",
            "projected.sources[1].clusterTrustBundle",
        ),
        ({"projected": {"sources": [{}]}}, "UnsupportedVolumeSource", "projected.sources[0]"),
        (
            {"downwardAPI": {"items": [{"path": "a", "fieldRef": {"fieldPath": "spec.unknown"}}]}},
            "UnsupportedFieldRef",
            "downwardAPI.items[0].fieldRef.fieldPath",
        ),
        (
            {
                "projected": {
                    "sources": [
                        {
                            "downwardAPI": {
                                "items": [
                                    {"path": "a", "fieldRef": {"fieldPath": "metadata.name"}},
                                    {"path": "b", "fieldRef": {"fieldPath": "spec.unknown"}},
                                ]
                            }
                        }
                    ]
                }
            },
            "UnsupportedFieldRef",
            "projected.sources[0].downwardAPI.items[1].fieldRef.fieldPath",
        ),
    ],
)
def test_a_source_that_is_not_known_is_refused_where_it_stands(source, reason, at):
    pod = {
        "metadata": {"name": "p", "namespace": "n", "uid": "u"},
        "spec": {"containers": [], "volumes": [{"name": "first", "emptyDir": {}}, {"name": "v", **source}]},
    }
    with pytest.raises(Rejected) as refused:
        resolve(pod, FACTS)
    assert (refused.value.reason, refused.value.field) == (reason, f"spec.volumes[1].{at}")
    # Lint finds the same places without resolving anything.
    assert [text(("spec", *steps)) for steps in unknown_fields(pod["spec"])] == [refused.value.field]


def test_projected_merges_its_sources_and_the_later_wins():
    found, _ = volume(
        {
            "projected": {
                "defaultMode": 0o440,
                "sources": [
                    {"configMap": {"name": "c", "items": [{"key": "a", "path": "same"}]}},
                    {"secret": {"name": "s", "items": [{"key": "k", "path": "same"}]}},
                    {"serviceAccountToken": {"path": "token", "audience": "vault", "expirationSeconds": 900}},
                    {
                        "downwardAPI": {
                            "items": [
                                {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
                                {
                                    "path": "cpu",
                                    "resourceFieldRef": {"containerName": "main", "resource": "limits.cpu"},
                                },
                            ]
                        }
                    },
                ],
            }
        }
    )
    assert found == Files(
        (
            File("same", b"v", 0o440),
            File("token", b"jwt", 0o440),
            File("labels", b'a="b"\nx="q\\"\\n"', 0o440),
            File("cpu", b"2", 0o440),
        ),
        secret=True,
    )


@pytest.mark.parametrize(
    "source",
    [
        {"azureFile": {"secretName": "files-key", "shareName": "x"}},
        {"flexVolume": {"driver": "alicloud/oss", "secretRef": {"name": "files-key"}}},
        {"csi": {"driver": "any.example", "nodePublishSecretRef": {"name": "files-key"}}},
        {"csi": {"driver": "file.csi.azure.com", "volumeAttributes": {"secretName": "files-key"}}},
    ],
)
def test_the_secrets_of_what_only_a_provider_knows(source):
    assert needs({"spec": {"containers": [], "volumes": [{"name": "v", **source}]}}).secrets == {"files-key"}
    assert volume(source)[0] == External({"name": "v", **source}, {"files-key": {"key": b"zzz"}})


def test_empty_dir():
    assert volume({"emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}})[0] == EmptyDir("Memory", 1 << 20)


def test_needs_names_everything_that_must_be_read_and_nothing_else():
    pod = {
        "spec": {
            "enableServiceLinks": False,
            "initContainers": [{"name": "i", "envFrom": [{"secretRef": {"name": "s1"}}]}],
            "containers": [
                {
                    "name": "c",
                    "env": [
                        {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "c1", "key": "k"}}},
                        {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                    ],
                }
            ],
            "volumes": [
                {"name": "v1", "configMap": {"name": "c2"}},
                {"name": "v2", "azureFile": {"secretName": "s2", "shareName": "x"}},
                {
                    "name": "v3",
                    "projected": {
                        "sources": [{"secret": {"name": "s3"}}, {"serviceAccountToken": {"path": "t"}}]
                    },
                },
                {"name": "v4", "emptyDir": {}},
            ],
            "imagePullSecrets": [{"name": "s4"}],
        }
    }
    found = needs(pod)
    assert found.config_maps == {"c1", "c2"}
    assert found.secrets == {"s1", "s2", "s3", "s4"}
    assert found.tokens == (TokenRequest("v3", "t", "", 3600),)
    assert not found.services
