"""A cluster with a connector, and a secret in every place where somebody might have put one."""

from __future__ import annotations

import base64
import gzip
import json
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from support.fake_api import FakeApi

JSON = dict[str, Any]
OURS = {"app.kubernetes.io/name": "vnode-connector", "app.kubernetes.io/part-of": "vnodectl"}


@dataclass
class Plants:
    """Secrets by the place they are planted in: whichever of them turns up says where it leaked from."""

    all: dict[str, str] = field(default_factory=dict)

    def at(self, place: str) -> str:
        return self.all.setdefault(place, f"planted-{place}-7f3a9c1e")

    def coded(self, place: str) -> str:
        """As the data of a Secret."""
        return base64.b64encode(self.at(place).encode()).decode()

    def found(self, archive: Path) -> list[str]:
        """`place in member` for every one that shows, as it is or in Base64 at any offset."""
        leaks: list[str] = []
        with tarfile.open(archive) as packed:
            for member in packed.getmembers():
                content = packed.extractfile(member)
                text = member.name.encode() + (content.read() if content is not None else b"")
                for place, secret in self.all.items():
                    forms = [secret.encode(), *_encoded(secret)]
                    leaks += [f"{place} in {member.name}" for form in forms if form in text]
        return leaks


def _encoded(secret: str) -> list[bytes]:
    """The part of the Base64 that is the same whatever comes before and after, for each of three offsets."""
    found = []
    for offset in range(3):
        whole = base64.b64encode(b"x" * offset + secret.encode())
        found.append(whole[4 if offset else 0 : -4])
    return found


def members(archive: Path) -> dict[str, bytes]:
    """The archive's files below its one folder."""
    with tarfile.open(archive) as packed:
        found = {one.name: packed.extractfile(one).read() for one in packed.getmembers()}  # type: ignore[union-attr]
    (folder,) = {name.partition("/")[0] for name in found}
    return {name.removeprefix(f"{folder}/"): content for name, content in found.items()}


def kubeconfig(path: Path, url: str, plants: Plants) -> str:
    path.write_text(
        yaml.safe_dump(
            {
                "current-context": "here",
                "clusters": [{"name": "c", "cluster": {"server": url}}],
                "users": [{"name": "u", "user": {"token": plants.at("kubeconfig")}}],
                "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
            }
        )
    )
    return str(path)


def plant(api: FakeApi, plants: Plants, *, namespace: str, release: str, node: str) -> None:
    """The connector, its node, a pod there, their events and logs, and Helm's record."""
    labels = {**OURS, "app.kubernetes.io/instance": release}
    container = {
        "name": "connector",
        "image": "vnodectl",
        "env": [{"name": "PROXY", "value": plants.at("connector-env")}],
        "args": [f"--token={plants.at('connector-args')}"],
    }
    spec = {
        "containers": [container],
        "imagePullSecrets": [{"name": "pull"}],
        "volumes": [{"name": "s", "secret": {"secretName": f"{release}-secret"}}],
    }
    annotations = {
        "kubectl.kubernetes.io/last-applied-configuration": json.dumps({"a": plants.at("last-applied")}),
        "example.com/anything": plants.at("annotation"),
        "vnodectl.io/node": node,
        "vnodectl.io/aci-resource-group": "connectors",
    }
    meta = {"name": release, "labels": labels, "annotations": annotations}
    api.put("namespaces", {"metadata": {"name": namespace, "annotations": annotations}})
    template = {"metadata": {"labels": labels, "annotations": annotations}, "spec": spec}
    api.put("deployments", {"metadata": meta, "spec": {"template": template}}, namespace=namespace)
    pod = {"metadata": {**meta, "name": f"{release}-1"}, "spec": spec, "status": {"phase": "Running"}}
    api.put("pods", pod, namespace=namespace)
    _secrets(api, plants, namespace, release, labels)
    _node(api, plants, namespace, node)
    secret, pulled = plants.at("secret-data"), plants.at("pull-secret")
    api.logs[f"{release}-1"] = (
        f'{{"level": "error", "message": "login failed with {secret}"}}\n'
        f"pulled with {pulled}\n"
        f"Authorization: Bearer {plants.at('bearer-in-log')}\n"
        f"?sig={plants.at('sas-in-log')}&x=1\n"
        "the end of the log\n"
    )
    about = {"kind": "Pod", "namespace": namespace, "name": f"{release}-1"}
    event = {
        "metadata": {"name": "e1"},
        "involvedObject": about,
        "reason": "Failed",
        "message": f"cannot use {secret}",
    }
    api.put("events", event, namespace=namespace)
    _release(api, plants, namespace, release)


