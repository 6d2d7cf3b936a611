"""The policy that counts: read from its file, and anew whenever that changes. A broken one never takes its place."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Hashable
from typing import Final

from scanner.policy.compiled import Policy

CHECK_SECONDS: Final = 2.0
_LOG: Final = logging.getLogger(__name__)


class CurrentPolicy:
    """A policy and whether it is what the file says now.

    ``read`` returns the file's policy or raises SettingsError; ``stamp`` returns what changes when the file (or one that
    it names) does.
    """

    def __init__(
        self, read: Callable[[], Policy], stamp: Callable[[Policy], Hashable] = lambda _policy: None
    ) -> None:
        self._read = read
        self._stamp = stamp
        self.policy = read()
        self.error = ""
        """Why the file is not what counts; empty if it is."""
        self._seen = stamp(self.policy)

    async def watch(self, *, check_seconds: float = CHECK_SECONDS) -> None:
        """Look for changes until cancelled."""
        while True:
            await asyncio.sleep(check_seconds)
            await asyncio.to_thread(self.refresh)

    def refresh(self) -> None:
        """Read the policy anew if its files changed; keep the old one if the new one is wrong, and say so."""
        stamp = self._stamp(self.policy)
        if stamp == self._seen:
            return
        self._seen = stamp
        try:
            policy = self._read()
        except Exception as error:  # noqa: BLE001 - a defect of ours must not end the looking, nor be kept quiet
            self.error = str(error) or type(error).__name__
            _LOG.error(
                "the policy cannot be used: the one before it stays",
                extra={"reason": self.error, "policy_digest": self.policy.document.digest},
            )
            return
        self.policy, self.error = policy, ""
        self._seen = self._stamp(policy)  # it may name other documents
        _LOG.info("policy read anew", extra={"policy_digest": policy.document.digest})
