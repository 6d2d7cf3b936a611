"""Queue scans: many in one transaction, each answered by a scan that is there already where one is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, bindparam, exists, func, select, text, update

from scanner.errors import InvalidReferenceError
from scanner.ports.service import Enqueued, JobState, ScanRequest
from scanner.store._backend import QUEUE_CHANNEL
from scanner.store._dialect import clean, inserting
from scanner.store._leases import moment
from scanner.store._moments import new_id
from scanner.store._tables import ACTIVE, IMAGES, SCANS
from scanner.store._tags import ask_tags
from scanner.store._values import dedupe_key

_CHUNK: Final = 500
_LONGEST: Final = {"registry": 255, "repository": 255, "tag": 128, "digest": 160}
_PLATFORMS_CHARS: Final = 1_024

_ACTIVE_SCANS: Final = select(
    SCANS.c.dedupe_key, SCANS.c.id, SCANS.c.state, SCANS.c.priority
).where(SCANS.c.dedupe_key.in_(bindparam("keys", expanding=True)), text(ACTIVE))
_PLACE: Final = (SCANS.c.digest, SCANS.c.registry, SCANS.c.repository, SCANS.c.platforms)
_COMPLETE_SCANS: Final = (
    select(*_PLACE, func.max(SCANS.c.id))
    .where(
        SCANS.c.digest.in_(bindparam("digests", expanding=True)),
        SCANS.c.state == JobState.COMPLETE.value,
        SCANS.c.fingerprint == bindparam("fingerprint"),
        exists().where(IMAGES.c.digest == SCANS.c.digest),  # or what it found was not kept
    )
    .group_by(*_PLACE)
)
_RAISE_PRIORITY: Final = (
    update(SCANS)
    .where(
        SCANS.c.id == bindparam("raised_id"),
        SCANS.c.state == JobState.QUEUED.value,
        SCANS.c.priority > bindparam("raised_to"),
    )
    .values(priority=bindparam("raised_to"))
)


class _Wish(msgspec.Struct):
    """Requests for one scan, taken together."""

    key: str
    request: ScanRequest
    """The first."""
    priority: int
    force: bool
    answer: str = ""
    """Id of the scan that answers."""
    is_running: bool = False


def enqueue_many(
    connection: Connection, requests: Sequence[ScanRequest], fingerprint: str
) -> list[Enqueued]:
    """Queue scans; see ``scanner.ports.ServiceStore``.

    All who queue at once insert first, in the order of their keys, and then change what is there, also in
    order: so none waits for one that waits for it.

    Raises:
        InvalidReferenceError: a request names neither tag nor digest, or has a text that is too long.
    """
    keys = [_key(request) for request in requests]
    wishes = _wishes(zip(keys, requests, strict=True))
    raised: list[dict[str, Any]] = []
    new: set[str] = set()
    for chunk in _chunks(sorted(wishes)):
        some = [wishes[key] for key in chunk]
        raised += _answer_by_active(connection, some)
        _answer_by_complete(connection, some, fingerprint)
        new |= _insert(connection, [wish for wish in some if not wish.answer])
    if raised:
        connection.execute(_RAISE_PRIORITY, sorted(raised, key=lambda r: str(r["raised_id"])))
    ask_tags(connection, _moved_tags(requests, keys, wishes))
    if new and connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_notify(QUEUE_CHANNEL, "")))
    return list(_answers(keys, wishes, new))


def _key(request: ScanRequest) -> str:
    subject = request.digest or request.tag
    if not subject:
        raise InvalidReferenceError(request.repository, "neither a tag nor a digest")
    for name, chars in _LONGEST.items():
        if len(getattr(request, name)) > chars:
            raise InvalidReferenceError(getattr(request, name)[:chars], f"the {name} is too long")
    if len(_platforms(request)) > _PLATFORMS_CHARS:
        raise InvalidReferenceError(request.platforms[0], "too many platforms")
    return dedupe_key(request.registry, request.repository, subject, request.platforms)


def _wishes(requests: Iterable[tuple[str, ScanRequest]]) -> dict[str, _Wish]:
    wishes: dict[str, _Wish] = {}
    for key, request in requests:
        wish = wishes.setdefault(
            key, _Wish(key, request, int(request.priority), force=request.force)
        )
        wish.priority = min(wish.priority, int(request.priority))
        wish.force |= request.force
    return wishes


def _answer_by_active(connection: Connection, wishes: list[_Wish]) -> list[dict[str, Any]]:
    """Answer those for which a scan waits or runs; return whose priority is to be raised."""
    by_key = {wish.key: wish for wish in wishes}
    raised = []
    for row in connection.execute(_ACTIVE_SCANS, {"keys": list(by_key)}):
        wish = by_key[row.dedupe_key]
        wish.answer = row.id
        wish.is_running = row.state == JobState.SCANNING.value
        if row.priority > wish.priority and not wish.is_running:
            raised.append({"raised_id": row.id, "raised_to": wish.priority})
    return raised


def _answer_by_complete(connection: Connection, wishes: list[_Wish], fingerprint: str) -> None:
    """Answer those whose digest today's analyzers have looked at; by whichever tag it was asked for then."""
    by_place = {
        _place(wish.request): wish
        for wish in wishes
        if wish.request.digest and not wish.force and not wish.answer
    }
    if not by_place:
        return
    digests = [digest for digest, *_ in by_place]
    values = {"digests": digests, "fingerprint": clean(fingerprint)}
    for *place, scan_id in connection.execute(_COMPLETE_SCANS, values):
        if wish := by_place.get(tuple(place)):
            wish.answer = scan_id


