"""Package lists of real images equal what the images' own tools say: not one missing, not one extra."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from support.images import Row, built_image, installed, scan_report, wrong_groups
from support.registry import RunningRegistry, registry

__all__ = ["registry"]

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

IMAGES = ("tiny", "debian", "deletions", "python", "node", "go", "java", "ruby", "rust", "rpm")
NO_DIFFERENCE: dict[str, list[Row]] = {"missing": [], "extra": []}


@pytest.mark.parametrize("name", IMAGES)
def test_packages_are_what_the_tools_say(
    name: str, registry: RunningRegistry, tmp_path: Path
) -> None:
    image = built_image(name)
    report = scan_report(image.push(registry.host), tmp_path, host=registry.host)
    told, found = image.told(), set(installed(report))
    assert {"missing": sorted(told - found), "extra": sorted(found - told)} == NO_DIFFERENCE
    assert wrong_groups(image, report) == []
    assert reported_twice(report) == []


def reported_twice(report: dict[str, Any]) -> list[tuple[str, ...]]:
    keys = ("purl_type", "namespace", "name", "version", "path")
    (image,) = report["images"]
    seen = Counter(
        (*(p.get(key, "") for key in keys), str(p.get("qualifiers")))
        for p in image.get("packages", ())
    )
    return [key for key, count in seen.items() if count > 1]
