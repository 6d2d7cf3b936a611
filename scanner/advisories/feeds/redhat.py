"""Red Hat's VEX documents: one for each vulnerability, all of them in one archive.

Source: https://security.access.redhat.com/data/csaf/v2/vex/
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import msgspec

from scanner.advisories._csaf import Csaf, CsafVulnerability, Placed, products_of
from scanner.advisories._feed_files import decode, entries
from scanner.errors import MalformedFileError
from scanner.model.advisory import (
    Advisory,
    Affected,
    AffectedRange,
    Event,
    EventKind,
    FixState,
    Score,
)
from scanner.ports.feed import Feed, FeedFile, FeedItem, RefusedRecord

_CPE: Final = re.compile(r"cpe:/[oah]:redhat:")


class _Key(NamedTuple):
    ecosystem: str
    name: str
    version: str
    stream: str
    state: FixState


def _parse(file: FeedFile) -> Iterator[FeedItem]:
    """Yield an advisory for each vulnerability that affects a package."""
    for entry in entries(file):
        if isinstance(entry, RefusedRecord):
            yield entry
            continue
        try:
            document = decode(entry.content, Csaf, entry.name)
            found = list(_advisories(document))
        except (MalformedFileError, msgspec.DecodeError, RecursionError) as error:
            yield RefusedRecord(entry.name, str(error)[:200])
            continue
        yield from found


def _advisories(document: Csaf) -> Iterator[Advisory]:
    products = products_of(document.product_tree)
    tracking = document.document.tracking
    for one in document.vulnerabilities:
        placed = {
            id_: place
            for id_ in _mentioned(one)
            if (place := products.place(id_)) is not None and _CPE.match(place.cpe)
        }
        affected = tuple(_affected(one, placed))
        if not affected:
            continue
        id_ = one.cve or tracking.id
        yield Advisory(
            id=f"RHVEX-{id_}",
            upstream=(id_,),
            modified=tracking.current_release_date,
            published=tracking.initial_release_date,
            summary=one.title or document.document.title,
            details=next((n.text for n in one.notes if n.category == "description"), ""),
            affected=affected,
        )


def _mentioned(one: CsafVulnerability) -> Iterable[str]:
    status = one.product_status
    return (*status.fixed, *status.known_affected, *status.under_investigation)


def _affected(one: CsafVulnerability, placed: dict[str, Placed]) -> Iterator[Affected]:
    """Yield each package of each product once, whatever the number of its architectures."""
    ratings = {p: t.details for t in one.threats if t.category == "impact" for p in t.product_ids}
    vectors = {p: s.cvss_v3.vector for s in one.scores if s.cvss_v3 for p in s.products}
    for key, id_ in _keys(one, placed).items():
        fixed = (Event(EventKind.FIXED, key.version),) if key.version else ()
        vector = vectors.get(id_)
        yield Affected(
            ecosystem=key.ecosystem,
            name=key.name,
            ranges=(AffectedRange((Event(EventKind.INTRODUCED, "0"), *fixed)),),
            streams=(key.stream,) if key.stream else (),
            rating=ratings.get(id_, ""),
            scores=(Score("CVSS_V3", vector),) if vector else (),
            state=key.state,
        )


def _keys(one: CsafVulnerability, placed: dict[str, Placed]) -> dict[_Key, str]:
    given_up = {
        p for r in one.remediations if r.category == "no_fix_planned" for p in r.product_ids
    }
    status = one.product_status
    found: dict[_Key, str] = {}
    for ids, state in (
        (status.fixed, FixState.FIXED),
        (status.known_affected, FixState.NOT_FIXED),
        (status.under_investigation, FixState.UNDER_INVESTIGATION),
    ):
        for id_ in ids:
            place = placed.get(id_)
            if place is None or (state is FixState.FIXED and not place.package.version):
                continue
            name, version, stream = place.package
            is_given_up = state is FixState.NOT_FIXED and id_ in given_up
            found.setdefault(
                _Key(
                    f"Red Hat:{_CPE.sub('', place.cpe)}",
                    name,
                    version if state is FixState.FIXED else "",
                    stream,
                    FixState.WILL_NOT_FIX if is_given_up else state,
                ),
                id_,
            )
    return found


FEED: Final = Feed(
    name="redhat-vex",
    units=("Red Hat",),
    url="https://security.access.redhat.com/data/csaf/v2/vex",
    pointer="archive_latest.txt",
    files=lambda _unit: ("archive_latest.tar.zst",),
    parse=_parse,
    licence="CC-BY-4.0",
    attribution="Red Hat security data, (c) Red Hat, Inc.",
    summary="what affects Red Hat's products, fixed or not",
)
