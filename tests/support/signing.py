"""What the service signs, signed in a test: with a fixed key, and the built-in policy."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from support.attesting import ecdsa_signer

from scanner.app_policy import read_policy
from scanner.discovery import predicates
from scanner.service._signing import Setup, sign


def setup(**changes):
    values = {
        "signer": ecdsa_signer(),
        "predicates": tuple(predicates().values()),
        "valid": timedelta(days=7),
        "policy": read_policy("default"),
    }
    return Setup(**(values | changes))


async def sign_all(store, *, now=None, is_published=True, **changes):
    """Sign what is due, as the service does; return what was stored, by digest."""
    chosen = setup(**changes)
    done = {}
    for task in await store.signing_tasks(100):
        report = await store.report(task.digest)
        signed = sign(chosen, report, task, now or datetime.now(UTC))
        assert await store.record_signed(task, signed, is_published=is_published)
        done[task.digest] = signed
    return done
