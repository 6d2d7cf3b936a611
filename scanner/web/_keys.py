"""What the application holds beside the context, under typed keys."""

from __future__ import annotations

from typing import Any, Final

from aiohttp import web

from scanner.ports import Delivery, Enqueued, ImageSummary, ScanRequest
from scanner.ports.admission import AdmissionDecision
from scanner.web._auth import TokenCheck
from scanner.web._batch import Batch
from scanner.web._finished import FinishedScans
from scanner.web._route import Route
from scanner.web._watch import ScanWatch

TOKEN_CHECK: Final = web.AppKey("token_check", TokenCheck)
ROUTES: Final = web.AppKey("routes", tuple[Route[Any, Any], ...])
REQUESTS: Final = web.AppKey("requests", Batch[ScanRequest, Enqueued])
IMAGES: Final = web.AppKey("images", Batch[str, ImageSummary | None])
DECISIONS: Final = web.AppKey("decisions", Batch[AdmissionDecision, str])
DELIVERIES: Final = web.AppKey("deliveries", Batch[Delivery, bool])
WATCH: Final = web.AppKey("watch", ScanWatch)
FINISHED: Final = web.AppKey("finished", FinishedScans)
