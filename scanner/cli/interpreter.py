"""How the interpreter is set where images are scanned."""

from __future__ import annotations

import gc
import sys
from typing import Final

_GC_THRESHOLD: Final = 50_000
_SWITCH_SECONDS: Final = 0.001


def calm_interpreter() -> None:
    """Let threads change places quickly, and the collector leave what was imported alone."""
    sys.setswitchinterval(_SWITCH_SECONDS)
    gc.freeze()
    gc.set_threshold(_GC_THRESHOLD, 20, 20)
    gc.enable()
