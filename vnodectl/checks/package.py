"""The chart and the image that would be installed."""

from __future__ import annotations

import asyncio
import re
import shlex

from vnodectl.checks.context import Context
from vnodectl.checks.model import Answer, Check, Resource, Severity, failed, not_applicable, passed, warned
from vnodectl.checks.readers import JSON, SecretRef
from vnodectl.errors import ToolMissing, Unreachable

_PATIENCE = 8.0
"""Seconds. Where the registry is out of reach from here, nobody is to wait long to be told so."""

_VERSION = re.compile(r"\d+\.\d+\.\d+")


async def chart_pinned(context: Context) -> Answer:
    """The built-in chart is part of this program. An archive on this machine with a provenance file
    (`.tgz.prov`) beside it is verified by `helm verify` with your keyring; one without, or a directory, is
    taken as it is. A chart by URL is pinned by a digest, less so by a version; its signature is not looked
    at: fetch it with `helm pull --verify`, and give the archive.
    """
    reference = context.target.chart
    if not reference:
        return passed("built into this release of vnodectl")
    if "://" not in reference or reference.startswith("file://"):
        return await _on_this_machine(context, reference)
    if re.search(r"@sha256:[0-9a-f]{64}$", reference):
        return passed("pinned by its digest")
    if _VERSION.search(reference.rpartition("/")[2]):
        return warned(
            "the chart is pinned by a version, which can be published anew with other content",
            evidence=reference,
            fix="name it by its digest: --chart-url oci://…@sha256:…, or helm pull --verify and give that",
        )
    return warned(
        "the chart is whatever its server calls the newest",
        evidence=reference,
        fix="name a digest or a version: --chart-url oci://…@sha256:…",
    )


async def _on_this_machine(context: Context, reference: str) -> Answer:
    if context.missing(Resource.HELM):
        return passed(f"{reference} on this machine; nobody could look for a signature")
    try:
        found = await context.helm.signature(reference)
    except ToolMissing as error:
        return passed(f"{reference} on this machine; no signature was looked for: {error.message}")
    if found is None:
        return passed(f"{reference} on this machine, without a provenance file: not verified")
    if found.problem:
        return failed(
            "the chart's signature is not good: it may not be what its maker signed",
            evidence=found.problem,
            fix=f"helm verify {shlex.quote(reference)}"
            "  # with the signer's public key in your keyring; else fetch the chart and its .prov anew",
        )
    return passed(f"{reference} on this machine, signed by {found.signer}")


async def image_pullable(context: Context) -> Answer:
    """Asked from here: nodes may have other ways to the registry, and other credentials."""
    found = [spec for one in await context.helm.manifests() if (spec := _pod_spec(one)) is not None]
    if not found:
        return not_applicable("the plan is not complete, so the image is not known")
    image = str(found[0]["containers"][0]["image"])
    secrets = [
        SecretRef(context.target.namespace, str(one["name"]))
        for one in found[0].get("imagePullSecrets") or ()
    ]
    try:
        async with asyncio.timeout(_PATIENCE):
            answer = await context.registry.manifest(image, secrets)
    except TimeoutError:
        return not_applicable(f"its registry does not answer here within {_PATIENCE:g} s")
    except Unreachable as error:
        return not_applicable(f"its registry cannot be asked from here: {error.message}")
    if answer.status in {401, 403}:
        with_secret = f" with {', '.join(one.name for one in secrets)}" if secrets else ""
        return failed(
            f"the registry does not give {image} away{with_secret}",
            evidence=answer.detail,
            fix=(
                f"kubectl create secret docker-registry vnode-pull -n {context.target.namespace}"
                " --docker-server=<host> --docker-username=<user> --docker-password=<secret>"
            ),
        )
    if answer.status == 404:
        return failed(
            f"there is no image {image}",
            evidence=answer.detail,
            fix="name one that exists with --image-repository and --image-tag",
        )
    if answer.status != 200:
        return warned(
            f"the registry cannot give {image} to the nodes",
            evidence=answer.detail or f"HTTP {answer.status}",
            fix="name another one with --image-repository and --image-tag",
        )
    if "@" not in image and image.rpartition(":")[2] in {"latest", image}:
        return warned(
            "the image has no fixed version: nodes may run different ones",
            evidence=image,
            fix="name a version with --image-tag",
        )
    return passed(image)


def _pod_spec(manifest: JSON) -> JSON | None:
    if manifest.get("kind") != "Deployment":
        return None
    spec: JSON = manifest["spec"]["template"]["spec"]
    return spec


CHECKS = (
    Check(
        "VN-REL-004",
        "release",
        "Is the chart signed or pinned?",
        chart_pinned,
        resources=frozenset({Resource.PLAN}),
        why="A chart that may change between two installations may bring anything into the cluster.",
    ),
    Check(
        "VN-REL-005",
        "release",
        "Can the connector's image be pulled?",
        image_pullable,
        severity=Severity.WARNING,
        needs=("VN-TOOL-002",),
        resources=frozenset({Resource.PLAN, Resource.HELM, Resource.REGISTRY}),
        why="Nodes that cannot pull the image keep the connector's pod in ImagePullBackOff.",
    ),
)
