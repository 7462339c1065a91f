"""The connector's image, from a full reference or from its parts."""

from __future__ import annotations

from dataclasses import dataclass

from vnodectl.connector.settings import Settings
from vnodectl.errors import UsageError


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
        base = Image(base.repository, settings.image_tag)
    return base


def parse_image(reference: str) -> Image:
    """`[host[:port]/]path[:tag][@digest]` in its parts, else UsageError."""
    rest, _, digest = reference.partition("@")
    head, slash, last = rest.rpartition("/")
    name, _, tag = last.partition(":")
    if not name or any(part.isspace() for part in reference) or (digest and ":" not in digest):
        raise UsageError(f"bad image reference {reference!r}", hint="write it as repository:tag")
    return Image(head + slash + name, tag, digest)
