"""Spans of scans: none unless wanted, and with the SDK a span per scan with its stages inside."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from support.sample_report import sample_report

from scanner.model import ScanState
from scanner.ports import JobState, Lease, ScanRecord
from scanner.telemetry import TracedQueue, traced

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}


class EndingQueue:
    """A queue whose scans can only end."""

    def __init__(self):
        self.is_stored = True
        self.ended = []

    def finish(self, lease, report):
        self.ended.append(report.digest)
        return self.is_stored

    def fail(self, lease, code, reason, *, retryable, after_seconds):
        self.ended.append((code, reason, retryable, after_seconds))
        return JobState.QUEUED

    def release(self, lease, code, reason):
        self.ended.append((code, reason))
        return JobState.QUEUED

    def close(self):
        self.ended.append("closed")


def lease_of():
    now = datetime.now(UTC)
    record = ScanRecord(
        id="01",
        reference="r.example/a:1",
        registry="r.example",
        repository="a",
        tag="1",
        digest="sha256:x",
        platforms=(),
        state=JobState.SCANNING,
        priority=1,
        requested_by="webhook/x",
        attempts=1,
        stage="",
        progress={},
        error_code="",
        error="",
        created_at=now,
        not_before_at=now,
        started_at=now - timedelta(seconds=2),
        finished_at=None,
        leased_by="w",
        fingerprint="f",
        cancel_requested=False,
    )
    return Lease(scan=record, worker="w", attempt=2)


def report_of(**more):
    values = {"state": ScanState.COMPLETE, "seconds": 3.0} | more
    stages = {"resolve": 1.0, "extract": 2.0}
    return msgspec.structs.replace(sample_report(), stage_seconds=stages, **values)


def test_nobody_wants_to_know():
    queue = EndingQueue()
    assert traced(queue, {}) is queue


def test_without_the_sdk_it_is_said_once(monkeypatch, caplog):
    monkeypatch.setitem(__import__("sys").modules, "opentelemetry.sdk.trace", None)
    queue = EndingQueue()
    with caplog.at_level(logging.WARNING):
        assert traced(queue, ENDPOINT) is queue
    assert "not installed" in caplog.text


@pytest.fixture
def spans():
    sdk = pytest.importorskip("opentelemetry.sdk.trace")
    memory = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter")
    export = pytest.importorskip("opentelemetry.sdk.trace.export")
    exporter = memory.InMemorySpanExporter()
    provider = sdk.TracerProvider()
    provider.add_span_processor(export.SimpleSpanProcessor(exporter))
    queue = EndingQueue()
    return TracedQueue(queue, provider), queue, exporter


def seconds(span):
    return round((span.end_time - span.start_time) / 1e9, 3)


def test_a_finished_scan_and_its_stages(spans):
    queue, inner, exporter = spans
    assert queue.finish(lease_of(), report_of())
    resolve, extract, scan = exporter.get_finished_spans()
    assert [(s.name, seconds(s)) for s in (resolve, extract, scan)] == [
        ("resolve", 1.0),
        ("extract", 2.0),
        ("scan", 3.0),
    ]
    assert resolve.parent.span_id == extract.parent.span_id == scan.context.span_id
    assert scan.attributes["scanner.repository"] == "a"
    assert scan.attributes["scanner.attempt"] == 2
    assert scan.status.is_ok
    assert len(inner.ended) == 1


def test_what_failed(spans):
    queue, inner, exporter = spans
    assert queue.finish(lease_of(), report_of(state=ScanState.FAILED))
    state = queue.fail(lease_of(), "upstream-error", "why", retryable=True, after_seconds=3)
    assert state is JobState.QUEUED
    assert inner.ended[-1] == ("upstream-error", "why", True, 3)
    assert queue.release(lease_of(), "interrupted", "told to stop") is JobState.QUEUED
    assert inner.ended[-1] == ("interrupted", "told to stop")
    spans_seen = [s for s in exporter.get_finished_spans() if s.name == "scan"]
    assert [s.status.is_ok for s in spans_seen] == [False, False, False]
    assert spans_seen[1].attributes["error.type"] == "upstream-error"
    assert seconds(spans_seen[1]) >= 2


def test_a_lost_lease_is_not_told(spans):
    queue, inner, exporter = spans
    inner.is_stored = False
    assert not queue.finish(lease_of(), report_of())
    assert exporter.get_finished_spans() == ()


def test_close(spans):
    queue, inner, _ = spans
    queue.close()
    assert inner.ended == ["closed"]
