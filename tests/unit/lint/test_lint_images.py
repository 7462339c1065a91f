"""What registries say of images: whether they can be pulled, and what they run."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import pytest
import yaml
from support.linting import SELECTED

from vnodectl.errors import CloudUnreachable
from vnodectl.lint.clouds import Placement, cloud
from vnodectl.lint.documents import read
from vnodectl.lint.engine import Input, Judged, judge, report
from vnodectl.lint.images import Images
from vnodectl.lint.landing import virtual_node
from vnodectl.lint.online import ask
from vnodectl.providers.image_registry import ImageUnknown, Platform
from vnodectl.providers.images import ImageConfig
from vnodectl.runtime.provider import RegistryCredential

PLACE = Placement()
THERE = cloud(PLACE)
AUTH = base64.b64encode(b"user:pw").decode()
PULL = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": "pull"},
    "type": "kubernetes.io/dockerconfigjson",
    "stringData": {".dockerconfigjson": json.dumps({"auths": {"private.example.com": {"auth": AUTH}}})},
}


class Registry:
    """Answers of registries by image."""

    def __init__(self, answers: dict[str, ImageConfig | ImageUnknown]) -> None:
        self.answers = answers
        self.asked: list[tuple[str, Platform, RegistryCredential | None]] = []

    async def config(
        self, image: str, platform: Platform, credential: RegistryCredential | None = None
    ) -> ImageConfig:
        self.asked.append((image, platform, credential))
        answer = self.answers[image]
        if isinstance(answer, ImageUnknown):
            raise answer
        return answer


def given(*containers: dict[str, Any]) -> Input:
    named = [{"name": f"c{index}", **one} for index, one in enumerate(containers)]
    spec = {**SELECTED, "containers": named, "imagePullSecrets": [{"name": "pull"}]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}, "spec": spec}
    text = "---\n".join(yaml.safe_dump(one) for one in (pod, PULL))
    return Input(read(text, "a.yaml").sources, THERE, virtual_node(THERE.taint, THERE.os))


def images(**answers: ImageConfig | ImageUnknown) -> tuple[Images, Registry]:
    registry = Registry(answers)
    return Images(registry, "linux"), registry  # type: ignore[arg-type]


async def test_an_image_is_asked_for_with_the_pull_secret_that_fits() -> None:
    asking, registry = images(**{"private.example.com/a": ImageConfig(), "nginx": ImageConfig()})
    found = judge(given({"image": "private.example.com/a"}, {"image": "nginx"}))
    await asking.look(found)
    assert [(image, credential and credential.password) for image, _, credential in registry.asked] == [
        ("nginx", None),
        ("private.example.com/a", "pw"),
    ]
    assert {platform for _, platform, _ in registry.asked} == {Platform("linux")}
    asked = await ask(found, THERE, says=None, registry=asking)
    assert asked.notes == ()


IDENTITY = "/subscriptions/S/resourceGroups/G/providers/Microsoft.ManagedIdentity/userAssignedIdentities/I"
ACR = "cri-1-registry.cn-hangzhou.cr.aliyuncs.com"


@pytest.mark.parametrize(
    ("place", "annotation", "value", "image"),
    [
        (PLACE, "aci.vnodectl.io/registry-identity", IDENTITY, "mine.azurecr.io/app"),
        (Placement("alibaba"), "k8s.aliyun.com/acr-instance-ids", "cri-1", f"{ACR}/team/app"),
    ],
)
async def test_what_the_group_pulls_as_somebody_else_is_not_judged_from_here(
    place: Placement, annotation: str, value: str, image: str
) -> None:
    there = cloud(place)
    for notes, expected in (({}, ["VN-L-070"]), ({annotation: value}, [])):
        spec = {**SELECTED, "containers": [{"name": "a", "image": image}]}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "annotations": notes}}
        text = yaml.safe_dump({**pod, "spec": spec})
        found = judge(Input(read(text, "a.yaml").sources, there, virtual_node(there.taint, there.os)))
        asking, _ = images(**{image: ImageUnknown("refuses (HTTP 401)", status=401)})
        asked = await ask(found, there, says=None, registry=asking)
        assert [note.rule.code for _, note in asked.notes] == expected


@pytest.mark.parametrize(
    ("error", "finding"),
    [
        (ImageUnknown("no such tag (HTTP 404)", status=404), True),
        (ImageUnknown("refuses to be read (HTTP 401)", status=401), True),
        (ImageUnknown("no image for linux/amd64", final=True), True),
        (ImageUnknown("did not answer"), False),
        (ImageUnknown("HTTP 503", status=503), False),
        (ImageUnknown("HTTP 429", status=429), False),
    ],
)
async def test_only_an_answer_is_a_finding(error: ImageUnknown, finding: bool) -> None:
    asking, _ = images(nginx=error)
    found = judge(given({"image": "nginx"}))
    await asking.look(found)
    asked = await ask(found, THERE, says=None, registry=asking)
    assert [note.rule.code for _, note in asked.notes] == (["VN-L-070"] if finding else [])
    assert ("VN-L-070" in dict(asked.skipped)) is not finding
    if not finding:
        with pytest.raises(CloudUnreachable):
            await asking.refusal("nginx", ())


async def test_a_registry_that_is_silent_hides_nothing_of_the_others() -> None:
    answers = {"silent": ImageUnknown("did not answer"), "gone": ImageUnknown("no tag", status=404)}
    asking, _ = images(**answers)
    found = [*judge(given({"image": "silent"})), *judge(given({"image": "gone"}))]
    asked = await ask(found, THERE, says=None, registry=asking)
    assert [note.message for _, note in asked.notes] == ["gone: no tag"]
    assert ("VN-L-070", "silent: did not answer") in asked.skipped


async def test_a_registry_is_asked_once_for_an_image_of_many_pods() -> None:
    answers = {"gone": ImageUnknown("no tag", status=404), "silent": ImageUnknown("did not answer")}
    asking, registry = images(**answers, nginx=ImageConfig())
    found = [one for image in (*answers, "nginx") for one in judge(given({"image": image})) * 3]
    await asking.look(found)
    asked = await ask(found, THERE, says=None, registry=asking)
    assert [image for image, _, _ in registry.asked] == ["gone", "nginx", "silent", "silent"]
    assert len(asked.notes) == 3


async def test_what_an_image_says_of_itself_settles_what_its_manifest_leaves_open() -> None:
    def codes(one: Input, found: list[Judged]) -> list[str]:
        return [finding.code for finding in report(one, found).findings]

    before = given({"image": "nginx", "args": ["--port=80"]})
    found = judge(before)
    assert codes(before, found) == ["VN-L-029"]
    asking, _ = images(nginx=ImageConfig(entrypoint=("nginx",)))
    await asking.look(found)
    after = replace(before, cloud=cloud(replace(PLACE, images=asking.configs)))
    assert codes(after, judge(after)) == []
