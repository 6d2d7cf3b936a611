"""Where tags lead, asked while somebody waits."""

from __future__ import annotations

import asyncio
import threading

import pytest

from scanner.errors import UpstreamError
from scanner.service.tag_answers import TagAnswers

DIGEST = "sha256:" + "ab" * 32


class Names:
    """A registry that hangs until it is let go, if it is told to."""

    def __init__(self, error=None):
        self.error, self.asked, self.closed = error, [], False
        self.goes_on = threading.Event()
        self.goes_on.set()

    def digest_of_tag(self, repository, tag):
        self.asked.append((repository, tag))
        assert self.goes_on.wait(30)
        if self.error:
            raise self.error
        return None if tag == "none" else DIGEST

    def close(self):
        self.closed = True


def asking(use, registries, *, clock=lambda: 0.0, seconds=5.0):
    """Return what ``use`` returns of the answers of some registries, by name."""

    async def main():
        answers = TagAnswers(
            registries.__getitem__, kept_seconds=10.0, registry_seconds=seconds, clock=clock
        )
        try:
            return await use(answers)
        finally:
            for one in registries.values():
                one.goes_on.set()
            answers.close()

    return asyncio.run(main())


def test_asked_once_and_kept_for_a_while():
    now = [0.0]
    names = Names()

    async def use(answers):
        found = await asyncio.gather(*(answers.digest("r", "app", "1") for _ in range(5)))
        now[0] = 9.0
        found.append(await answers.digest("r", "app", "1"))
        first = len(names.asked)
        now[0] = 11.0
        await answers.digest("r", "app", "1")
        return set(found), first, len(names.asked)

    assert asking(use, {"r": names}, clock=lambda: now[0]) == ({DIGEST}, 1, 2)
    assert names.closed


def test_no_such_tag():
    async def use(answers):
        return await answers.digest("r", "app", "none")

    assert asking(use, {"r": Names()}) == ""


def test_an_error_is_kept_for_a_moment():
    now = [0.0]
    names = Names(UpstreamError("r", "ask", "503", retryable=True))

    async def use(answers):
        for moment in (0.0, 1.0, 3.0):
            now[0] = moment
            with pytest.raises(UpstreamError, match="503"):
                await answers.digest("r", "app", "1")

    asking(use, {"r": names}, clock=lambda: now[0])
    assert len(names.asked) == 2


def test_a_registry_that_hangs_keeps_nobody_else_waiting():
    hanging, other = Names(), Names()
    hanging.goes_on.clear()

    async def use(answers):
        waiting = [asyncio.create_task(answers.digest("slow", "app", str(n))) for n in range(50)]
        await asyncio.sleep(0.05)
        found = await answers.digest("r", "app", "1")
        errors = await asyncio.gather(*waiting, return_exceptions=True)
        return found, {str(error) for error in errors}

    found, errors = asking(use, {"slow": hanging, "r": other}, seconds=0.5)
    assert found == DIGEST
    assert errors == {"slow: ask for a tag: no answer within 0.5 seconds"}
    assert len(hanging.asked) == 4
