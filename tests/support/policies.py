"""Policies, reports and findings for the tests of the policy engine."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from textwrap import dedent
from typing import Any

from scanner.model import (
    Coverage,
    FileIssue,
    Finding,
    HistoryEntry,
    ImageConfig,
    ImageReport,
    Kind,
    Platform,
    ScanState,
    Severity,
    digest_of,
)
from scanner.model.finding import fingerprint_of
from scanner.policy.compiled import Policy, load_policy
from scanner.policy.subject import Subject
from scanner.policy.vex import Statement

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
DIGEST = digest_of(b"an image")
INDEX = digest_of(b"an index")


def policy(body: str, vex: list[Statement] | None = None) -> Policy:
    """Return the policy of a document's text after its first two lines."""
    return load_policy("version: 1\nname: test\n" + dedent(body), "test.yaml", vex or [])


def finding(rule_id: str = "secret/private-key", **more: Any) -> Finding:
    """Return a finding with a fingerprint of its own."""
    values: dict[str, Any] = {
        "kind": Kind.SECRET,
        "severity": Severity.HIGH,
        "title": f"Title of {rule_id}",
        "why": "why",
        "remedy": "remedy",
        "path": "root/deploy.pem",
    }
    made = Finding(rule_id=rule_id, **(values | more))
    return made if made.fingerprint else finding(rule_id, **more, fingerprint=fingerprint_of(made))


def vulnerability(name: str = "CVE-2026-1", **more: Any) -> Finding:
    """Return a vulnerability; evidence is added to its id."""
    evidence = {"vulnerability": name, **more.pop("evidence", {})}
    values: dict[str, Any] = {
        "kind": Kind.VULNERABILITY,
        "path": "var/lib/dpkg/status",
        "package": "pkg:deb/debian/openssl@3.0.1-1?arch=amd64",
        "identity": name,
    }
    return finding(f"vulnerability/{name}", evidence=evidence, **(values | more))


def image(*findings: Finding, **more: Any) -> ImageReport:
    """Return the report of an image whose base has one layer."""
    coverage = {
        "layers_count": 2,
        "layers_scanned_count": 2,
        "compressed_bytes": 1,
        "uncompressed_bytes": 1,
        "entries_count": 1,
        "files_count": 1,
        "read_count": 1,
        "distribution_recognised": True,
        "ecosystems": {},
        "issues": (),
        "limits": (),
        "not_looked_for": (),
    } | more.pop("coverage", {})
    config = ImageConfig(
        user="app",
        history=(
            HistoryEntry(created_by="ADD rootfs.tar /"),
            HistoryEntry(created_by='CMD ["bash"]', empty_layer=True),
            HistoryEntry(created_by="COPY . /app"),
        ),
    )
    values: dict[str, Any] = {
        "digest": DIGEST,
        "image_id": DIGEST,
        "platform": Platform(),
        "state": ScanState.COMPLETE,
        "coverage": Coverage(**coverage),
        "config": config,
        "findings": tuple(findings),
    }
    return ImageReport(**(values | more))


def subject(*findings: Finding, **more: Any) -> Subject:
    """Return a scanned image of ``registry.example/shop/web:1``."""
    values: dict[str, Any] = {
        "digest": DIGEST,
        "name": "registry.example/shop/web",
        "tag": "1",
        "images": (image(*findings),),
        "scanned_at": NOW - timedelta(hours=1),
    }
    return Subject(**(values | more))


def issue(path: str = "a.jar", code: str = "malformed-file") -> FileIssue:
    """Return an issue of a file."""
    return FileIssue(path=path, reason="cut off", code=code)
