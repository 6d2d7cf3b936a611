from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest
from support.sample_report import sample_report

from scanner.model.freshness import advisories_checked_at
from scanner.model.report import AdvisoryState

MAIN, CLEAN, FAILED = sample_report().images
OLD, NEW = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"


def matched(image, **moments):
    state = AdvisoryState(stamp="s", checked_at=moments, out_of_date=())
    return msgspec.structs.replace(image, advisories=state)


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        ([matched(MAIN, debian=NEW, pypi=OLD)], OLD),
        ([matched(MAIN, debian=NEW), matched(CLEAN, debian=OLD)], OLD),
        ([matched(MAIN, debian=NEW), FAILED], NEW),
        ([matched(MAIN, debian=NEW), CLEAN], None),
        ([matched(MAIN)], None),
        ([matched(MAIN, debian=NEW, pypi="")], None),
        ([matched(MAIN, debian="yesterday")], None),
        ([FAILED], None),
        ([], None),
    ],
    ids=[
        "the oldest publisher", "the oldest image", "failed images do not count", "one not matched",
        "matched with nothing", "not known when", "no moment", "nothing scanned", "no image",
    ],
)  # fmt: skip
def test_how_old(images, expected):
    report = msgspec.structs.replace(sample_report(), images=tuple(images))
    found = advisories_checked_at(report)
    assert found == (None if expected is None else datetime.fromisoformat(expected).astimezone(UTC))
