"""Tags with what they lead to, repository by repository; what is no image by its name is left out."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final

from scanner.errors import InputError, InvalidReferenceError, UpstreamError
from scanner.ports import Priority, ScanRequest, ServiceStore, TagCheck
from scanner.service._walk import Target, Walk

CHUNK_COUNT: Final = 50
"""Tags that are told to the store at once."""
_ATTACHED = re.compile(r"sha(?:256-[0-9a-f]{64}|512-[0-9a-f]{128})(?:\.[a-z]{1,16})?\Z")
"""Signatures, attestations and referrers as tags name them; they say something of an image, and are none."""


@dataclass(frozen=True, slots=True)
class Tagged:
    """A tag and the digest it leads to; if there is none, why it is left out."""

    target: Target
    tag: str
    digest: str = ""
    skipped: str = ""
    passes: bool = False
    """Whether asking again later may help."""


async def repositories_of(walk: Walk, target: Target) -> AsyncIterator[Target]:
    """Yield the target's repositories: itself if it is one.

    Raises:
        UpstreamError: the registry does not list them.
    """
    if target.repository:
        yield target
        return
    async for name in walk.repositories():
        yield Target(target.registry, name)


async def tags_of(
    walk: Walk, target: Target, *, is_wanted: Callable[[str], bool] = lambda _tag: True
) -> AsyncIterator[list[Tagged]]:
    """Yield a repository's wanted tags in chunks of at most ``CHUNK_COUNT``.

    Raises:
        UpstreamError: the registry does not list them.
    """
    chunk: list[Tagged] = []
    async for tag in walk.tags(target.repository):
        if not is_wanted(tag):
            continue
        chunk.append(await _tagged(walk, target, tag))
        if len(chunk) == CHUNK_COUNT:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


async def _tagged(walk: Walk, target: Target, tag: str) -> Tagged:
    if _ATTACHED.match(tag):
        return Tagged(target, tag, skipped="signature or attestation")
    try:
        digest = await walk.digest(target.repository, tag)
    except (InputError, InvalidReferenceError, UpstreamError) as error:
        return Tagged(target, tag, skipped=error.code, passes=error.retryable)
    return Tagged(target, tag, digest) if digest else Tagged(target, tag, skipped="gone")


def requests_for(found: list[Tagged], requested_by: str) -> list[ScanRequest]:
    """Return one request for each distinct digest, that nobody waits for."""
    by_digest = {one.digest: one for one in found if one.digest}
    return [
        ScanRequest(
            registry=one.target.registry,
            repository=one.target.repository,
            digest=digest,  # without the tag: what it leads to was asked just now
            priority=Priority.BACKGROUND,
            requested_by=requested_by,
        )
        for digest, one in by_digest.items()
    ]


async def record_tags(store: ServiceStore, found: list[Tagged]) -> None:
    """Record what tags lead to; raises StoreError."""
    for one in found:
        if one.digest:
            check = TagCheck(
                registry=one.target.registry,
                repository=one.target.repository,
                tag=one.tag,
                attempts=0,
                told_id="",  # nobody's word is answered by this
            )
            await store.record_tag(check, one.digest)
