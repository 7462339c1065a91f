"""The connector's image, from a full reference or from its parts."""

from __future__ import annotations

from dataclasses import dataclass

from vnodectl.connector.settings import Settings
from vnodectl.errors import UsageError
from vnodectl.references import is_tag, reference_error


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
        if not is_tag(settings.image_tag):
            hint = "use letters, digits, '.', '_' and '-', at most 128"
            raise UsageError(f"bad --image-tag {settings.image_tag!r}", hint=hint)
        base = Image(base.repository, settings.image_tag)
    return base


def parse_image(reference: str) -> Image:
    """`[host[:port]/]path[:tag][@digest]` in its parts, else UsageError."""
    if wrong := reference_error(reference):
        raise UsageError(
            f"bad image reference {reference!r}: {wrong}", hint="write it as repository:tag, in lower case"
        )
    rest, _, digest = reference.partition("@")
    head, slash, last = rest.rpartition("/")
    name, _, tag = last.partition(":")
    return Image(head + slash + name, tag, digest)
