"""Scans run in processes of their own: start those, start again what died, let all finish on drain."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import os
import signal
from collections.abc import Sequence
from typing import Final

from scanner.web._metrics import Metrics

_FIRST_WAIT_SECONDS: Final = 0.5
_LONGEST_WAIT_SECONDS: Final = 30.0
_STEADY_SECONDS: Final = 60.0
"""A worker that ran this long has done well: the next death begins with the shortest wait again."""
_NICENESS: Final = 5
"""Answers are due in milliseconds, scans are not: with this, they get three times the processor of a scan."""
_PR_SET_PDEATHSIG: Final = 1
_LOG: Final = logging.getLogger(__name__)


def _become_worker() -> None:
    """Give way to whoever answers, and end with it; run between fork and exec.

    The kernel (Linux) asks this process to finish when the service is killed.
    """
    with contextlib.suppress(OSError):
        os.nice(_NICENESS)
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class Workers:
    """``count`` processes running ``command``."""

    def __init__(self, command: Sequence[str], count: int, metrics: Metrics) -> None:
        self._command = tuple(command)
        self._count = count
        self._metrics = metrics
        self._running: set[asyncio.subprocess.Process] = set()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Start all of them; needs a running loop."""
        self._tasks = [asyncio.create_task(self._keep(n)) for n in range(self._count)]

    async def stop(self, *, grace_seconds: float) -> None:
        """Ask all to finish and wait; those that have not after ``grace_seconds`` are killed.

        A killed worker's leases run out, and another does its scans.
        """
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        processes = tuple(self._running)
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        waits = [asyncio.create_task(process.wait()) for process in processes]
        if waits:
            await asyncio.wait(waits, timeout=grace_seconds)
        for process in processes:
            if process.returncode is None:
                _LOG.warning("worker did not finish in time", extra={"pid": process.pid})
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
        await asyncio.gather(*waits)
        self._running.clear()

    async def _keep(self, number: int) -> None:
        loop = asyncio.get_running_loop()
        wait_seconds = _FIRST_WAIT_SECONDS
        while True:
            began = loop.time()
            code = await self._run_once(number)
            if loop.time() - began > _STEADY_SECONDS:
                wait_seconds = _FIRST_WAIT_SECONDS
            _LOG.warning(
                "worker ended; starting another",
                extra={"worker": number, "exit_code": code, "wait_seconds": wait_seconds},
            )
            await asyncio.sleep(wait_seconds)
            wait_seconds = min(wait_seconds * 2, _LONGEST_WAIT_SECONDS)

    async def _run_once(self, number: int) -> int:
        # A session of its own: Ctrl-C at a terminal reaches us alone, and we tell them.
        process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=_become_worker,
        )
        self._running.add(process)
        self._metrics.worker_starts.inc()
        self._metrics.workers.inc()
        _LOG.info("worker started", extra={"worker": number, "pid": process.pid})
        try:
            code = await process.wait()
        finally:
            self._metrics.workers.dec()
        self._running.discard(process)
        return code
