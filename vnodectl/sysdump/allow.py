"""Which fields of which objects are kept. What is not named here is not in the archive.

A specification is `KEEP` (the value as it is), a function of the value, or the fields of an object; a list is
taken element by element.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

JSON = dict[str, Any]
Spec = Any
"""KEEP, a callable or a mapping of Specs."""

MASK = "***"
KEEP = "keep"

_OWN = re.compile(
    r"(?:(?:[\w-]+\.)*vnodectl\.io|meta\.helm\.sh|deployment\.kubernetes\.io)/|kubectl\.kubernetes\.io/default-"
)
_NEVER = frozenset({"kubectl.kubernetes.io/last-applied-configuration"})
_SECRET_KEY = re.compile(
    r"(?i)((?<!existing)secret|secret_?key|password|passwd|passphrase|token|access_?key(_?id|_?secret)?|private_?key|"
    r"connection_?string|credentials?|workspace_?key|cce_?policy)$"
)


def pick(value: Any, spec: Spec) -> Any:
    """Of `value` what `spec` keeps; None where the shapes do not fit."""
    if spec is KEEP:
        return value
    if callable(spec):
        return spec(value)
    if isinstance(value, list):
        return [pick(one, spec) for one in value]
    if not isinstance(value, Mapping):
        return None
    return {key: pick(value[key], inner) for key, inner in spec.items() if key in value}


# --- pieces -----------------------------------------------------------------------------------------


def notes(value: Any) -> Any:
    """All names; values of our own ones and of Helm's alone: anybody may have put anything into the rest."""
    if not isinstance(value, Mapping):
        return None
    return {
        key: one if _OWN.match(key) and key not in _NEVER else MASK
        for key, one in sorted(value.items())
        if key not in _NEVER
    }


def names(value: Any) -> Any:
    """The keys of an object."""
    return sorted(value) if isinstance(value, Mapping) else None


def count(value: Any) -> Any:
    """How many there are, of what may hold a secret in each."""
    return f"{len(value)} given" if isinstance(value, list) else None


def masked(value: Any) -> Any:
    """Everything, but the values of keys that sound secret, and of annotations."""
    if isinstance(value, Mapping):
        return {key: _masked_entry(str(key), one) for key, one in value.items()}
    return [masked(one) for one in value] if isinstance(value, list) else value


def _masked_entry(key: str, value: Any) -> Any:
    if key.lower().endswith("annotations"):
        return notes(value)
    if _SECRET_KEY.search(key) and value not in ("", None) and not isinstance(value, (bool, Mapping, list)):
        return MASK
    return masked(value)


_TERMINATED = {"exitCode": KEEP, "reason": KEEP, "signal": KEEP, "startedAt": KEEP, "finishedAt": KEEP}
"""Without its message: that is whatever the program wrote as its last words."""

