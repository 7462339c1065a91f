"""docs/eci.md, made from the tables here: `python -m vnodectl.providers.eci.document > docs/eci.md`."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from vnodectl.providers.eci import annotations as notes
from vnodectl.providers.eci import profile, specs, volumes
from vnodectl.providers.eci.annotations import Annotation, Effect
from vnodectl.providers.eci.limits import PER_MINUTE
from vnodectl.providers.eci.settings import SECURITY_GROUPS_MAX, VSWITCHES_MAX, Pacing
from vnodectl.providers.eci.translate import CONTAINERS_MAX

_INTRODUCTION = """\
# Pods on Alibaba Cloud's Elastic Container Instance

A pod on the virtual node becomes one container group of ECI (API version 2018-08-08). What ECI cannot do
is rejected at once, with the field at fault; what can be mended while the pod waits (a vSwitch, a
security group, a key, a right, quota, stock) is told by an event and by the pod's conditions with
Alibaba Cloud's own code, and tried again until it works.

This page is generated from `vnodectl/providers/eci` by `make docs`.
"""

_FIELDS = """\
## What becomes of a pod's fields

- **Size**: the containers' limits (requests where there are none) together, or the largest init
  container, rounded up to the next pair of vCPU and memory that ECI sells, {smallest} to {largest};
  {default} where nothing is asked for. `k8s.aliyun.com/eci-use-specs` names sizes or ECS instance types
  instead; GPUs need it.
- **Ephemeral storage**: every group has {storage} GiB; what the containers ask for beyond is bought.
- **Containers**: at most {containers}, and as many init containers. Side-car init containers are
  rejected, and restart policies of single containers that are not the pod's.
- **Volumes**: at most {volumes}. emptyDir with size and medium; configMap, secret, projected and
  downwardAPI as files of at most {file} KiB each and {files} KiB together; NFS; disks, NAS and OSS
  through flexVolume (`alicloud/disk`, `alicloud/nas`, `alicloud/oss`), inline CSI, or a claim whose
  volume is of those drivers; a disk of a claim decides the zone. Changed ConfigMaps, Secrets and tokens
  are put in place, but in pods that never restart, and in volumes that had no files at first.
- **Probes**: liveness and readiness by exec, httpGet and tcpSocket are ECI's. Startup probes, grpc,
  headers and other hosts are not: the connector runs those itself against the pod's address, so that
  address must be reachable from it. A liveness or startup probe that it runs restarts the whole group
  when it fails; in a pod that never restarts such a probe is rejected. A startup probe by exec delays a
  liveness probe, and is rejected alone.
- **Hooks**: exec, httpGet and tcpSocket; a preStop that only waits is carried out by the connector.
- **Security**: user, group, runAsNonRoot, privileged (by permission of Alibaba Cloud), read-only root,
  added capabilities, sysctls. Dropped capabilities, seccomp, AppArmor, SELinux and fsGroup have no
  counterpart: each group runs in a virtual machine of its own.
- **Logs**: the last 2,000 lines, or 1 MiB; `logs -f` asks again every few seconds. A container that
  prints more than that between two looks loses the oldest of it.
- **exec** takes arguments, a terminal and its size, and gives the exit code. The end of its input is told
  to a command of up to 16 words in an image with `/bin/sh` and `base64`; to any other only where ECI's end
  agrees to `v5.channel.k8s.io`. **attach** shows what is printed and takes no input.
- **port-forward** goes straight to the pod's address: its security group must let the connector in.
- Variables from Secrets are hidden in ECI's console and API; those of init containers cannot be.
"""


def page() -> str:
    return "\n".join(
        [
            _INTRODUCTION,
            _fields(),
            "## Annotations of pods\n",
            *_annotations("They are set", Effect.SET),
            *_annotations("They make no difference", Effect.IGNORED),
            *_annotations("They are rejected", Effect.REJECTED),
            *_older(),
            *_profile(),
            *_spending(),
        ]
    )


def _fields() -> str:
    pairs = specs.pairs("", preemptible=False)
    return _FIELDS.format(
        smallest=pairs[0],
        largest=pairs[-1],
        default=specs.DEFAULT,
        containers=CONTAINERS_MAX,
        storage=specs.FREE_STORAGE,
        volumes=volumes.VOLUMES_MAX,
        file=volumes.FILE_MAX // 1024,
        files=volumes.FILES_MAX // 1024,
    )


def _annotations(title: str, effect: Effect) -> list[str]:
    chosen = [one for one in notes.TABLE if one.effect is effect]
    if effect is Effect.SET:
        rows = ([_code(one.name), _code(one.example), one.meaning, one.parameter] for one in chosen)
        return [f"### {title}\n", *_table(("Annotation", "Example", "Meaning", "Parameter of ECI"), rows), ""]
    rows = ([_code(one.name), one.meaning, _why(one)] for one in chosen)
    return [f"### {title}\n", *_table(("Annotation", "Meaning", "Why"), rows), ""]


def _older() -> list[str]:
    chosen = (one for one in notes.TABLE if one.effect is Effect.OLDER)
    rows = ([_code(one.name), _code(one.why)] for one in chosen)
    return ["### Older names\n", *_table(("Annotation", "Stands for"), rows), ""]


def _why(one: Annotation) -> str:
    return f"{one.why[0].upper()}{one.why[1:]}." if one.why else ""


def _profile() -> list[str]:
    rows = (
        [_code(one.name), one.meaning, f"None: {one.why}." if one.why else "Yes"]
        for one in (*profile.LISTS, *profile.TEXTS, *profile.SWITCHES, profile.GATES)
    )
    return [
        f"## The ConfigMap `{profile.NAMESPACE}/{profile.NAME}`\n",
        "It is followed while the connector runs: new pods get what it says. What is wrong in it is told by",
        "an event on it (`InvalidProfile`) and left out; what is right still counts. Selectors by labels of",
        "pods add their annotations to pods of the node. To send pods there, to add labels, and to select by",
        "labels of namespaces takes the admission webhook: `webhook.enabled` and `webhook.profileSelectors`.",
        "",
        *_table(("Key", "Meaning", "Effect"), rows),
        "",
    ]


def _spending() -> list[str]:
    pacing = Pacing()
    rows = ([action, str(limit)] for action, limit in PER_MINUTE.items())
    return [
        "## What it costs in calls\n",
        "A create carries the pod's UID as `ClientToken`, so that a repeated one makes nothing twice.",
        f"What changed is read every {pacing.busy_interval:g} s while something is on its way, else every",
        f"{pacing.calm_interval:g} s (DescribeContainerGroupStatus with SinceSecond, 200 groups a page).",
        f"The whole list costs {pacing.list_pages} page a minute however long it is. Whole groups are read",
        "only of those whose init containers run, and of those that failed; events (which become events of",
        f"the pods) every {pacing.busy_events:g} s or {pacing.calm_events:g} s. Each API keeps to the limit",
        "of the account:",
        "",
        *_table(("API", "Calls a minute"), rows),
        "",
        f"A request names at most {VSWITCHES_MAX} vSwitches and {SECURITY_GROUPS_MAX} security groups.",
        "",
    ]


def _table(head: Iterable[str], rows: Iterable[list[str]]) -> list[str]:
    names = list(head)
    return [_row(names), _row(["---"] * len(names)), *map(_row, rows)]


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _code(text: str) -> str:
    return f"`{text}`"


if __name__ == "__main__":
    sys.stdout.write(page())