def _secrets(api: FakeApi, plants: Plants, namespace: str, release: str, labels: JSON) -> None:
    login = base64.b64encode(f"user:{plants.at('pull-secret')}".encode()).decode()
    config = json.dumps({"auths": {"example.com": {"auth": login}}})
    api.put(
        "secrets",
        {
            "metadata": {"name": f"{release}-secret", "labels": labels},
            "data": {"clientSecret": plants.coded("secret-data")},
        },
        namespace=namespace,
    )
    api.put(
        "secrets",
        {
            "metadata": {"name": "pull"},
            "type": "kubernetes.io/dockerconfigjson",
            "data": {".dockerconfigjson": base64.b64encode(config.encode()).decode()},
        },
        namespace=namespace,
    )
    body = {"metadata": {"name": f"{release}-ca", "labels": labels}, "data": {"k": plants.at("configmap")}}
    api.put("configmaps", body, namespace=namespace)


def _node(api: FakeApi, plants: Plants, namespace: str, node: str) -> None:
    notes = {"example.com/anything": plants.at("node-annotation")}
    api.put(
        "nodes", {"metadata": {"name": node, "labels": {"type": "virtual-kubelet"}, "annotations": notes}}
    )
    api.put(
        "leases", {"metadata": {"name": node}, "spec": {"holderIdentity": node}}, namespace="kube-node-lease"
    )
    ended = {"exitCode": 1, "message": plants.at("termination-message")}
    container = {
        "name": "main",
        "image": "app",
        "command": ["sh", "-c", f"export P={plants.at('command')}"],
        "env": [
            {"name": "PLAIN", "value": plants.at("pod-env")},
            {"name": "FROM_SECRET", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}},
        ],
        "livenessProbe": {
            "httpGet": {
                "port": 80,
                "path": f"/?token={plants.at('probe-path')}",
                "httpHeaders": [{"name": "Authorization", "value": plants.at("probe-header")}],
            }
        },
        "lifecycle": {"preStop": {"exec": {"command": [plants.at("hook")]}}},
    }
    volume = {"name": "v", "csi": {"driver": "d", "volumeAttributes": {"key": plants.at("csi-attribute")}}}
    status = {"phase": "Failed", "containerStatuses": [{"name": "main", "state": {"terminated": ended}}]}
    pod = {
        "metadata": {"name": "web-0", "uid": "pod-uid"},
        "spec": {"nodeName": node, "containers": [container], "volumes": [volume]},
        "status": status,
    }
    api.put("pods", pod, namespace="default")
    event = {
        "metadata": {"name": "e2"},
        "involvedObject": {"kind": "Pod", "uid": "pod-uid"},
        "reason": "BackOff",
    }
    api.put("events", event, namespace="default")
    foreign = {
        "metadata": {"name": "e3"},
        "involvedObject": {"kind": "Pod", "uid": "x"},
        "message": "foreign",
    }
    api.put("events", foreign, namespace="default")


def _release(api: FakeApi, plants: Plants, namespace: str, release: str) -> None:
    record = {
        "name": release,
        "version": 3,
        "info": {"status": "deployed", "description": "Upgrade complete"},
        "chart": {"metadata": {"name": "vnode-connector", "version": "0.1.0"}},
        "config": {
            "cloud": "azure",
            "azure": {"region": "eastus", "identity": {"clientSecret": plants.at("helm-value")}},
            "podAnnotations": {"example.com/x": plants.at("helm-annotation")},
            "unheardOf": plants.at("helm-unknown-value"),
        },
        "manifest": plants.at("helm-manifest"),
    }
    packed = base64.b64encode(base64.b64encode(gzip.compress(json.dumps(record).encode()))).decode()
    labels = {"owner": "helm", "name": release, "version": "3", "status": "deployed"}
    body = {
        "metadata": {"name": f"sh.helm.release.v1.{release}.v3", "labels": labels},
        "type": "helm.sh/release.v1",
        "data": {"release": packed},
    }
    api.put("secrets", body, namespace=namespace)
