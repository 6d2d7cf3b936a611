"""Whom a command asks about an image: a server over HTTP, or the database on this machine."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final, Protocol, TypeVar
from urllib.parse import quote

import msgspec

from scanner import __version__, app, app_service
from scanner.client import REPORT_BYTES, Client
from scanner.config import Settings
from scanner.decoding import decode_json
from scanner.errors import NotFoundError, StoreError
from scanner.model import ImageReport, Reference, ScanReport, Severity
from scanner.pipeline.scan import SCHEMA_VERSION
from scanner.ports import Priority, ScanRequest, ServiceStore, TagEntry
from scanner.web._image_answer import (
    ImageAnswer,
    ImageState,
    answer_of,
    answer_without_image,
    now_at,
    with_verdict,
)

T = TypeVar("T")

_REASONS: Final = 100


class ScanStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What a server tells of a scan, as far as we look at it."""

    id: str
    digest: str
    state: str
    is_over: bool
    stage: str = ""
    progress: dict[str, Any] = {}
    error_code: str = ""
    error: str = ""


class Asker(Protocol):
    """Answers by digest. Every method raises ScannerError."""

    def image(self, digest: str, name: str = "") -> ImageAnswer:
        """Return what is known of a digest; the verdict on it as ``registry/repository``, if given."""

    def digest_of_tag(self, reference: Reference) -> str:
        """Return what a tag leads to as far as is known; empty if nothing is."""

    def report(self, digest: str) -> ScanReport | None:
        """Return the whole report, if there is one."""

    def request_scan(self, reference: Reference) -> ScanStatus:
        """Have an image scanned before those that nobody waits for."""

    def scan(self, scan_id: str) -> ScanStatus:
        """Return a scan as it is now."""


@contextmanager
def opened_asker(settings: Settings) -> Iterator[Asker]:
    """Give the server that ``client.url`` names, or the database of these settings."""
    if settings.client.url:
        with ServerAsker(app_service.client_options(settings)) as server:
            yield server
    else:
        with asyncio.Runner() as runner:
            store = runner.run(app_service.open_service_store(settings))
            try:
                yield StoreAsker(settings, store, runner)
            finally:
                runner.run(store.close())


class _Tags(msgspec.Struct, frozen=True):
    items: tuple[TagEntry, ...]


