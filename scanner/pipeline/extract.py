"""Get the report of every layer of an image: from the store, from another scan under way, or by reading it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

import msgspec

from scanner.errors import LimitExceededError, NotFoundError, ScanCancelledError, ScannerError
from scanner.model import Descriptor, LayerReport, LimitHit
from scanner.pipeline.context import ScanContext, ScanRun
from scanner.ports import ImageSource, LayerProgress
from scanner.sources._documents import LayerKind, layer_kind, why_not_scanned

_CLAIM_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class LayerJob:
    """One layer to report on."""

    index: int
    descriptor: Descriptor
    diff_id: str | None
    platform: str


@dataclass(frozen=True, slots=True)
class ExtractedLayer:
    """A layer's report; ``cached`` when this run did not read the layer itself."""

    job: LayerJob
    report: LayerReport
    cached: bool


def extract(
    source: ImageSource, jobs: Sequence[LayerJob], context: ScanContext, run: ScanRun
) -> list[ExtractedLayer]:
    """Return one report per job, in the order of the jobs. A layer that cannot be had is a report with ``error``.

    Raises:
        ScanCancelledError: asked to stop.
        StoreError: the store cannot be used.
    """
    work = _Extraction(source, jobs, context, run)
    threads = max(1, min(context.layers_parallel, len(jobs)))
    with ThreadPoolExecutor(threads, thread_name_prefix="layer") as pool:
        futures: list[Future[None]] = [pool.submit(work.run_jobs) for _ in range(threads)]
        try:
            ended, _ = wait(futures, return_when=FIRST_EXCEPTION)
            for future in ended:
                future.result()
        finally:
            work.stopped.set()  # the other threads must not outlive the extraction
    return [work.done[job.index] for job in jobs]


class _Extraction:
    """The jobs of one image, shared by a few threads."""

    def __init__(
        self, source: ImageSource, jobs: Sequence[LayerJob], context: ScanContext, run: ScanRun
    ) -> None:
        self._source = source
        self._context = context
        self._run = run
        # The largest first: the last one to end should be a small one.
        self._waiting = deque((job, 0.0) for job in sorted(jobs, key=lambda j: -j.descriptor.size))
        self._lock = threading.Lock()
        self.stopped = threading.Event()
        """Ends this image only; ``run.cancelled`` is the whole scan's, other platforms included."""
        self.done: dict[int, ExtractedLayer] = {}

    def run_jobs(self) -> None:
        """Take jobs until none is left; one that another scan is reading goes back to the end of the line."""
        while True:
            self._check_stopped()
            with self._lock:
                if not self._waiting:
                    return
                job, wait_seconds = self._waiting.popleft()
            layer = self._layer(job, wait_seconds)
            with self._lock:
                if layer is None:
                    self._waiting.append((job, _CLAIM_SECONDS))
                else:
                    self.done[job.index] = layer

    def _check_stopped(self) -> None:
        if self.stopped.is_set():
            raise ScanCancelledError("another layer's thread failed")
        self._run.check_cancelled()

    def _check(self) -> None:
        self._check_stopped()
        self._run.check()

    def _layer(self, job: LayerJob, wait_seconds: float) -> ExtractedLayer | None:
        digest = job.descriptor.digest
        reason = why_not_scanned(job.descriptor)
        if reason:
            return ExtractedLayer(job, failed_report(digest, reason, "unsupported"), cached=False)
        if not self._source.cacheable:
            return ExtractedLayer(job, self._read(job), cached=False)
        store, fingerprint = self._context.store, self._context.fingerprint
        if found := self._stored(job, "waited" if wait_seconds else "cached"):
            return found
        with store.claim_layer(digest, fingerprint, wait_seconds=wait_seconds) as claimed:
            if not claimed:
                return self._out_of_time(job)
            if found := self._stored(job, "waited"):
                return found
            report = self._read(job)
            if not report.error:
                store.save_layer(report, fingerprint)
            return ExtractedLayer(job, report, cached=False)

    def _out_of_time(self, job: LayerJob) -> ExtractedLayer | None:
        """Return the job as failed if there is no time left to wait for another scan of its layer."""
        try:
            self._run.check()
        except LimitExceededError as error:
            return ExtractedLayer(job, _failed(job, error), cached=False)
        return None

    def _stored(self, job: LayerJob, state: str) -> ExtractedLayer | None:
        report = self._context.store.load_layer(job.descriptor.digest, self._context.fingerprint)
        if report is None or _other_algorithm(report.diff_id, job.diff_id):
            return None
        if job.diff_id is not None and report.diff_id != job.diff_id:
            # Another image with this layer promised another diff_id: one of the two configs lies.
            message = f"layer diff_id: expected {job.diff_id}, got {report.diff_id}"
            report = failed_report(job.descriptor.digest, message, "digest-mismatch")
        self._progress(job).finish(state)
        return ExtractedLayer(job, report, cached=True)

    def _progress(self, job: LayerJob) -> LayerProgress:
        return self._run.progress.layer(job.descriptor.digest, job.descriptor.size, job.platform)

    def _read(self, job: LayerJob) -> LayerReport:
        progress = self._progress(job)
        try:
            report = self._scan(job, progress)
        except ScanCancelledError:
            progress.finish("failed")
            raise
        except ScannerError as error:
            report = _failed(job, error)
        progress.finish("failed" if report.error else "done")
        return report

    def _scan(self, job: LayerJob, progress: LayerProgress) -> LayerReport:
        descriptor = job.descriptor
        by_diff_id = self._source.blobs_by_diff_id
        self._check()  # before a connection is made for it
        stream = self._source.open_blob(descriptor)
        try:
            return self._context.layer_scanner.scan(
                stream,
                digest=descriptor.digest,
                size=None if by_diff_id else descriptor.size,
                diff_id=job.diff_id,
                digest_is_diff_id=by_diff_id,
                progress=progress,
                check=self._check,
            )
        finally:
            stream.close()


def _other_algorithm(diff_id: str, wanted: str | None) -> bool:
    return wanted is not None and wanted.partition(":")[0] != diff_id.partition(":")[0]


def failed_report(digest: str, error: str, code: str) -> LayerReport:
    """Return the report of a layer of which nothing was read."""
    return LayerReport(
        digest=digest,
        diff_id="",
        compressed_bytes=0,
        uncompressed_bytes=0,
        compression="",
        entries_count=0,
        files_count=0,
        read_count=0,
        error=error,
        error_code=code,
    )


def _failed(job: LayerJob, error: ScannerError) -> LayerReport:
    report = failed_report(job.descriptor.digest, _explain(job, error), error.code)
    if not isinstance(error, LimitExceededError):
        return report
    hit = LimitHit(limit=error.limit, allowed=error.allowed)
    return msgspec.structs.replace(report, limits=(hit,))


def _explain(job: LayerJob, error: ScannerError) -> str:
    if (
        isinstance(error, NotFoundError)
        and layer_kind(job.descriptor.media_type) is LayerKind.FOREIGN
    ):
        return "foreign layer: the registry does not hold it, and its urls are not followed"
    return str(error)
