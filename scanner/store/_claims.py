"""Locks that the kernel frees when their holder dies, however it dies.

A claim is an exclusive ``flock`` on a file of its own; every claim opens the file anew, so that threads
of one process exclude each other too. The holder removes the file before letting go; who got the lock of
a removed file tries again with the new one. A file left by a killed process is nobody's claim, and goes
away when the next process opens the store.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, TypeVar

_FIRST_SLEEP_SECONDS: Final = 0.005
_LONGEST_SLEEP_SECONDS: Final = 0.05
_Held = TypeVar("_Held")


@contextmanager
def claim(directory: Path, *names: str, wait_seconds: float) -> Iterator[bool]:
    """Yield True while the claim is held, or False if somebody else held it all of ``wait_seconds``.

    Raises:
        OSError: the lock file cannot be made.
    """
    name = hashlib.sha256("\0".join(names).encode()).hexdigest()[:40]
    path = directory / f"{name}.lock"
    held = poll(lambda: _try(path), wait_seconds)
    try:
        yield held is not None
    finally:
        if held is not None:
            with suppress(OSError):  # a file that stays is nobody's claim
                path.unlink()
            os.close(held)


def remove_abandoned(directory: Path) -> None:
    """Remove the files of claims whose holders were killed; what cannot be removed stays.

    Removing is holding for a moment: whoever wants the claim just then sees it held.
    """
    for path in directory.glob("*.lock"):
        with suppress(OSError):
            file = _try(path)
            if file is not None:
                with suppress(OSError):
                    path.unlink()
                os.close(file)


def poll(attempt: Callable[[], _Held | None], wait_seconds: float) -> _Held | None:
    """Return what ``attempt`` gives as soon as it gives anything, or None after ``wait_seconds``."""
    deadline = time.monotonic() + wait_seconds
    sleep_seconds = _FIRST_SLEEP_SECONDS
    while (held := attempt()) is None:
        left = deadline - time.monotonic()
        if left <= 0:
            return None
        time.sleep(min(sleep_seconds, left))
        sleep_seconds = min(2 * sleep_seconds, _LONGEST_SLEEP_SECONDS)
    return held


def _try(path: Path) -> int | None:
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.stat(path).st_ino == os.fstat(file).st_ino:  # noqa: PTH116 - not removed meanwhile
            return file
    except (BlockingIOError, FileNotFoundError):
        pass
    except BaseException:
        os.close(file)
        raise
    os.close(file)
    return None
