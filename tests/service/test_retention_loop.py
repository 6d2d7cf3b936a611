"""Retention is called again and again, whatever becomes of a call."""

from __future__ import annotations

import asyncio
import contextlib
import logging

from scanner.errors import StoreError
from scanner.service.retention import run_retention


def test_goes_on_after_errors(caplog):
    outcomes = iter([StoreError("x", "busy"), {"scans": 3, "images": 0}, ZeroDivisionError(), {}])
    finished = asyncio.Event()

    def collect():
        outcome = next(outcomes, None)
        if outcome is None:
            loop.call_soon_threadsafe(finished.set)
            return {}
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def main():
        nonlocal loop
        loop = asyncio.get_running_loop()
        task = asyncio.create_task(run_retention(collect, every_seconds=0.001))
        await finished.wait()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    loop = None
    with caplog.at_level(logging.INFO, "scanner.service.retention"):
        asyncio.run(main())
    assert [record.getMessage() for record in caplog.records][:4] == [
        "nothing was let go of",
        "let go of what nobody needs",
        "retention broke off",
        "let go of what nobody needs",
    ]
    assert caplog.records[1].scans_count == 3
    assert not hasattr(caplog.records[1], "images_count")
