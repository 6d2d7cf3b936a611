"""Other processes of this machine."""

from __future__ import annotations

import os


def is_running(process: int) -> bool:
    """Say whether there is a process of that number on this machine."""
    if process <= 0:
        return False
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True
