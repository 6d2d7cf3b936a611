"""Where signed statements are to be published, and which will expire."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, and_, func, select, update

from scanner.ports.attestations import (
    PublicationState,
    PublishingTask,
    RenewalTask,
)
from scanner.store._cursor import bounded
from scanner.store._dialect import clean, inserting
from scanner.store._due import is_due, lease
from scanner.store._moments import new_id, now_ms, to_ms
from scanner.store._tables import ATTESTED_IMAGES, IMAGE_LOCATIONS, IMAGES, PUBLICATIONS, TAGS

_ERROR_CHARS: Final = 2_000


def ask_publications(connection: Connection, image_key: int, now: int, *, is_new: bool) -> None:
    """Have the statements published wherever the image is; if nothing is new, where they never were only."""
    places = select(IMAGE_LOCATIONS.c.registry, IMAGE_LOCATIONS.c.repository).where(
        IMAGE_LOCATIONS.c.image_key == image_key
    )
    rows = [
        {
            "image_key": image_key,
            "registry": row.registry,
            "repository": row.repository,
            "asked_id": new_id(),
            "state": PublicationState.PENDING.value,
            "due_at": now,
            "attempts": 0,
            "error_code": "",
            "error": "",
        }
        for row in connection.execute(places)
    ]
    if not rows:
        return
    statement = inserting(connection)(PUBLICATIONS)
    key = ["image_key", "registry", "repository"]
    if is_new:
        changed = {name: statement.excluded[name] for name in rows[0] if name not in key}
        statement = statement.on_conflict_do_update(index_elements=key, set_=changed)
    else:
        statement = statement.on_conflict_do_nothing(index_elements=key)
    connection.execute(statement, rows)


def is_publishing_due(connection: Connection) -> bool:
    """Whether :func:`publishing_tasks` would return any."""
    return is_due(connection, PUBLICATIONS)


def publishing_tasks(connection: Connection, limit: int) -> list[PublishingTask]:
    """Return what is to be published, and make each due again in a while."""
    now = now_ms()
    columns = PUBLICATIONS.c
    key = (columns.image_key, columns.registry, columns.repository)
    due = (
        select(*key, columns.asked_id, columns.attempts, IMAGES.c.digest)
        .join(IMAGES, IMAGES.c.key == columns.image_key)
        .where(columns.due_at.is_not(None), columns.due_at <= now)
        .order_by(columns.due_at)
        .limit(bounded(limit))
        .with_for_update(skip_locked=True, of=PUBLICATIONS)
    )
    tasks = [PublishingTask(**row._mapping) for row in connection.execute(due)]  # noqa: SLF001 - SQLAlchemy's public name for it
    for task in tasks:
        lease(connection, PUBLICATIONS, _is_publication(task), now)
    return tasks


def _is_publication(task: PublishingTask) -> ColumnElement[bool]:
    columns = PUBLICATIONS.c
    return and_(
        columns.image_key == task.image_key,
        columns.registry == task.registry,
        columns.repository == task.repository,
        columns.asked_id == task.asked_id,
    )


def record_published(
    connection: Connection,
    task: PublishingTask,
    state: PublicationState,
    *,
    next_at: datetime | None,
    code: str,
    reason: str,
) -> None:
    """Note what became of a publication; nothing if there is something newer to publish."""
    values: dict[str, Any] = {
        "state": state.value,
        "due_at": None if next_at is None else to_ms(next_at),
        "error_code": clean(code, 64),
        "error": clean(reason, _ERROR_CHARS),
    }
    if state is PublicationState.PUBLISHED:
        values["published_at"] = now_ms()
    connection.execute(update(PUBLICATIONS).where(_is_publication(task)).values(values))


def publications_waiting(connection: Connection) -> dict[PublicationState, int]:
    """Return how many publications are to be tried yet, by state."""
    columns = PUBLICATIONS.c
    query = (
        select(columns.state, func.count())
        .where(columns.due_at.is_not(None))
        .group_by(columns.state)
    )
    return {PublicationState(state): count for state, count in connection.execute(query)}


def is_renewal_due(connection: Connection) -> bool:
    """Whether :func:`renewal_tasks` would look at any."""
    columns = ATTESTED_IMAGES.c
    query = select(columns.image_key).where(
        columns.renew_at.is_not(None), columns.renew_at <= now_ms()
    )
    return connection.execute(query.limit(1)).first() is not None


def renewal_tasks(connection: Connection, again_at: datetime, limit: int) -> list[RenewalTask]:
    """Return tagged images whose statements will expire; all that are due are looked at again later."""
    columns = ATTESTED_IMAGES.c
    due = (
        select(columns.image_key)
        .where(columns.renew_at.is_not(None), columns.renew_at <= now_ms())
        .order_by(columns.renew_at)
        .limit(bounded(limit))
        .with_for_update(skip_locked=True)
    )
    keys = list(connection.scalars(due))
    if not keys:
        return []
    later = update(ATTESTED_IMAGES).where(columns.image_key.in_(keys))
    connection.execute(later.values(renew_at=to_ms(again_at)))
    tagged = (
        select(TAGS.c.digest, TAGS.c.registry, TAGS.c.repository)
        .join(IMAGES, IMAGES.c.digest == TAGS.c.digest)
        .where(IMAGES.c.key.in_(keys), TAGS.c.replaced_at.is_(None))
        .order_by(TAGS.c.digest, TAGS.c.registry, TAGS.c.repository)
        .distinct()
    )
    return [RenewalTask(**row._mapping) for row in connection.execute(tagged)]  # noqa: SLF001 - SQLAlchemy's public name for it
