"""What admissions were told: written in batches, read newest first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, Row, insert, select

from scanner.model import Decision
from scanner.ports.admission import AdmissionDecision, Cause, DecidedImage, DecisionFilter
from scanner.ports.service import Page
from scanner.store._cursor import Id, bounded, page_of, read_cursor, write_cursor
from scanner.store._dialect import clean
from scanner.store._moments import from_ms, new_id, now_ms
from scanner.store._tables import DECISION_IMAGES, DECISIONS

_PLACE = tuple[str, Id]
_REASON_CHARS: Final = 2_000
_IMAGE_CHARS: Final = 1_024
_LENGTHS: Final = {
    "protocol": 64,
    "namespace": 255,
    "subject": 512,
    "operation": 32,
    "requested_by": 255,
    "request_id": 64,
    "policy_digest": 160,
    "reason": _REASON_CHARS,
}


def record_decisions(connection: Connection, decisions: Sequence[AdmissionDecision]) -> list[str]:
    """Record decisions as made now; return their ids."""
    if not decisions:
        return []
    rows = [_row(one) for one in decisions]
    connection.execute(insert(DECISIONS), rows)
    images = [
        image
        for row, one in zip(rows, decisions, strict=True)
        for image in _image_rows(row["id"], one)
    ]
    if images:
        connection.execute(insert(DECISION_IMAGES), images)
    return [row["id"] for row in rows]


def _row(one: AdmissionDecision) -> dict[str, Any]:
    texts = {name: clean(getattr(one, name), length) for name, length in _LENGTHS.items()}
    return texts | {
        "id": new_id(),
        "decided_at": now_ms(),
        "user_name": clean(one.user, 255),
        "decision": one.decision.value,
        "cause": one.cause.value,
    }


def _image_rows(decision_id: str, one: AdmissionDecision) -> list[dict[str, Any]]:
    return [
        {
            "decision_id": decision_id,
            "position": position,
            "image": clean(image.image, _IMAGE_CHARS),
            "digest": clean(image.digest, 160),
            "decision": image.decision.value,
            "reason": clean(image.reason, _REASON_CHARS),
        }
        for position, image in enumerate(one.images)
    ]


def decisions(
    connection: Connection, wanted: DecisionFilter, *, after: str, limit: int
) -> Page[AdmissionDecision]:
    """Return decisions, newest first."""
    start, limit = read_cursor(after, "decisions", _PLACE), bounded(limit)
    query = select(DECISIONS).order_by(DECISIONS.c.id.desc()).limit(limit + 1)
    if wanted.decision is not None:
        query = query.where(DECISIONS.c.decision == wanted.decision.value)
    if wanted.namespace:
        query = query.where(DECISIONS.c.namespace == clean(wanted.namespace))
    if wanted.protocol:
        query = query.where(DECISIONS.c.protocol == clean(wanted.protocol))
    if wanted.digest:
        of_digest = select(DECISION_IMAGES.c.decision_id).where(
            DECISION_IMAGES.c.digest == clean(wanted.digest)
        )
        query = query.where(DECISIONS.c.id.in_(of_digest))
    if start is not None:
        query = query.where(DECISIONS.c.id < start[1])
    rows = connection.execute(query).all()
    images = _images(connection, [row.id for row in rows[:limit]])
    return page_of(
        rows,
        limit,
        lambda row: _decision(row, images.get(row.id, ())),
        lambda row: write_cursor("decisions", row.id),
    )


def _images(
    connection: Connection, decision_ids: Sequence[str]
) -> dict[str, tuple[DecidedImage, ...]]:
    query = (
        select(DECISION_IMAGES)
        .where(DECISION_IMAGES.c.decision_id.in_(decision_ids))
        .order_by(DECISION_IMAGES.c.decision_id, DECISION_IMAGES.c.position)
    )
    found: dict[str, tuple[DecidedImage, ...]] = {}
    for row in connection.execute(query):
        image = DecidedImage(
            image=row.image, digest=row.digest, decision=Decision(row.decision), reason=row.reason
        )
        found[row.decision_id] = (*found.get(row.decision_id, ()), image)
    return found


def _decision(row: Row[Any], images: tuple[DecidedImage, ...]) -> AdmissionDecision:
    return AdmissionDecision(
        id=row.id,
        decided_at=from_ms(row.decided_at),
        protocol=row.protocol,
        namespace=row.namespace,
        subject=row.subject,
        operation=row.operation,
        user=row.user_name,
        requested_by=row.requested_by,
        request_id=row.request_id,
        decision=Decision(row.decision),
        cause=Cause(row.cause),
        reason=row.reason,
        policy_digest=row.policy_digest,
        images=images,
    )
