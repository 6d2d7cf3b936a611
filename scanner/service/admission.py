"""Rule on what is to be let in: tags to digests, digests to verdicts; what is not known is scanned. In doubt, no."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from scanner.errors import InvalidReferenceError, ScannerError, StoreError
from scanner.model import Decision, Reason, ReasonCode, Reference, Verdict, parse_reference
from scanner.ports import ImageSummary, JobState, Priority, ScanRecord, ScanRequest, ServiceStore
from scanner.ports.admission import Cause, JudgedImage, Question, Ruling
from scanner.ports.verdicts import Judge
from scanner.service.tag_answers import TagAnswers

_REASONS: Final = 10
_POLL_SECONDS: Final = 0.1
_ANSWER_SECONDS: Final = 0.5
"""Kept back from waiting, for judging what came of it."""
_ASKED_AGAIN_SECONDS: Final = 30.0
_ASKED_COUNT: Final = 10_000
_OLD: Final = frozenset({ReasonCode.SCAN_OLD, ReasonCode.ADVISORIES_OLD})
_LOG: Final = logging.getLogger(__name__)

PodCheck = Callable[[Mapping[str, Any], str], Sequence[str]]
"""Return what is wrong with a pod in a namespace, one line each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmissionOptions:
    """What the operator decided."""

    fingerprint: str
    """Of today's analyzers."""
    is_allowed: Callable[[str], bool]
    """Whether a registry may be asked."""
    wait_seconds: float = 0.0
    """Longest that a question waits for scans of its images."""
    is_exempt: Callable[[str], bool] = lambda _namespace: False
    """Whether a namespace is not judged at all."""
    fails_open: Callable[[str], bool] = lambda _namespace: False
    """Whether a namespace lets in what cannot be judged for trouble of ours or a registry's."""
    check_pod: PodCheck = lambda _pod, _namespace: ()


@dataclass(frozen=True, slots=True)
class _Wanted:
    """One image, and how far it could be made out."""

    image: str
    reference: Reference | None = None
    digest: str = ""
    problem: str = ""
    """Why there is no digest."""
    is_trouble: bool = False
    """Whether that is somebody's trouble, and no fault of the image's."""

    @property
    def name(self) -> str:
        return self.reference.name if self.reference is not None else ""


