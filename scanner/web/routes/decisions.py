"""What admissions were told: who wanted what let in, and why it was or was not."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from aiohttp import web

from scanner.model import Decision
from scanner.ports import Page
from scanner.ports.admission import AdmissionDecision, DecisionFilter
from scanner.web._parameters import DIGEST_PATTERN, After, Limit
from scanner.web._route import Call, Content, Route, Scope, json_answer

_Digest = Annotated[
    str, msgspec.Meta(pattern=f"^$|{DIGEST_PATTERN}", max_length=135, description="Of an image")
]
_Text = Annotated[str, msgspec.Meta(max_length=255)]


class WantedDecisions(msgspec.Struct, frozen=True, kw_only=True):
    """Which decisions; what is not given does not restrict."""

    decision: Decision | None = None
    namespace: _Text = ""
    protocol: _Text = ""
    digest: _Digest = ""
    after: After = ""
    limit: Limit = 100


async def list_decisions(call: Call[WantedDecisions, None]) -> web.StreamResponse:
    """Return what admissions were told, the newest first. Dry runs, and questions without anything to judge, are not kept."""
    asked = call.parameters
    wanted = DecisionFilter(
        decision=asked.decision,
        namespace=asked.namespace,
        protocol=asked.protocol,
        digest=asked.digest,
    )
    page = await call.context.store.decisions(wanted, after=asked.after, limit=asked.limit)
    return json_answer(page, headers={"Cache-Control": "no-store"})


ROUTES: Final = (
    Route(
        method="GET",
        path="/v1/decisions",
        summary="What admissions were told",
        handler=list_decisions,
        parameters=WantedDecisions,
        answers={200: Content(type=Page[AdmissionDecision])},
        scope=Scope.READ,
        tag="admission",
    ),
)