class ServerAsker(Client):
    """A server, asked over HTTP."""

    def image(self, digest: str, name: str = "") -> ImageAnswer:
        """Return what is known of a digest."""
        asked = f"ask for {digest[:19]}"
        query = f"?repository={quote(name, safe='')}" if name else ""
        try:
            return self._typed("GET", f"/v1/images/{digest}{query}", asked, ImageAnswer)
        except NotFoundError:
            return ImageAnswer(digest=digest, state=ImageState.UNKNOWN)

    def digest_of_tag(self, reference: Reference) -> str:
        """Return what a tag leads to as far as is known; empty if nothing is."""
        tag = f"{reference.name}:{reference.tag}"
        try:
            history = self._typed(
                "GET", f"/v1/tags?reference={quote(tag, safe='')}&limit=1", "ask for the tag", _Tags
            )
        except NotFoundError:
            return ""
        return _newest(history.items)

    def report(self, digest: str) -> ScanReport | None:
        """Return the whole report, if there is one."""
        path = f"/v1/images/{digest}/report"
        try:
            return self._typed("GET", path, "fetch the report", ScanReport, most_bytes=REPORT_BYTES)
        except NotFoundError:
            return None

    def request_scan(self, reference: Reference) -> ScanStatus:
        """Have an image scanned before those that nobody waits for."""
        return self.start_scan(str(reference), ())

    def start_scan(self, reference: str, platforms: Sequence[str]) -> ScanStatus:
        """Have an image scanned; return the scan that will answer."""
        body = {"reference": reference, "platforms": list(platforms)}
        return self._typed("POST", "/v1/scans", "ask for a scan", ScanStatus, body=body)

    def scan(self, scan_id: str) -> ScanStatus:
        """Return a scan as it is now."""
        return self._typed("GET", f"/v1/scans/{scan_id}", "ask for the scan", ScanStatus)

    def follow_scan(self, scan_id: str) -> Iterator[ScanStatus]:
        """Yield a scan whenever there is news of it, until the server ends the stream."""
        operation = "follow the scan"
        for event in self.events(f"/v1/scans/{scan_id}", operation):
            if event.name == "scan":
                yield self._decoded(event.data, ScanStatus, operation)

    def _typed(self, method: str, path: str, operation: str, kind: type[T], **more: Any) -> T:
        return self._decoded(self.ask(method, path, operation, **more).body, kind, operation)

    def _decoded(self, raw: bytes | str, kind: type[T], operation: str) -> T:
        try:
            return decode_json(raw, kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise self.unexpected(operation) from None


class StoreAsker:
    """The database on this machine, or the one that ``store.url`` names."""

    def __init__(self, settings: Settings, store: ServiceStore, runner: asyncio.Runner) -> None:
        self._settings = settings
        self._store = store
        self._runner = runner
        self._fingerprint = app.fingerprint(settings)

    def image(self, digest: str, name: str = "") -> ImageAnswer:
        """Return what is known of a digest."""

        async def ask() -> ImageAnswer:
            image = await self._store.image(digest)
            if image is None:
                answer = answer_without_image(digest, await self._store.scan_of(digest))
                own = self._own_report(digest) if answer.state is ImageState.UNKNOWN else None
                return self._of_report(own, name) if own is not None else answer
            answer = answer_of(image, self._fingerprint, max_age_seconds=None, now=now_at())
            report = await self._store.report(digest)
            return self._judged(answer, report, name, image.scanned_at) if report else answer

        return self._runner.run(ask())

    def _of_report(self, own: ImageReport, name: str) -> ImageAnswer:
        return self._judged(_answer_of_report(own), _as_scan(own, self._fingerprint), name, None)

    def _judged(
        self, answer: ImageAnswer, report: ScanReport, name: str, scanned_at: datetime | None
    ) -> ImageAnswer:
        from scanner.app_policy import read_policy  # noqa: PLC0415 - YAML and an expression engine
        from scanner.policy.evaluate import evaluate  # noqa: PLC0415
        from scanner.policy.subject import subject_of  # noqa: PLC0415

        subject = subject_of(report, scanned_at=scanned_at)
        if name:
            subject = msgspec.structs.replace(subject, name=name)
        verdict = evaluate(read_policy(self._settings.policy.file), subject, now_at())
        return with_verdict(answer, verdict, most_reasons=_REASONS)

    def digest_of_tag(self, reference: Reference) -> str:
        """Return what a tag leads to as far as is known; empty if nothing is."""
        page = self._runner.run(
            self._store.tag_history(
                reference.registry, reference.repository, reference.tag, limit=1
            )
        )
        return _newest(page.items)

    def report(self, digest: str) -> ScanReport | None:
        """Return the whole report, if there is one."""
        report = self._runner.run(self._store.report(digest))
        if report is not None:
            return report
        own = self._own_report(digest)
        return _as_scan(own, self._fingerprint) if own is not None else None

    def _own_report(self, digest: str) -> ImageReport | None:
        """Return what ``scanner scan`` kept of an image that nobody asked the service for."""
        store = app.open_store(self._settings)
        try:
            return store.load_image(digest, self._fingerprint)
        finally:
            store.close()

    def request_scan(self, reference: Reference) -> ScanStatus:
        """Queue a scan for whoever works on this database."""
        request = ScanRequest(
            registry=reference.registry,
            repository=reference.repository,
            tag=reference.tag,
            digest=reference.digest or "",
            priority=Priority.WAITING,
            requested_by="command line",
        )
        queued = self._runner.run(self._store.enqueue(request, self._fingerprint))
        return self.scan(queued.id)

    def scan(self, scan_id: str) -> ScanStatus:
        """Return a scan as it is now."""
        record = self._runner.run(self._store.scan(scan_id))
        if record is None:
            raise StoreError("scans", "the scan is not there any more")
        return ScanStatus(
            id=record.id,
            digest=record.digest,
            state=record.state,
            is_over=record.state.is_over,
            error=record.error,
        )


def _answer_of_report(report: ImageReport) -> ImageAnswer:
    state = ImageState(report.state.value)
    found = [finding.severity for finding in report.findings]
    return ImageAnswer(
        digest=report.digest,
        state=state,
        result=state,
        kind="image",
        platform=str(report.platform),
        config_digest=report.image_id,
        severities={severity: found.count(severity) for severity in Severity},
        packages_count=len(report.packages),
        error=report.error,
    )


def _as_scan(report: ImageReport, fingerprint: str) -> ScanReport:
    return ScanReport(
        schema_version=SCHEMA_VERSION,
        scanner_version=__version__,
        fingerprint=fingerprint,
        reference=report.digest,
        digest=report.digest,
        started_at="",
        seconds=0.0,
        stage_seconds={},
        state=report.state,
        images=(report,),
        skipped=(),
    )


def _newest(entries: Sequence[TagEntry]) -> str:
    current = entries[0] if entries else None
    return current.digest if current is not None and current.replaced_at is None else ""
