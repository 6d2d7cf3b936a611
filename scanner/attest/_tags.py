"""Change what a tag leads to, although others may do so at once, and most registries take whatever comes last.

A registry that knows ``If-Match`` makes it exact. For the others: read, change and write in one quick go, wait longer
than such a go takes, and look whether what was written is still there; if not, again.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from scanner.errors import UpstreamError
from scanner.sources._registry_artifacts import ArtifactRepository, Stored

_ROUNDS_COUNT: Final = 60
_SETTLE_SECONDS: Final = 0.4
_LONGEST_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class TagChange:
    """What is to become of a tag.

    ``prepare`` fetches whatever ``change`` needs to know of the content, which may take its time. ``change`` is quick;
    it returns the new manifest, or None if all is as it should be.
    """

    tag: str
    media_type: str
    prepare: Callable[[Stored | None], None]
    change: Callable[[Stored | None], bytes | None]


def change_tags(repository: ArtifactRepository, changes: list[TagChange]) -> None:
    """Make all changes, and see that they last.

    Raises:
        UpstreamError: others changed a tag whenever we did; also what the registry fails with.
    """
    pending = changes
    for _ in range(_ROUNDS_COUNT):
        spans: list[float] = []
        again = [one for one in pending if _write(repository, one, spans)]
        if not again:
            return
        pending = again
        settle = min(max(_SETTLE_SECONDS, 4 * max(spans)), _LONGEST_SECONDS)
        time.sleep(settle * random.uniform(1.0, 1.5))  # noqa: S311 - to get out of each other's way
    raise UpstreamError(
        repository.host,
        f"change tag {pending[0].tag}",
        "others change it all the time",
        retryable=True,
    )


def _write(repository: ArtifactRepository, one: TagChange, spans: list[float]) -> bool:
    """Write if there is anything to write; say whether there was, so that it has to be looked at again."""
    one.prepare(repository.manifest(one.tag))
    # Only what has just been read may be written back.
    began = time.monotonic()
    stored = repository.manifest(one.tag)
    content = one.change(stored)
    if content is None:
        return False
    repository.push_manifest(one.tag, content, one.media_type, etag=stored.etag if stored else "")
    spans.append(time.monotonic() - began)
    return True
