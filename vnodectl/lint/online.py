"""What only a cloud or a registry knows of pods. Both are handed in: this room opens no session."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Protocol

from vnodectl.errors import VnodectlError
from vnodectl.lint import asked as rules
from vnodectl.lint import catalogue
from vnodectl.lint.beyond import Note
from vnodectl.lint.clouds import Cloud
from vnodectl.lint.engine import Judged
from vnodectl.lint.model import JSON, Steps
from vnodectl.lint.rule import Rule
from vnodectl.lint.workloads import containers, mapping, objects
from vnodectl.providers.registries import registry_of
from vnodectl.runtime.provider import RegistryCredential

_OFFLINE = "--offline was given"
_ALIBABA_REGISTRIES = ".cr.aliyuncs.com"
_NO_CLUSTER = "registries are asked in a cluster only (-n or -A), with --check-images"
_NO_IMAGES = "registries are asked with --check-images only"
_NO_REGION = "no region is known: give --location"
_SIGN_IN = "nobody is signed in to the cloud"


class Size(Protocol):
    """The most that one container group may have: cores, GB, GPUs."""

    @property
    def cpu(self) -> float: ...

    @property
    def memory(self) -> float: ...

    @property
    def gpu(self) -> int: ...


class CloudSays(Protocol):
    """Both raise VnodectlError where the cloud does not say."""

    async def largest(self, region: str, os: str, *, gpu: str, private: bool) -> Size | None:
        """The largest group of the region; `gpu` is a SKU or "". None where there is no such offer."""

    async def storage_kind(self, account: str) -> str:
        """The kind of a storage account (`Storage` is general-purpose v1), "" for one that is not seen."""


class Registry(Protocol):
    """Asks registries as the cloud would."""

    async def refusal(self, image: str, credentials: Sequence[RegistryCredential]) -> str:
        """Why the image cannot be pulled, or "". Raises VnodectlError where nobody answers."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Notes by workload, and, by rule code, why a rule could not be asked."""

    notes: tuple[tuple[Judged, Note], ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()


async def ask(
    judged: Sequence[Judged],
    cloud: Cloud,
    *,
    says: CloudSays | None,
    registry: Registry | None,
    live: bool = False,
    offline: bool = False,
    withheld: Container[tuple[str, str]] = frozenset(),
) -> Asked:
    """Everything that can be asked. What is not answered is said, and costs nothing else.

    `live` are workloads of a cluster. `withheld` are Secrets, by namespace and name, that may not be read: of
    images that are pulled with them a registry would say what is not so.
    """
    notes: list[tuple[Judged, Note]] = []
    skipped: list[tuple[str, str]] = []
    for rule in catalogue.RULES:
        if not rule.online or cloud.name not in rule.clouds:
            continue
        absent = _absent(rule, cloud, says, registry, live=live)
        if offline or absent:
            skipped.append((rule.code, _OFFLINE if offline else absent))
            continue
        for one in judged:
            if rule is rules.PULL and any(key in withheld for key in _pull_secrets(one)):
                skipped.append((rule.code, "pull secrets of pods may not be read"))
                continue
            try:
                notes += [(one, note) for note in await _one(rule, one, cloud, says, registry)]
            except VnodectlError as error:
                skipped.append((rule.code, error.message))
    return Asked(tuple(notes), tuple(dict.fromkeys(skipped)))


def _absent(
    rule: Rule, cloud: Cloud, says: CloudSays | None, registry: Registry | None, *, live: bool
) -> str:
    """Why a rule cannot be asked, or ""."""
    if rule is rules.PULL and registry is None:
        return _NO_IMAGES if live else _NO_CLUSTER
    if rule is not rules.PULL and says is None:
        return _SIGN_IN
    return _NO_REGION if rule is rules.REGION_SIZE and not cloud.region else ""


def _pull_secrets(one: Judged) -> list[tuple[str, str]]:
    named = objects(one.work.spec.get("imagePullSecrets"))
    return [(one.work.namespace, str(secret["name"])) for secret in named if secret.get("name")]


async def _one(
    rule: Rule, one: Judged, cloud: Cloud, says: CloudSays | None, registry: Registry | None
) -> list[Note]:
    if rule is rules.PULL and registry is not None:
        return await _pulls(one, registry)
    if rule is rules.REGION_SIZE and says is not None:
        return await _size(one, cloud, says)
    if rule is rules.STORAGE_ACCOUNT and says is not None:
        return await _accounts(one, says)
    return []


async def _pulls(one: Judged, registry: Registry) -> list[Note]:
    found: list[Note] = []
    credentials = one.found.pod.registry_credentials if one.found.pod is not None else ()
    for place, container in containers(one.work.spec):
        image = str(container.get("image") or "")
        if not image or _by_identity(image, one.found.group):
            continue
        refusal = await registry.refusal(image, credentials)
        if refusal:
            found.append(Note(rules.PULL, ("spec", *place, "image"), f"{image}: {refusal}"))
    return found


def _by_identity(image: str, group: JSON | None) -> bool:
    """Whether the group pulls it as somebody who cannot be asked here: a managed identity, a RAM role."""
    host, _ = registry_of(image)
    properties = mapping(mapping(group).get("properties"))
    servers = {
        str(one.get("server"))
        for one in objects(properties.get("imageRegistryCredentials"))
        if one.get("identity")
    }
    by_role = bool(mapping(group).get("AcrRegistryInfo"))
    return host in servers or (by_role and host.endswith(_ALIBABA_REGISTRIES))


async def _size(one: Judged, cloud: Cloud, says: CloudSays) -> list[Note]:
    """The group that the translator made, against the largest that the region has."""
    properties = mapping(mapping(one.found.group).get("properties"))
    needs = [
        mapping(mapping(mapping(body.get("properties")).get("resources")).get("requests"))
        for body in objects(properties.get("containers"))
    ]
    if not needs:
        return []
    gpus = [mapping(need.get("gpu")) for need in needs if need.get("gpu")]
    sku = str(gpus[0].get("sku") or "") if gpus else ""
    most = await says.largest(cloud.region, cloud.os, gpu=sku, private=bool(properties.get("subnetIds")))
    at: Steps = ("spec", "containers")
    if most is None:
        what = f"GPUs {sku}" if sku else f"{cloud.os} container groups"
        return [Note(rules.REGION_SIZE, at, f"{cloud.region} offers no {what}")]
    cpu = sum(float(need.get("cpu") or 0) for need in needs)
    memory = sum(float(need.get("memoryInGB") or 0) for need in needs)
    gpu = sum(int(one.get("count") or 0) for one in gpus)
    over = [
        f"{asked:g} {unit} of {had:g}"
        for asked, had, unit in (
            (cpu, most.cpu, "cores"),
            (memory, most.memory, "GB"),
            (gpu, most.gpu, "GPUs"),
        )
        if asked > had
    ]
    if not over:
        return []
    return [Note(rules.REGION_SIZE, at, f"the pod asks for {', '.join(over)} that {cloud.region} offers")]


async def _accounts(one: Judged, says: CloudSays) -> list[Note]:
    """The storage accounts that the translated group mounts shares of."""
    pod = one.found.pod
    if pod is None:
        return []
    found: list[Note] = []
    by_name = {
        str(volume.get("name")): index for index, volume in enumerate(objects(one.work.spec.get("volumes")))
    }
    for body in objects(mapping(mapping(one.found.group).get("properties")).get("volumes")):
        account = str(mapping(body.get("azureFile")).get("storageAccountName") or "")
        if not account or account == "placeholder":
            continue
        if await says.storage_kind(account) == "Storage":
            name = str(body.get("name")).partition("-")[2]
            at: Steps = ("spec", "volumes", by_name.get(name, 0))
            message = f"storage account {account} is general-purpose v1"
            found.append(Note(rules.STORAGE_ACCOUNT, at, message))
    return found
