"""Keys under which rows are found."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable


def dedupe_key(registry: str, repository: str, subject: str, platforms: Iterable[str]) -> str:
    """Return what two requests for the same scan share. ``subject`` is the digest, else the tag."""
    return sha256_of("\0".join((registry, repository, subject, *sorted(set(platforms)))))


def sha256_of(text: str) -> str:
    """Return the SHA-256 of any text, in hex."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
