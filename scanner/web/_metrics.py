"""What is measured, for Prometheus. Labels are of closed sets: no digest, path, host or name of a caller.

Source: https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from scanner.ports import JobState
from scanner.ports.attestations import PublicationState

MEDIA_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_LATENCY_BUCKETS: Final = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
)  # fmt: skip
_SCAN_BUCKETS: Final = (0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0)


class Metrics:
    """The instruments of one service process, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Histogram(
            "scanner_request_seconds",
            "Time to answer, by route and status.",
            ("method", "route", "status"),
            buckets=_LATENCY_BUCKETS,
            registry=self.registry,
        )
        self.answers = Counter(
            "scanner_image_answers",
            "Answers about a digest, by the state told.",
            ("state",),
            registry=self.registry,
        )
        self.admissions = Counter(
            "scanner_admissions",
            "Admissions answered, by protocol, decision, and what it was made by.",
            ("protocol", "decision", "cause"),
            registry=self.registry,
        )
        self.pushes = Counter(
            "scanner_pushes",
            "Pushes that webhooks told of, by source and what became of them.",
            ("source", "outcome"),
            registry=self.registry,
        )
        self.write_batch = Histogram(
            "scanner_write_batch_requests",
            "Requests for scans written in one transaction.",
            buckets=(1, 2, 5, 10, 25, 50, 100, 250, 500, 1000),
            registry=self.registry,
        )
        self.streams = Gauge(
            "scanner_event_streams", "Clients following a scan.", registry=self.registry
        )
        self.scan_seconds = Histogram(
            "scanner_scan_stage_seconds",
            "Time of a finished scan in each of its stages.",
            ("stage",),
            buckets=_SCAN_BUCKETS,
            registry=self.registry,
        )
        self.scan_waits = Histogram(
            "scanner_scan_total_seconds",
            "Time from the request for a scan to its end, by how it ended.",
            ("state",),
            buckets=_SCAN_BUCKETS,
            registry=self.registry,
        )
        self.scan_bytes = Counter(
            "scanner_scan_read_bytes",
            "Compressed bytes of layers that finished scans read.",
            registry=self.registry,
        )
        self.scan_layers = Counter(
            "scanner_scan_layers",
            "Layers of finished scans, by whether the store knew them (hit) or they were read (miss).",
            ("cache",),
            registry=self.registry,
        )
        self.scans = Gauge("scanner_scans", "Scans by state.", ("state",), registry=self.registry)
        self.queue_age = Gauge(
            "scanner_queue_age_seconds",
            "How long the oldest scan that could start has waited.",
            registry=self.registry,
        )
        self.store_up = Gauge(
            "scanner_store_up",
            "1 if the database answered when this was asked for.",
            registry=self.registry,
        )
        self.policy_current = Gauge(
            "scanner_policy_current",
            "1 if the policy in use is what its file says; 0 if that cannot be read, and an older one counts.",
            registry=self.registry,
        )
        self.signings = Counter(
            "scanner_attestations_signed",
            "Images whose statements were to be signed, by what became of them.",
            ("outcome",),
            registry=self.registry,
        )
        self.publications = Counter(
            "scanner_attestations_published",
            "Tries to publish the statements about an image, by what became of them.",
            ("outcome",),
            registry=self.registry,
        )
        self.publications_waiting = Gauge(
            "scanner_attestations_waiting",
            "Images in repositories whose statements are to be published yet, by how the last try ended.",
            ("state",),
            registry=self.registry,
        )
        self.workers = Gauge(
            "scanner_workers", "Worker processes that this process runs.", registry=self.registry
        )
        self.worker_starts = Counter(
            "scanner_worker_starts", "Worker processes started.", registry=self.registry
        )

    def set_scans(self, counts: Mapping[JobState, int], queue_age_seconds: float) -> None:
        """Show the queue as it is now; states that have no scans any more go to zero."""
        self.scans.clear()
        for state, count in counts.items():
            self.scans.labels(state).set(count)
        self.queue_age.set(queue_age_seconds)

    def set_publications(self, counts: Mapping[PublicationState, int]) -> None:
        """Show what is to be published yet; states of nothing any more go to zero."""
        self.publications_waiting.clear()
        for state in set(PublicationState) - {PublicationState.PUBLISHED}:
            self.publications_waiting.labels(state).set(counts.get(state, 0))

    def text(self) -> bytes:
        """Return everything in the text format."""
        return generate_latest(self.registry)
