"""Pods that ask ACI for what it does not have itself: kubectl, real containers, an emulated ARM."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.sandboxes import Sandbox

from vnodectl.sandbox.layout import Layout, Record

pytestmark = [pytest.mark.e2e, pytest.mark.containers]

NETWORK = "Microsoft.Network/virtualNetworks/vnet"
NODE = "virtual-kubelet-aci-pods"
JSON = dict[str, Any]


@pytest.fixture(scope="module")
def node(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """The sandbox with a node of the ACI provider, run from this checkout."""
    record = Record.load(Layout(sandbox.home, sandbox.name).record)
    assert record is not None
    if record.engine not in ("podman", "docker"):
        pytest.skip("no container engine works here")
    subscription = f"/subscriptions/{sandbox.environment['AZURE_SUBSCRIPTION_ID']}"
    log = tmp_path_factory.mktemp("aci") / "agent.log"
    environment = {
        **sandbox.environment,
        "VNODECTL_ACI_RESOURCE_GROUP": "demo-aci",
        "VNODECTL_ACI_REGION": "eastus",
        "VNODECTL_KUBELET_PORT": "0",
        # The emulator takes any subnet; this machine reaches its groups, as in a peered network.
        "VNODECTL_ACI_SUBNET_ID": f"{subscription}/resourceGroups/demo-aci/providers/{NETWORK}/subnets/aci",
    }
    argv = ("agent", "--node-name", NODE, "--provider", "aci", "--node-ip", "127.0.0.1", "--no-taint")
    with log.open("wb") as out:
        agent = subprocess.Popen(
            [sys.executable, "-m", "vnodectl", *argv], env=environment, stdout=out, stderr=out
        )
    try:
        _until(lambda: sandbox.run("kubectl", "get", "node", NODE, check=False).returncode == 0, log)
        sandbox.run("kubectl", "wait", f"node/{NODE}", "--for=condition=Ready", "--timeout=60s")
        sandbox.run("kubectl", "cordon", NODE)  # only pods that name it
        yield sandbox
    finally:
        sandbox.run("kubectl", "delete", "pods", "--all", "--timeout=60s", check=False)
        agent.terminate()
        agent.wait(20)
        sandbox.run("kubectl", "delete", "node", NODE, check=False)


def _until(done: Any, log: Path) -> None:
    deadline = time.monotonic() + 60
    while not done():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.2)


def _pod(node: Sandbox, name: str, container: JSON, **spec: Any) -> JSON:
    main = {"name": "main", "image": node.environment["VNODECTL_SMOKE_IMAGE"], **container}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"nodeName": NODE, "containers": [main], "terminationGracePeriodSeconds": 1, **spec},
    }


def _apply(node: Sandbox, *objects: JSON) -> None:
    listed = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
    node.run("kubectl", "apply", "-f", "-", stdin=json.dumps(listed))


def _ended(node: Sandbox, name: str) -> str:
    """The log of a pod that ran to completion."""
    wait = node.run(
        "kubectl",
        "wait",
        f"pod/{name}",
        "--for=jsonpath={.status.phase}=Succeeded",
        "--timeout=60s",
        check=False,
    )
    told = node.run("kubectl", "logs", name, check=False).stdout
    assert wait.returncode == 0, told + node.run("kubectl", "get", "pod", name, "-o", "yaml").stdout
    return told


def test_what_a_shell_does_before_the_command(node: Sandbox) -> None:
    script = "#!/bin/sh\necho script in $PWD; cat /etc/app/site.conf; getent hosts db.local; ls /etc/app\n"
    config = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "prepared"},
        "data": {"run.sh": script, "site.conf": "listen 80\n"},
    }
    mounts = [
        {"name": "bin", "mountPath": "/opt/bin"},
        {"name": "conf", "mountPath": "/etc/app/site.conf", "subPath": "site.conf"},
    ]
    volumes = [
        {"name": "bin", "configMap": {"name": "prepared", "defaultMode": 0o755}},
        {"name": "conf", "configMap": {"name": "prepared"}},
    ]
    pod = _pod(
        node,
        "prepared",
        {"command": ["/opt/bin/run.sh"], "workingDir": "/srv/made", "volumeMounts": mounts},
        restartPolicy="Never",
        hostAliases=[{"ip": "10.9.8.7", "hostnames": ["db", "db.local"]}],
        volumes=volumes,
    )
    _apply(node, config, pod)
    lines = _ended(node, "prepared").splitlines()
    assert lines[:2] == ["script in /srv/made", "listen 80"]
    assert lines[2].split()[:1] == ["10.9.8.7"]
    assert lines[3:] == ["site.conf"]


def test_exec_keeps_both_streams_and_every_byte(node: Sandbox) -> None:
    _apply(node, _pod(node, "streams", {"command": ["sleep", "1000"]}))
    node.run("kubectl", "wait", "pod/streams", "--for=condition=Ready", "--timeout=60s")
    done = node.run("kubectl", "exec", "streams", "--", "sh", "-c", "echo o; echo e >&2; exit 6", check=False)
    assert (done.stdout, done.returncode) == ("o\n", 6)
    assert done.stderr.splitlines()[0] == "e"
    every = bytes(range(256)) * 400
    copied = subprocess.run(
        [
            "kubectl",
            "exec",
            "-i",
            "streams",
            "--",
            "sh",
            "-c",
            "cat > /tmp/x; md5sum < /tmp/x >&2; cat /tmp/x",
        ],
        env=dict(node.environment),
        input=every,
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert copied.stdout == every
    assert node.run("kubectl", "exec", "streams", "--", "cat").stdout == "", "no input is an end of file"
    uid = json.loads(node.run("kubectl", "get", "pod", "streams", "-o", "json").stdout)["metadata"]["uid"]
    groups = node.run(sys.executable, "-m", "vnodectl.sandbox.groups", "demo-aci").stdout
    assert uid in groups


def test_the_connector_probes_pods_in_a_subnet_itself(node: Sandbox) -> None:
    serve = "mkdir -p /tmp/w; cd /tmp/w; exec python3 -m http.server 8080"
    probes = {
        "startupProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1, "failureThreshold": 60},
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8080}, "periodSeconds": 1},
    }
    container = {"command": ["sh", "-c", serve], "ports": [{"containerPort": 8080}], **probes}
    _apply(node, _pod(node, "probed", container))
    node.run("kubectl", "wait", "pod/probed", "--for=jsonpath={.status.phase}=Running", "--timeout=60s")

    def status() -> JSON:
        found = json.loads(node.run("kubectl", "get", "pod", "probed", "-o", "json").stdout)
        (one,) = found["status"]["containerStatuses"]
        return one  # type: ignore[no-any-return]

    _until(lambda: status()["started"], Path(os.devnull))
    assert not status()["ready"]
    node.run("kubectl", "exec", "probed", "--", "touch", "/tmp/w/ready")
    node.run("kubectl", "wait", "pod/probed", "--for=condition=Ready", "--timeout=10s")
    node.run("kubectl", "exec", "probed", "--", "rm", "/tmp/w/ready")
    node.run("kubectl", "wait", "pod/probed", "--for=condition=Ready=false", "--timeout=15s")


def test_files_of_a_share_through_a_claim(node: Sandbox) -> None:
    account = {"azurestorageaccountname": "acc", "azurestorageaccountkey": base64.b64encode(b"key").decode()}
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "share-key"},
        "stringData": account,
    }
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"share-{os.getpid()}"},
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteMany"],
            "storageClassName": "",
            "csi": {
                "driver": "file.csi.azure.com",
                "volumeHandle": "share",
                "volumeAttributes": {"shareName": "data"},
                "nodeStageSecretRef": {"name": "share-key", "namespace": "default"},
            },
        },
    }
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "share"},
        "spec": {
            "accessModes": ["ReadWriteMany"],
            "storageClassName": "",
            "volumeName": volume["metadata"]["name"],
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }
    mount = {"volumeMounts": [{"name": "data", "mountPath": "/data"}]}
    volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": "share"}}]

    def job(name: str, command: str) -> JSON:
        return _pod(
            node, name, {"command": ["sh", "-c", command], **mount}, restartPolicy="Never", volumes=volumes
        )

    _apply(node, secret, volume, claim, job("writer", "echo kept > /data/file"))
    _ended(node, "writer")
    _apply(node, job("reader", "cat /data/file"))
    assert _ended(node, "reader") == "kept\n"
    node.run("kubectl", "delete", "pod/reader", "pod/writer", "pvc/share", f"pv/{volume['metadata']['name']}")


def test_arguments_of_an_image_that_no_registry_has_wait_in_words(node: Sandbox) -> None:
    _apply(node, _pod(node, "args", {"args": ["serve"]}))

    def told() -> str:
        return node.run("kubectl", "get", "events", "--field-selector=involvedObject.name=args").stdout

    _until(lambda: "ErrImagePull" in told(), Path(os.devnull))
    assert "give the container a command" in told()
    node.run("kubectl", "delete", "pod", "args", "--timeout=30s")
