from __future__ import annotations

from answers_fill import FINGERPRINT, digest_of_number, fill
from support.sample_report import sample_report
from support.service_store import scan, single, with_store

from scanner.ports import FindingFilter, JobState, ScanRequest


def test_a_filled_store_answers_like_any_other(where):
    fill(where, 45)

    async def ask(store):
        digests = [digest_of_number(number) for number in range(46)]
        images = await store.images(digests)
        last = digests[44]
        again = ScanRequest(registry="registry.example", repository="team/app", digest=last)
        return (
            list(images) == digests[:45],
            (await store.report(last)).images[0].packages != (),
            len((await store.packages(last)).items),
            len((await store.findings(FindingFilter(digest=last))).items),
            (await store.queue_counts()).counts[JobState.COMPLETE],
            (await store.scan_of(last)).fingerprint == FINGERPRINT,
            (await store.enqueue(again, FINGERPRINT)).is_new,
            (await store.tag_history("registry.example", "team/app", "v44")).items[0].digest == last,
        )  # fmt: skip

    assert with_store(where, ask) == (True, True, 4, 3, 45, True, False, True)
    scan(where, single(sample_report(), 0))  # keys go on after those that were copied
