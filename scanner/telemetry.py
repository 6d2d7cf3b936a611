"""Scans as OpenTelemetry spans, a child for each stage: where its SDK is installed and an endpoint is set.

The SDK's own variables (``OTEL_…``) configure it. A scan is told when it is over; nothing is timed twice.

Source: https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
"""

from __future__ import annotations

import importlib
import logging
import time
from collections.abc import Mapping
from typing import Any, Final

from scanner.model import ScanReport
from scanner.ports import JobState, Lease, LeaseState, WorkQueue

_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_NANO: Final = 1_000_000_000
_LOG: Final = logging.getLogger(__name__)


def traced(queue: WorkQueue, environment: Mapping[str, str]) -> WorkQueue:
    """Return a queue that also tells of every scan that ends; ``queue`` itself if nobody wants to know."""
    if not any(environment.get(name) for name in _ENDPOINTS):
        return queue
    try:
        provider = _provider()
    except ImportError:
        _LOG.warning("OpenTelemetry is configured, but its SDK and OTLP exporter are not installed")
        return queue
    return TracedQueue(queue, provider)


def _provider() -> Any:
    sdk = importlib.import_module("opentelemetry.sdk.trace")
    export = importlib.import_module("opentelemetry.sdk.trace.export")
    otlp = importlib.import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
    resources = importlib.import_module("opentelemetry.sdk.resources")
    # What OTEL_SERVICE_NAME says goes before this.
    named = resources.Resource({"service.name": "scanner"}).merge(
        resources.OTELResourceDetector().detect()
    )
    provider = sdk.TracerProvider(resource=resources.Resource.create().merge(named))
    provider.add_span_processor(export.BatchSpanProcessor(otlp.OTLPSpanExporter()))
    return provider


class TracedQueue:
    """A ``WorkQueue`` around another. What it tells can fail no scan."""

    def __init__(self, queue: WorkQueue, provider: Any) -> None:
        self._queue = queue
        self._provider = provider
        self._tracer = provider.get_tracer("scanner")
        self._trace = importlib.import_module("opentelemetry.trace")

    def lease(self, worker: str) -> Lease | None:
        """Take the scan that is to be done next."""
        return self._queue.lease(worker)

    def wait(self, seconds: float) -> None:
        """Return when there may be something to lease."""
        self._queue.wait(seconds)

    def heartbeat(self, lease: Lease) -> LeaseState:
        """Extend a lease."""
        return self._queue.heartbeat(lease)

    def progress(self, lease: Lease, stage: str, progress: Mapping[str, Any]) -> None:
        """Tell how far a scan is."""
        self._queue.progress(lease, stage, progress)

    def finish(self, lease: Lease, report: ScanReport) -> bool:
        """Store the report, and tell of the scan if that was taken."""
        is_stored = self._queue.finish(lease, report)
        if is_stored:
            self._tell(lease, report.state.value, report.seconds, report.stage_seconds)
        return is_stored

    def fail(
        self, lease: Lease, code: str, reason: str, *, retryable: bool, after_seconds: float = 0.0
    ) -> JobState | None:
        """End an attempt, and tell of it."""
        state = self._queue.fail(
            lease, code, reason, retryable=retryable, after_seconds=after_seconds
        )
        self._tell_failed(lease, state, code)
        return state

    def release(self, lease: Lease, code: str, reason: str) -> JobState | None:
        """Give back a scan, and tell of the attempt."""
        state = self._queue.release(lease, code, reason)
        self._tell_failed(lease, state, code)
        return state

    def close(self) -> None:
        """Close the queue, and send what is not sent yet."""
        self._queue.close()
        self._provider.shutdown()

    def _tell_failed(self, lease: Lease, state: JobState | None, code: str) -> None:
        began_at = lease.scan.started_at
        seconds = max(time.time() - began_at.timestamp(), 0.0) if began_at else 0.0
        self._tell(lease, state.value if state else "lost", seconds, {}, error=code)

    def _tell(
        self,
        lease: Lease,
        state: str,
        seconds: float,
        stages: Mapping[str, float],
        *,
        error: str = "",
    ) -> None:
        end = time.time_ns()
        start = end - round(seconds * _NANO)
        span = self._tracer.start_span(
            "scan", start_time=start, attributes=_attributes(lease, state, error)
        )
        if error or state == "failed":
            span.set_status(self._trace.StatusCode.ERROR, error)
        inside = self._trace.set_span_in_context(span)
        for name, spent in stages.items():
            stop = min(start + round(spent * _NANO), end)
            self._tracer.start_span(name, context=inside, start_time=start).end(end_time=stop)
            start = stop
        span.end(end_time=end)


def _attributes(lease: Lease, state: str, error: str) -> dict[str, str | int]:
    scan = lease.scan
    return {
        "scanner.scan_id": scan.id,
        "scanner.registry": scan.registry,
        "scanner.repository": scan.repository,
        "scanner.tag": scan.tag,
        "scanner.digest": scan.digest,
        "scanner.attempt": lease.attempt,
        "scanner.requested_by": scan.requested_by,
        "scanner.state": state,
        **({"error.type": error} if error else {}),
    }