_STATE = {"waiting": {"reason": KEEP, "message": KEEP}, "running": KEEP, "terminated": _TERMINATED}
_CONTAINER_STATUS = {
    "name": KEEP,
    "image": KEEP,
    "imageID": KEEP,
    "containerID": KEEP,
    "ready": KEEP,
    "started": KEEP,
    "restartCount": KEEP,
    "state": _STATE,
    "lastState": _STATE,
}
_VARIABLE = {
    "name": KEEP,
    "valueFrom": {
        "fieldRef": KEEP,
        "resourceFieldRef": KEEP,
        "secretKeyRef": KEEP,
        "configMapKeyRef": KEEP,
    },
}
_PROBE = {
    "httpGet": {"port": KEEP, "scheme": KEEP},
    "tcpSocket": {"port": KEEP},
    "grpc": {"port": KEEP},
    "exec": lambda _: {"command": MASK},
    "initialDelaySeconds": KEEP,
    "periodSeconds": KEEP,
    "timeoutSeconds": KEEP,
    "failureThreshold": KEEP,
    "successThreshold": KEEP,
}
_CONTAINER = {
    "name": KEEP,
    "image": KEEP,
    "imagePullPolicy": KEEP,
    "restartPolicy": KEEP,
    "workingDir": KEEP,
    "command": count,
    "args": count,
    "env": _VARIABLE,
    "envFrom": {"configMapRef": KEEP, "secretRef": KEEP},
    "ports": KEEP,
    "resources": KEEP,
    "volumeMounts": {"name": KEEP, "mountPath": KEEP, "subPath": KEEP, "readOnly": KEEP},
    "livenessProbe": _PROBE,
    "readinessProbe": _PROBE,
    "startupProbe": _PROBE,
    "lifecycle": names,
    "securityContext": KEEP,
}
_VOLUME = {
    "name": KEEP,
    "emptyDir": KEEP,
    "configMap": {"name": KEEP, "optional": KEEP, "defaultMode": KEEP},
    "secret": {"secretName": KEEP, "optional": KEEP, "defaultMode": KEEP},
    "persistentVolumeClaim": KEEP,
    "projected": {
        "sources": {
            "configMap": {"name": KEEP},
            "secret": {"name": KEEP},
            "serviceAccountToken": {"audience": KEEP, "expirationSeconds": KEEP},
            "downwardAPI": lambda _: {},
        }
    },
    "azureFile": {"secretName": KEEP, "shareName": KEEP, "readOnly": KEEP},
    "nfs": KEEP,
    "hostPath": KEEP,
    "csi": {"driver": KEEP, "readOnly": KEEP, "volumeAttributes": names},
    "flexVolume": {"driver": KEEP, "options": names},
}
_POD_SPEC = {
    "nodeName": KEEP,
    "nodeSelector": KEEP,
    "affinity": KEEP,
    "tolerations": KEEP,
    "topologySpreadConstraints": KEEP,
    "restartPolicy": KEEP,
    "serviceAccountName": KEEP,
    "automountServiceAccountToken": KEEP,
    "enableServiceLinks": KEEP,
    "hostNetwork": KEEP,
    "hostPID": KEEP,
    "hostIPC": KEEP,
    "dnsPolicy": KEEP,
    "dnsConfig": KEEP,
    "priorityClassName": KEEP,
    "schedulerName": KEEP,
    "terminationGracePeriodSeconds": KEEP,
    "activeDeadlineSeconds": KEEP,
    "imagePullSecrets": KEEP,
    "securityContext": KEEP,
    "containers": _CONTAINER,
    "initContainers": _CONTAINER,
    "volumes": _VOLUME,
}
_META = {
    "name": KEEP,
    "namespace": KEEP,
    "uid": KEEP,
    "labels": KEEP,
    "annotations": notes,
    "creationTimestamp": KEEP,
    "deletionTimestamp": KEEP,
    "deletionGracePeriodSeconds": KEEP,
    "generation": KEEP,
    "resourceVersion": KEEP,
    "finalizers": KEEP,
    "ownerReferences": KEEP,
}

# --- objects of the cluster -------------------------------------------------------------------------

POD = {
    "metadata": _META,
    "spec": _POD_SPEC,
    "status": {
        "phase": KEEP,
        "reason": KEEP,
        "message": KEEP,
        "conditions": KEEP,
        "podIP": KEEP,
        "hostIP": KEEP,
        "startTime": KEEP,
        "qosClass": KEEP,
        "containerStatuses": _CONTAINER_STATUS,
        "initContainerStatuses": _CONTAINER_STATUS,
    },
}
DEPLOYMENT = {
    "metadata": _META,
    "spec": {
        "replicas": KEEP,
        "strategy": KEEP,
        "selector": KEEP,
        "template": {"metadata": {"labels": KEEP, "annotations": notes}, "spec": _POD_SPEC},
    },
    "status": KEEP,
}
NODE = {
    "metadata": _META,
    "spec": {"taints": KEEP, "unschedulable": KEEP, "podCIDR": KEEP},
    "status": {
        "capacity": KEEP,
        "allocatable": KEEP,
        "conditions": KEEP,
        "addresses": KEEP,
        "daemonEndpoints": KEEP,
        "declaredFeatures": KEEP,
        "nodeInfo": KEEP,
    },
}
LEASE = {"metadata": _META, "spec": KEEP}
NAMESPACE = {"metadata": _META, "status": {"phase": KEEP, "conditions": KEEP}}
SECRET = {"metadata": _META, "type": KEEP, "data": names}
CONFIG_MAP = {"metadata": _META, "data": names, "binaryData": names}
EVENT = {
    "metadata": {"name": KEEP, "namespace": KEEP, "creationTimestamp": KEEP},
    "involvedObject": {"kind": KEEP, "namespace": KEEP, "name": KEEP, "uid": KEEP, "fieldPath": KEEP},
    "type": KEEP,
    "reason": KEEP,
    "message": KEEP,
    "count": KEEP,
    "series": KEEP,
    "firstTimestamp": KEEP,
    "lastTimestamp": KEEP,
    "eventTime": KEEP,
    "source": KEEP,
    "reportingComponent": KEEP,
}