class Admission:
    """Rules on questions."""

    def __init__(
        self, store: ServiceStore, judge: Judge, tags: TagAnswers, options: AdmissionOptions
    ) -> None:
        self._store = store
        self._judge = judge
        self._tags = tags
        self._options = options
        self._asked: dict[str, float] = {}

    async def rule(self, question: Question, *, seconds: float, requested_by: str) -> Ruling:
        """Return the ruling within ``seconds``, whatever happens; never raises."""
        if self._options.is_exempt(question.namespace):
            return Ruling(decision=Decision.ALLOW, cause=Cause.EXEMPT, note="namespace is exempt")
        if not question.images and question.pod is None:
            return Ruling(decision=Decision.ALLOW, cause=Cause.NOTHING)
        try:
            async with asyncio.timeout(seconds):
                return await self._rule(question, time.monotonic() + seconds, requested_by)
        except TimeoutError:
            return self.trouble(question, f"no verdict within {seconds:.1f} seconds")
        except StoreError as error:
            _LOG.warning("admission without the database", extra={"code": error.code})
            return self.trouble(question, "the scanner's database cannot be used just now")
        except Exception:  # noqa: BLE001 - a defect of ours must not open the door
            _LOG.exception("admission failed")
            return self.trouble(question, "internal error of the scanner")

    def trouble(self, question: Question, note: str) -> Ruling:
        """Return what is ruled where nothing can be judged."""
        return Ruling(
            decision=self._in_trouble(question.namespace),
            cause=Cause.TROUBLE,
            note=f"not judged: {note}",
        )

    def _in_trouble(self, namespace: str) -> Decision:
        return Decision.WARN if self._options.fails_open(namespace) else Decision.DENY

    async def _rule(self, question: Question, until: float, requested_by: str) -> Ruling:
        pod_reasons = self._pod_reasons(question)
        wanted = await asyncio.gather(*(self._resolve(image) for image in question.images))
        known = await self._store.images({one.digest for one in wanted if one.digest})
        missing = [one for one in wanted if one.digest and one.digest not in known]
        scans: dict[str, ScanRecord] = {}
        if missing:
            if not question.is_dry_run:
                await self._have_scanned(missing, requested_by)
                known |= await self._wait_for(missing, until)
            scans = await self._store.scans_of({one.digest for one in missing} - known.keys())
        judged = await asyncio.gather(
            *(self._judged(one, known.get(one.digest), scans, question) for one in wanted)
        )
        old = [one for one, (_, verdict) in zip(wanted, judged, strict=True) if _is_old(verdict)]
        if old and not question.is_dry_run:
            await self._have_scanned(old, requested_by, force=True)
        images = tuple(image for image, _ in judged)
        pod_decision = Decision.DENY if pod_reasons else Decision.ALLOW
        is_trouble = any(one.is_trouble for one in wanted)
        nothing = self._judge.of_nothing("")
        return Ruling(
            decision=_worst([pod_decision, *(image.decision for image in images)]),
            cause=Cause.TROUBLE if is_trouble else Cause.POLICY,
            images=images,
            pod_decision=pod_decision,
            pod_reasons=pod_reasons,
            policy=nothing.policy,
            policy_digest=nothing.policy_digest,
        )

    def _pod_reasons(self, question: Question) -> tuple[str, ...]:
        if question.pod is None:
            return ()
        return tuple(self._options.check_pod(question.pod, question.namespace))

    async def _resolve(self, image: str) -> _Wanted:
        """Return what an image is: its digest, by its registry's word where it is written with a tag."""
        try:
            reference = parse_reference(image)
        except InvalidReferenceError:
            return _Wanted(image, problem="this is no reference to an image")
        if reference.digest:
            return _Wanted(image, reference, reference.digest)
        if not self._options.is_allowed(reference.registry):
            problem = f"{reference.registry} is not asked where tags lead: it is not among server.allowed_registries"
            return _Wanted(image, reference, problem=problem)
        try:
            digest = await self._tags.digest(
                reference.registry, reference.repository, reference.tag
            )
        except ScannerError as error:
            problem = f"{reference.registry} does not say where the tag leads: {error}"
            return _Wanted(image, reference, problem=problem, is_trouble=error.retryable)
        if not digest:
            return _Wanted(image, reference, problem=f"{reference.registry} has no such tag")
        return _Wanted(image, reference, digest)

    async def _have_scanned(
        self, wanted: Iterable[_Wanted], requested_by: str, *, force: bool = False
    ) -> None:
        """Queue what may be scanned, before everything that nobody waits for; not the same again and again."""
        now = time.monotonic()
        requests = [
            _request(one.reference, one.digest, requested_by, force=force)
            for one in wanted
            if one.reference is not None
            and self._options.is_allowed(one.reference.registry)
            and self._asked.get(one.digest, 0.0) < now
        ]
        if requests:
            await self._store.enqueue_many(requests, self._options.fingerprint)
            if len(self._asked) > _ASKED_COUNT:
                self._asked.clear()
            self._asked |= dict.fromkeys((r.digest for r in requests), now + _ASKED_AGAIN_SECONDS)

    async def _wait_for(self, missing: Sequence[_Wanted], until: float) -> dict[str, ImageSummary]:
        """Return what became known of images that are being scanned, as long as there is time."""
        ends = min(time.monotonic() + self._options.wait_seconds, until - _ANSWER_SECONDS)
        digests = {one.digest for one in missing}
        found: dict[str, ImageSummary] = {}
        while digests and time.monotonic() < ends:
            await asyncio.sleep(_POLL_SECONDS)
            found |= await self._store.images(digests)
            scans = await self._store.scans_of(digests)
            running = {digest for digest, scan in scans.items() if not scan.state.is_over}
            digests = (digests - found.keys()) & running
        return found

    async def _judged(
        self,
        one: _Wanted,
        known: ImageSummary | None,
        scans: Mapping[str, ScanRecord],
        question: Question,
    ) -> tuple[JudgedImage, Verdict | None]:
        if one.problem:
            decision = self._in_trouble(question.namespace) if one.is_trouble else Decision.DENY
            return _image(one, decision, [one.problem]), None
        if known is None:
            verdict = self._judge.of_nothing(
                one.digest, name=one.name, namespace=question.namespace
            )
            why = self._why_unknown(one, scans.get(one.digest), question)
            return _of_verdict(one, verdict, why), verdict
        verdict = await self._judge.of_image(known, name=one.name, namespace=question.namespace)
        again = " (scanned again now)" if _is_old(verdict) and not question.is_dry_run else ""
        return _of_verdict(one, verdict, "", again), verdict

    def _why_unknown(self, one: _Wanted, scan: ScanRecord | None, question: Question) -> str:
        registry = one.reference.registry if one.reference is not None else ""
        if scan is not None and scan.state is JobState.FAILED:
            return f"not scanned: the scan failed: {scan.error}"
        if scan is not None and not scan.state.is_over:
            return "not scanned: scan started, retry in a moment"
        if not self._options.is_allowed(registry):
            return f"not scanned: {registry} is not among server.allowed_registries"
        if question.is_dry_run:
            return "not scanned: a dry run starts no scan"
        return "not scanned: retry in a moment"


def _request(reference: Reference, digest: str, requested_by: str, *, force: bool) -> ScanRequest:
    return ScanRequest(
        registry=reference.registry,
        repository=reference.repository,
        digest=digest,
        priority=Priority.WAITING,
        requested_by=requested_by,
        force=force,
    )


def _worst(decisions: Iterable[Decision]) -> Decision:
    return max(decisions, key=lambda decision: decision.rank)


def _is_old(verdict: Verdict | None) -> bool:
    return verdict is not None and any(reason.code in _OLD for reason in verdict.reasons)


def _of_verdict(one: _Wanted, verdict: Verdict, unknown: str, again: str = "") -> JudgedImage:
    texts = [
        unknown if unknown and reason.code is ReasonCode.NOT_SCANNED else _text(reason, again)
        for reason in verdict.reasons[:_REASONS]
    ]
    return _image(one, verdict.decision, texts, len(verdict.reasons))


def _text(reason: Reason, again: str) -> str:
    where = reason.path or reason.package
    more = f" ({where})" if where else again if reason.code in _OLD else ""
    return f"{reason.rule}: {reason.message}{more}"


def _image(
    one: _Wanted, decision: Decision, reasons: Sequence[str], count: int | None = None
) -> JudgedImage:
    return JudgedImage(
        image=one.image,
        digest=one.digest,
        decision=decision,
        reasons=tuple(reasons),
        reasons_count=len(reasons) if count is None else count,
    )