def _place(request: ScanRequest) -> tuple[str, ...]:
    texts = (request.digest, request.registry, request.repository, _platforms(request))
    return tuple(clean(text) for text in texts)


def _platforms(request: ScanRequest) -> str:
    return ",".join(sorted(set(request.platforms)))


def _insert(connection: Connection, wishes: list[_Wish]) -> set[str]:
    """Queue new scans; return their ids. Where somebody else has queued it meanwhile, that answers."""
    if not wishes:
        return set()
    now = moment(connection)  # the clock that workers go by, too
    rows = [_row(wish, now) for wish in wishes]
    statement = inserting(connection)(SCANS)
    statement = statement.on_conflict_do_update(
        index_elements=[SCANS.c.dedupe_key],
        index_where=text(ACTIVE),
        set_={"priority": _lesser(connection)(SCANS.c.priority, statement.excluded.priority)},
    )
    found = connection.execute(statement.returning(SCANS.c.dedupe_key, SCANS.c.id), rows)
    ids = {key: scan_id for key, scan_id in found}  # noqa: C416 - rows are no pairs to mypy
    for wish in wishes:
        wish.answer = ids[wish.key]
    return {row["id"] for row in rows} & set(ids.values())


def _lesser(connection: Connection) -> Any:
    return func.min if connection.dialect.name == "sqlite" else func.least


def _row(wish: _Wish, now: int) -> dict[str, Any]:
    request = wish.request
    values = {name: clean(getattr(request, name)) for name in _LONGEST}
    return {
        **values,
        "id": new_id(),
        "reference": _reference(values)[:1024],
        "platforms": clean(_platforms(request)),
        "state": JobState.QUEUED.value,
        "priority": wish.priority,
        "requested_by": clean(request.requested_by, 255),
        "dedupe_key": wish.key,
        "attempts": 0,
        "not_before_at": now,
        "leased_by": "",
        "cancel_requested": False,
        "stage": "",
        "progress": "{}",
        "error_code": "",
        "error": "",
        "created_at": now,
        "fingerprint": "",
    }


def _reference(values: Mapping[str, str]) -> str:
    tag = f":{values['tag']}" if values["tag"] else ""
    digest = f"@{values['digest']}" if values["digest"] else ""
    return f"{values['registry']}/{values['repository']}{tag}{digest}"


def _moved_tags(
    requests: Sequence[ScanRequest], keys: Sequence[str], wishes: Mapping[str, _Wish]
) -> Iterator[tuple[str, str, str]]:
    """Yield tags to be asked of their registry.

    Those that came with a digest, and those without whose scan runs: it may have asked before the tag moved.
    """
    for request, key in zip(requests, keys, strict=True):
        if request.tag and (request.digest or wishes[key].is_running):
            yield (clean(request.registry), clean(request.repository), clean(request.tag))


def _answers(keys: Sequence[str], wishes: Mapping[str, _Wish], new: set[str]) -> Iterator[Enqueued]:
    """Yield an answer for each request; of several for one new scan, the first is told that it is new."""
    told: set[str] = set()
    for key in keys:
        scan_id = wishes[key].answer
        yield Enqueued(id=scan_id, is_new=scan_id in new and scan_id not in told)
        told.add(scan_id)


def _chunks(keys: Sequence[str]) -> list[Sequence[str]]:
    return [keys[start : start + _CHUNK] for start in range(0, len(keys), _CHUNK)]
