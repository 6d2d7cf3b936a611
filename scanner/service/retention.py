"""Let go, now and then, of what nobody needs any more."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from scanner.errors import StoreError

_LOG: Final = logging.getLogger(__name__)


async def run_retention(collect: Callable[[], Mapping[str, int]], *, every_seconds: float) -> None:
    """Call ``collect`` in a thread, again and again, until cancelled; it returns counts of what went, by kind."""
    # Of its own: the loop waits for threads of the default one when it ends, however long they take.
    thread = ThreadPoolExecutor(1, thread_name_prefix="retention")
    try:
        while True:
            await _collect(collect, thread)
            await asyncio.sleep(every_seconds)
    finally:
        thread.shutdown(wait=False, cancel_futures=True)


async def _collect(collect: Callable[[], Mapping[str, int]], thread: ThreadPoolExecutor) -> None:
    try:
        counts = await asyncio.get_running_loop().run_in_executor(thread, collect)
    except StoreError as error:
        _LOG.warning("nothing was let go of", extra={"code": error.code})
    except Exception:  # noqa: BLE001 - a defect here must not end the service
        _LOG.exception("retention broke off")
    else:
        gone = {f"{kind}_count": count for kind, count in counts.items() if count}
        _LOG.info("let go of what nobody needs", extra=gone)
