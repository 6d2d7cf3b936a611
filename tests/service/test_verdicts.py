"""Verdicts of what is stored: kept, and thrown away when something that counts has changed."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from support.policies import NOW, finding, image, policy
from support.sample_report import sample_report

from scanner.errors import StoreError
from scanner.model import Decision, ReasonCode
from scanner.policy.lasting import lasts_until
from scanner.policy.subject import Subject
from scanner.ports import ImageSummary
from scanner.service.current_policy import CurrentPolicy
from scanner.service.verdicts import Verdicts

DIGEST = "sha256:" + "1" * 64
FOUND = finding()
REPORT = msgspec.structs.replace(
    sample_report(),
    digest=DIGEST,
    reference="reg.example/app:1",
    images=(image(FOUND),),
    skipped=(),
)
DENY = "rules: [{name: keys, action: deny, match: {kind: secret}}]\n"
WAIVED = DENY + (
    f"waivers: [{{finding: {FOUND.fingerprint}, reason: r, owner: o, expires: 2026-06-01}}]\n"
)


class Reports:
    """A store of one report, that counts how often it is asked for."""

    def __init__(self, report=REPORT, error=None, *, is_up=True):
        self.report_, self.error, self.is_up, self.asked = report, error, is_up, 0

    async def report(self, _digest):
        self.asked += 1
        await asyncio.sleep(0)
        if self.error:
            raise self.error
        return self.report_

    async def ping(self):
        if not self.is_up:
            raise StoreError("db", "gone")


def summary(scanned_at=NOW, digest=DIGEST, report="f"):
    return ImageSummary(
        digest=digest, kind="image", platform="linux/amd64", config_digest="", state="complete",
        severities={}, packages_count=0, coverage={}, error="", reference="reg.example/app:1",
        fingerprint="f", report_fingerprint=report, scanned_at=scanned_at,
    )  # fmt: skip


class Setting:
    """A judge whose policy and clock can be changed."""

    def __init__(self, body, store=None, **more):
        self.body, self.now, self.stamp = body, NOW, 0
        self.store = store or Reports()
        self.current = CurrentPolicy(lambda: policy(self.body), lambda _policy: self.stamp)
        self.judge = Verdicts(self.store, self.current, clock=lambda: self.now, **more)

    def ask(self, *images, **more):
        async def main():
            return await asyncio.gather(*(self.judge.of_image(i, **more) for i in images))

        return [one.decision for one in asyncio.run(main())]


def test_kept():
    setting = Setting(DENY)
    assert setting.ask(summary(), summary()) == [Decision.DENY] * 2
    assert setting.ask(summary()) == [Decision.DENY]
    assert setting.store.asked == 1


def test_not_for_another_scan_place_or_policy():
    setting = Setting(DENY)
    setting.ask(summary())
    setting.ask(summary(NOW + timedelta(seconds=1)))
    setting.ask(summary(), namespace="prod")
    setting.ask(summary(), name="reg.example/other")
    setting.ask(summary(report="matched again"))
    assert setting.store.asked == 5
    setting.body, setting.stamp = "rules: []\n", 1
    setting.current.refresh()
    assert setting.ask(summary()) == [Decision.ALLOW]


def test_bounded():
    setting = Setting(DENY, kept_reasons=10)
    for number in range(20):
        setting.ask(summary(digest=f"sha256:{number:064x}"))
    assert len(setting.judge._kept) == 5
    assert setting.judge._weight == 10


def test_a_waiver_that_ends():
    setting = Setting(WAIVED)
    assert setting.ask(summary()) == [Decision.ALLOW]
    setting.now = datetime(2026, 6, 3, tzinfo=UTC)
    assert setting.ask(summary()) == [Decision.DENY]


def test_a_scan_that_gets_old():
    setting = Setting("require: {scanned: {within_days: 2}}\n")
    assert setting.ask(summary()) == [Decision.ALLOW]
    setting.now = NOW + timedelta(days=2, seconds=1)
    assert setting.ask(summary()) == [Decision.DENY]


def test_by_the_name_that_is_asked_for():
    scopes = "scopes: [{name: s, match: {image: [reg.example/lab/**]}, rules: [{name: keys, action: ignore}]}]\n"
    setting = Setting(DENY + scopes)
    names = ("", "reg.example/lab/app", "reg.example/app")
    found = [setting.ask(summary(), name=name)[0] for name in names]
    assert found == [Decision.DENY, Decision.ALLOW, Decision.DENY]


def test_a_damaged_report_is_a_denial():
    for store in (Reports(error=StoreError("db", "damaged")), Reports(report=None)):
        setting = Setting("rules: []\n", store)
        assert setting.ask(summary()) == [Decision.DENY]


def test_a_database_that_is_gone():
    setting = Setting(DENY, Reports(error=StoreError("db", "gone"), is_up=False))
    with pytest.raises(StoreError):
        setting.ask(summary())


def test_never_scanned():
    found = Setting(DENY).judge.of_nothing(DIGEST)
    assert (found.decision, found.reasons[0].code) == (Decision.DENY, ReasonCode.NOT_SCANNED)
    ignoring = Setting("require: {scanned: {action: warn}}\n").judge.of_nothing(DIGEST)
    assert ignoring.decision is Decision.WARN


MINUTE = NOW + timedelta(minutes=1)
DAY = NOW + timedelta(days=1)


@pytest.mark.parametrize(
    ("body", "want"),
    [
        (DENY, DAY),
        (WAIVED, datetime(2026, 6, 2, tzinfo=UTC)),
        (WAIVED.replace("06-01", "05-02"), DAY),
        ("require: {scanned: {within_days: 0.5}}", NOW + timedelta(hours=11)),
        ("scopes: [{name: s, match: {image: ['**']}, require: {scanned: {within_days: 0.5}}}]",
         NOW + timedelta(hours=11)),
        ("require: {advisories: {within_hours: 3}}", NOW + timedelta(hours=2)),
        ("rules: [{name: a, action: warn, match: {fix_age_days: 3}}]", MINUTE),
        ("rules: [{name: a, action: warn, match: {}, when: now > timestamp('2026-01-01T00:00:00Z')}]",
         MINUTE),
    ],
)  # fmt: skip
def test_how_long(body, want):
    hour_ago = NOW - timedelta(hours=1)
    subject = Subject(digest=DIGEST, scanned_at=hour_ago, advisories_at=hour_ago)
    assert lasts_until(policy(body), subject, NOW) == want
