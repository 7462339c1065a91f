"""The connector's image, from a full reference or from its parts."""

from __future__ import annotations

import re
from dataclasses import dataclass

from vnodectl.connector.settings import Settings
from vnodectl.errors import UsageError

_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:]+\])(?::[0-9]+)?"
_REPOSITORY = re.compile(rf"(?:{_HOST}/)?{_PART}(?:/{_PART})*")
_TAG = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
"""The grammar of references (https://pkg.go.dev/github.com/distribution/reference): what a kubelet takes."""


@dataclass(frozen=True, slots=True)
class Image:
    """The connector's image. An empty tag means the chart's own version; a digest wins over the tag."""

    repository: str = ""
    tag: str = ""
    digest: str = ""


def image(settings: Settings) -> Image:
    """The image: `--image-repository` and `--image-tag` over the full reference in VNODECTL_IMAGE."""
    base = parse_image(settings.image) if settings.image else Image()
    if settings.image_repository:
        base = parse_image(settings.image_repository)
        if base.digest and settings.image_tag:
            raise UsageError("an image digest and --image-tag exclude each other")
    if settings.image_tag:
        if not _TAG.fullmatch(settings.image_tag):
            hint = "use letters, digits, '.', '_' and '-', at most 128"
            raise UsageError(f"bad --image-tag {settings.image_tag!r}", hint=hint)
        base = Image(base.repository, settings.image_tag)
    return base


def parse_image(reference: str) -> Image:
    """`[host[:port]/]path[:tag][@digest]` in its parts, else UsageError."""
    rest, _, digest = reference.partition("@")
    head, slash, last = rest.rpartition("/")
    name, _, tag = last.partition(":")
    wrong = not _REPOSITORY.fullmatch(head + slash + name) or (":" in last and not _TAG.fullmatch(tag))
    if wrong or ("@" in reference and ":" not in digest):
        raise UsageError(
            f"bad image reference {reference!r}", hint="write it as repository:tag, in lower case"
        )
    return Image(head + slash + name, tag, digest)
