"""Change what a tag leads to, although others may do so at once, and most registries take whatever comes last.

A registry that knows ``If-Match`` makes it exact. For the others: read, change and write in one quick go, wait longer
than such a go takes, and look whether what was written is still there; if not, again. Who sees that others are at work
looks more often before it leaves.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from scanner.errors import UpstreamError
from scanner.model import Digest, digest_of
from scanner.sources._registry_artifacts import ArtifactRepository, Stored

_ROUNDS_COUNT: Final = 60
_SETTLE_SECONDS: Final = 0.5
_LONGEST_SECONDS: Final = 10.0
_FRESH_SECONDS: Final = 0.1
_FRESH_TRIES: Final = 4
_FAILURES_COUNT: Final = 5
"""Pushes of one tag that may fail in a way that can pass."""
_LOOKS_COUNT: Final = 3
"""How often the tag must be found as it should be, once others were seen at work."""


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


@dataclass(slots=True)
class _Progress:
    """How far a change is."""

    change: TagChange
    written: Digest | None = None
    """What we wrote last."""
    is_busy: bool = False
    """Others have written since we began."""
    looks_count: int = 0
    failures_count: int = 0
    span_seconds: float = 0.0
    """The longest from reading to having written."""

    @property
    def is_done(self) -> bool:
        return self.looks_count >= (_LOOKS_COUNT if self.is_busy else 1)


def change_tags(repository: ArtifactRepository, changes: list[TagChange]) -> None:
    """Make all changes, and see that they last.

    Raises:
        UpstreamError: others changed a tag whenever we did; also what the registry fails with.
    """
    pending = [_Progress(change) for change in changes]
    for _ in range(_ROUNDS_COUNT):
        for one in pending:
            _go(repository, one)
        pending = [one for one in pending if not one.is_done]
        if not pending:
            return
        settle = max(_SETTLE_SECONDS, 4 * max(one.span_seconds for one in pending))
        # At different moments, to get out of each other's way.
        time.sleep(min(settle, _LONGEST_SECONDS) * random.uniform(1.0, 1.7))  # noqa: S311
    raise UpstreamError(
        repository.host,
        f"change tag {pending[0].change.tag}",
        "others change it all the time",
        retryable=True,
    )


def _go(repository: ArtifactRepository, one: _Progress) -> None:
    """Look at a tag, and write it if it is not as it should be."""
    change = one.change
    first = repository.manifest(change.tag)
    change.prepare(first)
    for _ in range(_FRESH_TRIES):
        # Only what has just been read may be written back.
        began = time.monotonic()
        stored = repository.manifest(change.tag)
        content = change.change(stored)
        if content is None or time.monotonic() - began < _FRESH_SECONDS:
            break
    found = stored.digest if stored else None
    if one.written is not None and found != one.written:
        one.is_busy = True
    one.is_busy = one.is_busy or found != (first.digest if first else None)
    if content is None:
        one.looks_count += 1
        return
    etag = stored.etag if stored else ""
    try:
        # Not tried again as it is: others may write before that.
        reply = repository.push_manifest(
            change.tag, content, change.media_type, etag=etag, is_repeated=False
        )
    except UpstreamError as error:
        one.failures_count += 1
        if not error.retryable or one.failures_count > _FAILURES_COUNT:
            raise
        time.sleep(min(error.after_seconds, _LONGEST_SECONDS))
        one.looks_count = 0
        return
    one.is_busy = one.is_busy or reply is None
    one.written = digest_of(content)
    one.looks_count = 0
    one.span_seconds = max(one.span_seconds, time.monotonic() - began)
