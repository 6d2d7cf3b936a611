"""Small files of the cache directory: written whole or not at all, and nothing left of who was killed while writing."""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path

from scanner.processes import is_running


def save(path: Path, content: bytes) -> None:
    """Write a file atomically; a cache that cannot be written is only slower."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content)
        temporary.replace(path)


def remove_abandoned(directory: Path, pattern: str = "*.tmp") -> None:
    """Remove what killed processes left half-written: files named ``….process.anything.tmp``.

    A file of another machine's process may go too, and is then written anew: see :func:`save`.
    """
    for path in directory.glob(pattern):
        process = path.name.split(".")[-3:-2]
        if process and process[0].isdigit() and not is_running(int(process[0])):
            with contextlib.suppress(OSError):
                path.unlink()
