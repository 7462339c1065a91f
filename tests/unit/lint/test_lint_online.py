"""What takes asking a cloud or a registry; both are stood in for by what they would say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from support.linting import SELECTED

from vnodectl.errors import CloudUnreachable
from vnodectl.lint.clouds import Placement, cloud
from vnodectl.lint.documents import read
from vnodectl.lint.engine import Input, Judged, judge, report
from vnodectl.lint.landing import virtual_node
from vnodectl.lint.online import Asked, ask
from vnodectl.runtime.provider import RegistryCredential

THERE = cloud(Placement(region="eastus"))


@dataclass(frozen=True)
class Size:
    cpu: float = 4
    memory: float = 16
    gpu: int = 0


class Says:
    def __init__(self, size: Size | None = None, kinds: dict[str, str] | None = None) -> None:
        self.size, self.kinds = size, kinds or {}
        self.asked: list[tuple[Any, ...]] = []

    async def largest(self, region: str, os: str, *, gpu: str, private: bool) -> Size | None:
        self.asked.append((region, os, gpu, private))
        return self.size

    async def storage_kind(self, account: str) -> str:
        return self.kinds.get(account, "")


class Silent(Says):
    async def largest(self, region: str, os: str, *, gpu: str, private: bool) -> Size | None:
        raise CloudUnreachable("nobody answers")


class Registry:
    def __init__(self, refusals: dict[str, str]) -> None:
        self.refusals = refusals

    async def refusal(self, image: str, credentials: Sequence[RegistryCredential]) -> str:
        return self.refusals.get(image, "")


def judged(*besides: dict[str, Any], **spec: Any) -> tuple[Input, list[Judged]]:
    body = {"containers": [{"name": "main", "image": "nginx"}], **SELECTED, **spec}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}, "spec": body}
    text = "---\n".join(yaml.safe_dump(one) for one in (pod, *besides))
    given = Input(read(text, "a.yaml").sources, THERE, virtual_node(THERE.taint, THERE.os))
    return given, judge(given)


def found(asked: Asked) -> list[tuple[str, tuple[Any, ...], str]]:
    return [(note.rule.code, note.at, note.message) for _, note in asked.notes]


async def test_sizes_over_the_region_s() -> None:
    big = {"name": "main", "image": "nginx", "resources": {"requests": {"cpu": 8, "memory": "20G"}}}
    given, one = judged(containers=[big])
    says = Says(Size())
    asked = await ask(one, THERE, says=says, registry=None)
    message = "the pod asks for 8 cores of 4, 20 GB of 16 that eastus offers"
    assert found(asked) == [("VN-L-055", ("spec", "containers"), message)]
    assert says.asked == [("eastus", "linux", "", False)]
    in_files = "registries are asked in a cluster only (-n or -A), with --check-images"
    assert asked.skipped == (("VN-L-070", in_files),)
    live = await ask(one, THERE, says=says, registry=None, live=True)
    assert live.skipped == (("VN-L-070", "registries are asked with --check-images only"),)
    whole = report(given, one, asked.notes, asked.skipped)
    assert [(finding.code, finding.line > 0) for finding in whole.findings] == [("VN-L-055", True)]
    _, small = judged()
    assert found(await ask(small, THERE, says=says, registry=None)) == []


async def test_a_region_that_does_not_offer_it() -> None:
    _, one = judged()
    asked = await ask(one, THERE, says=Says(None), registry=None)
    assert found(asked)[0][2] == "eastus offers no linux container groups"


async def test_storage_accounts_of_the_first_kind() -> None:
    volumes = [
        {"name": name, "azureFile": {"secretName": name, "shareName": "s"}}
        for name in ("old", "new", "unknown")
    ]
    mounts = [{"name": one["name"], "mountPath": f"/{one['name']}"} for one in volumes]
    secrets = [
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name},
            "stringData": {"azurestorageaccountname": f"{name}account", "azurestorageaccountkey": "k"},
        }
        for name in ("old", "new")
    ]
    container = {"name": "main", "image": "nginx", "volumeMounts": mounts}
    _, one = judged(*secrets, containers=[container], volumes=volumes)
    says = Says(Size(), {"oldaccount": "Storage", "newaccount": "StorageV2"})
    assert found(await ask(one, THERE, says=says, registry=None)) == [
        ("VN-L-049", ("spec", "volumes", 0), "storage account oldaccount is general-purpose v1")
    ]


async def test_images_that_cannot_be_pulled() -> None:
    containers = [{"name": "a", "image": "nginx"}, {"name": "b", "image": "mine.azurecr.io/a"}]
    _, one = judged(containers=containers)
    registry = Registry({"mine.azurecr.io/a": "it wants a login"})
    asked = await ask(one, THERE, says=Says(Size()), registry=registry)
    assert found(asked) == [
        ("VN-L-070", ("spec", "containers", 1, "image"), "mine.azurecr.io/a: it wants a login")
    ]


async def test_without_a_region_its_sizes_are_not_asked_for_and_that_is_said() -> None:
    _, one = judged()
    says = Says(Size())
    asked = await ask(one, cloud(Placement()), says=says, registry=Registry({}))
    assert asked.skipped == (("VN-L-055", "no region is known: give --location"),)
    assert says.asked == []


async def test_an_image_whose_pull_secret_may_not_be_read_is_not_called_unpullable() -> None:
    _, one = judged(imagePullSecrets=[{"name": "pull"}])
    registry = Registry({"nginx": "it wants a login"})
    withheld = {("default", "pull")}
    asked = await ask(one, THERE, says=Says(Size()), registry=registry, withheld=withheld)
    assert asked.skipped == (("VN-L-070", "pull secrets of pods may not be read"),)
    assert found(asked) == []
    elsewhere = {("other", "pull")}
    asked = await ask(one, THERE, says=Says(Size()), registry=registry, withheld=elsewhere)
    assert [code for code, _, _ in found(asked)] == ["VN-L-070"]


async def test_what_is_not_answered_skips_its_rule_and_no_other() -> None:
    _, one = judged()
    asked = await ask(one, THERE, says=Silent(), registry=Registry({"nginx": "no"}))
    assert asked.skipped == (("VN-L-055", "nobody answers"),)
    assert [code for code, _, _ in found(asked)] == ["VN-L-070"]


async def test_offline_and_signed_out_say_so() -> None:
    _, one = judged()
    offline = await ask(one, THERE, says=Says(Size()), registry=Registry({}), offline=True)
    assert dict(offline.skipped) == dict.fromkeys(("VN-L-049", "VN-L-055", "VN-L-070"), "--offline was given")
    out = await ask(one, THERE, says=None, registry=None)
    assert dict(out.skipped)["VN-L-055"] == "nobody is signed in to the cloud"
    there = cloud(Placement("alibaba"))
    assert [code for code, _ in (await ask([], there, says=None, registry=None)).skipped] == ["VN-L-070"]
