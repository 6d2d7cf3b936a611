"""Content digests: two types, so that the two of a layer cannot be swapped.

Source: https://github.com/opencontainers/image-spec/blob/main/descriptor.md#digests
"""

from __future__ import annotations

import hashlib
import re
from typing import NewType

from scanner.errors import InvalidReferenceError

Digest = NewType("Digest", str)
"""``algorithm:hex`` of bytes as they are stored and sent (for a layer: compressed)."""

DiffID = NewType("DiffID", str)
"""``algorithm:hex`` of a layer's uncompressed tar, including what follows its end."""

_DIGEST = re.compile(r"(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})\Z")


def parse_digest(text: object) -> Digest:
    """Return ``text`` as a digest.

    Raises:
        InvalidReferenceError: not a string, not ``sha256:`` or ``sha512:`` with lowercase hex.
    """
    if not isinstance(text, str) or not _DIGEST.match(text):
        raise InvalidReferenceError(str(text)[:160], "not a sha256 or sha512 digest")
    return Digest(text)


def parse_diff_id(text: object) -> DiffID:
    """Return ``text`` as a DiffID; raises like :func:`parse_digest`."""
    return DiffID(parse_digest(text))


def digest_of(content: bytes, algorithm: str = "sha256") -> Digest:
    """Return the digest of ``content``; ``algorithm`` is ``sha256`` or ``sha512``."""
    return Digest(f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}")
