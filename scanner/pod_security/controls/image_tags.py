"""Images that are not named by digest.

Source: https://kubernetes.io/docs/concepts/containers/images/
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from scanner.errors import InvalidReferenceError
from scanner.model import Kind, Severity
from scanner.model.pod import Pod
from scanner.model.reference import DEFAULT_TAG, parse_reference
from scanner.pod_security.controls._shared import breach, containers, quoted
from scanner.ports.control import Breach, Control, Level, Place, PodContext


def images(pod: Pod) -> Iterator[Place]:
    """Yield every image that the pod names: those of containers, then those of volumes."""
    for container, path in containers(pod):
        if container.image:
            yield Place((*path, "image"), container.name, container.image)
    for number, volume in enumerate(pod.spec.volumes):
        source = volume.get("image")
        reference = source.get("reference") if isinstance(source, dict) else None
        if isinstance(reference, str) and reference:
            yield Place(("spec", "volumes", number, "image", "reference"), value=reference)


def _tag(image: str) -> str | None:
    """Return the tag that decides; None where a digest does. What is no reference is not pinned either."""
    try:
        reference = parse_reference(image)
    except InvalidReferenceError:
        return "?"
    return None if reference.digest else reference.tag


def check_latest(pod: Pod, context: PodContext) -> Breach | None:  # noqa: ARG001
    """Find images without a tag, or with ``latest``."""
    places = [place for place in images(pod) if _tag(place.value) == DEFAULT_TAG]
    return breach("latest image", quoted(place.value for place in places), places)


def check_tags(pod: Pod, context: PodContext) -> Breach | None:  # noqa: ARG001
    """Find images with another tag and no digest."""
    places = [place for place in images(pod) if _tag(place.value) not in {None, DEFAULT_TAG}]
    return breach("image without digest", quoted(place.value for place in places), places)


CONTROL: Final = (
    Control(
        name="latestImage",
        rule_id="pod/image-latest",
        level=Level.PRIVILEGED,
        kind=Kind.CONFIG,
        severity=Severity.MEDIUM,
        title="An image is whatever is newest",
        why="What runs changes with every restart, differs between nodes, and cannot be told from what was scanned.",
        remedy="Name the image by digest: registry.example/app:1.2@sha256:….",
        fields="`image` of containers and volumes: with a tag that is not latest, or a digest",
        check=check_latest,
    ),
    Control(
        name="imageTag",
        rule_id="pod/image-not-pinned",
        level=Level.PRIVILEGED,
        kind=Kind.CONFIG,
        severity=Severity.LOW,
        title="An image is named by a tag that can be moved",
        why="Who may push to the repository decides what runs, after it was scanned.",
        remedy="Name the image by digest: registry.example/app:1.2@sha256:….",
        fields="`image` of containers and volumes: with a digest",
        check=check_tags,
    ),
)
