"""Whether a zstd file is whole: decoders take a file that ends inside a frame for one that ends there.

Source: https://www.rfc-editor.org/rfc/rfc8878#name-frames
"""

from __future__ import annotations

import os
from typing import BinaryIO, Final

MAGIC: Final = b"\x28\xb5\x2f\xfd"
_DICTIONARY_BYTES: Final = (0, 1, 2, 4)
_CONTENT_SIZE_BYTES: Final = (0, 2, 4, 8)
_SKIPPABLE: Final = 5
_RLE: Final = 1
_RESERVED: Final = 3


def is_skippable(head: bytes) -> bool:
    """Say whether bytes begin a frame that holds nothing of the content."""
    return head[1:4] == b"\x2a\x4d\x18" and head[0] >> 4 == _SKIPPABLE


def is_whole(stream: BinaryIO) -> bool:
    """Say whether a file consists of whole frames; it is read from its beginning, blocks are skipped over."""
    size = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    at = 0
    while at < size:
        end = _frame_end(stream, at)
        if end is None or end > size:
            return False
        at = stream.seek(end)
    return size > 0


def _frame_end(stream: BinaryIO, at: int) -> int | None:
    """Return where the frame that begins here ends; None if it is none, or is cut off."""
    head = stream.read(4)
    if is_skippable(head):
        length = stream.read(4)
        return at + 8 + int.from_bytes(length, "little") if len(length) == 4 else None  # noqa: PLR2004 - its size
    descriptor = stream.read(1)
    if head != MAGIC or not descriptor:
        return None
    flags = descriptor[0]
    is_single = flags >> 5 & 1
    fields = _DICTIONARY_BYTES[flags & 3] + (_CONTENT_SIZE_BYTES[flags >> 6] or is_single)
    at = stream.seek(fields + (not is_single), os.SEEK_CUR)
    is_last = False
    while not is_last:
        block = stream.read(3)
        if len(block) < 3:  # noqa: PLR2004 - its size
            return None
        value = int.from_bytes(block, "little")
        is_last, kind, size = bool(value & 1), value >> 1 & 3, value >> 3
        if kind == _RESERVED:
            return None
        at = stream.seek(1 if kind == _RLE else size, os.SEEK_CUR)
    return at + (4 if flags >> 2 & 1 else 0)