# --- what the clouds say ----------------------------------------------------------------------------

_ARM_STATE = {
    "state": KEEP,
    "startTime": KEEP,
    "finishTime": KEEP,
    "exitCode": KEEP,
    "detailStatus": KEEP,
}
_ARM_EVENTS = {
    "name": KEEP,
    "type": KEEP,
    "message": KEEP,
    "count": KEEP,
    "firstTimestamp": KEEP,
    "lastTimestamp": KEEP,
}
_ARM_CONTAINER = {
    "name": KEEP,
    "properties": {
        "image": KEEP,
        "command": count,
        "ports": KEEP,
        "environmentVariables": {"name": KEEP},
        "resources": KEEP,
        "volumeMounts": KEEP,
        "instanceView": {
            "restartCount": KEEP,
            "currentState": _ARM_STATE,
            "previousState": _ARM_STATE,
            "events": _ARM_EVENTS,
        },
    },
}
AZURE_GROUP = {
    "id": KEEP,
    "name": KEEP,
    "location": KEEP,
    "zones": KEEP,
    "tags": KEEP,
    "identity": {"type": KEEP, "userAssignedIdentities": names},
    "properties": {
        "provisioningState": KEEP,
        "osType": KEEP,
        "sku": KEEP,
        "priority": KEEP,
        "restartPolicy": KEEP,
        "subnetIds": KEEP,
        "ipAddress": {"ip": KEEP, "type": KEEP, "ports": KEEP, "fqdn": KEEP},
        "dnsConfig": KEEP,
        "imageRegistryCredentials": {"server": KEEP, "identity": KEEP},
        "volumes": {
            "name": KEEP,
            "emptyDir": KEEP,
            "azureFile": {"shareName": KEEP, "storageAccountName": KEEP},
        },
        "containers": _ARM_CONTAINER,
        "initContainers": _ARM_CONTAINER,
        "instanceView": {"state": KEEP, "events": _ARM_EVENTS},
    },
}
_ECI_STATE = {
    "State": KEEP,
    "StartTime": KEEP,
    "FinishTime": KEEP,
    "ExitCode": KEEP,
    "Signal": KEEP,
    "Reason": KEEP,
    "DetailStatus": KEEP,
}
_ECI_CONTAINER = {
    "Name": KEEP,
    "Image": KEEP,
    "Cpu": KEEP,
    "Memory": KEEP,
    "Gpu": KEEP,
    "Ready": KEEP,
    "RestartCount": KEEP,
    "Ports": KEEP,
    "EnvironmentVars": {"Key": KEEP},
    "VolumeMounts": KEEP,
    "CurrentState": _ECI_STATE,
    "PreviousState": _ECI_STATE,
}
ALIBABA_GROUP = {
    "ContainerGroupId": KEEP,
    "ContainerGroupName": KEEP,
    "RegionId": KEEP,
    "ZoneId": KEEP,
    "Status": KEEP,
    "CreationTime": KEEP,
    "ExpiredTime": KEEP,
    "SucceededTime": KEEP,
    "FailedTime": KEEP,
    "RestartPolicy": KEEP,
    "InstanceType": KEEP,
    "Cpu": KEEP,
    "Memory": KEEP,
    "VpcId": KEEP,
    "VSwitchId": KEEP,
    "SecurityGroupId": KEEP,
    "ResourceGroupId": KEEP,
    "IntranetIp": KEEP,
    "InternetIp": KEEP,
    "Tags": KEEP,
    "Events": {
        "Type": KEEP,
        "Reason": KEEP,
        "Message": KEEP,
        "Count": KEEP,
        "FirstTimestamp": KEEP,
        "LastTimestamp": KEEP,
    },
    "Containers": _ECI_CONTAINER,
    "InitContainers": _ECI_CONTAINER,
}

Trim = Callable[[Any], Any]
