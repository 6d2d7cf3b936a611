"""Checked reads for dialects: untrusted bytes in, typed values or an InputError out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qs

import msgspec

from scanner.errors import InvalidReferenceError, LimitExceededError, MalformedEventError
from scanner.model import parse_reference
from scanner.model.reference import DOCKER_HUB
from scanner.ports.webhook import Headers, ImagePushed

EVENTS_COUNT: Final = 1_000
"""Events in one body; no sender batches as many."""
_FORM_FIELDS_COUNT: Final = 16
_ANY_HOST: Final = "host.invalid"
_HUB_HOSTS: Final = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})
_EVENT_ID: Final = re.compile(r"[!-~]{1,200}\Z")
_REASON_LENGTH: Final = 200


def malformed(reason: str) -> MalformedEventError:
    """Return the error for an event that is not what its sender sends."""
    return MalformedEventError("webhook event", reason[:_REASON_LENGTH])


def media_type(headers: Headers) -> str:
    """Return the content type in lower case, without parameters."""
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def read_json(body: bytes | str) -> Any:
    """Return the body's JSON value.

    Raises:
        MalformedEventError: not UTF-8, not JSON, nested too deep, or a number too long to hold.
    """
    try:
        return msgspec.json.decode(body)
    except RecursionError as error:
        raise malformed("nested too deep") from error
    except ValueError as error:
        raise malformed(f"not JSON: {error}") from error


def read_table(body: bytes | str) -> Mapping[str, Any]:
    """Return the body's JSON object; raises as :func:`read_json`, and for anything else."""
    return table(read_json(body), "body")


def read_table_or_form(headers: Headers, body: bytes) -> Mapping[str, Any]:
    """Return the JSON object that is the body, or the field ``payload`` of a form; raises as :func:`read_table`."""
    if media_type(headers) != "application/x-www-form-urlencoded":
        return read_table(body)
    try:
        form = parse_qs(body.decode("ascii"), errors="strict", max_num_fields=_FORM_FIELDS_COUNT)
    except ValueError as error:
        raise malformed("not a form of a few fields") from error
    if len(form.get("payload", ())) != 1:
        raise malformed("the form has no single field payload")
    return read_table(form["payload"][0])


def table(value: object, what: str) -> Mapping[str, Any]:
    """Return ``value`` if it is an object; raises MalformedEventError otherwise."""
    if not isinstance(value, dict):
        raise malformed(f"{what}: expected an object, got {type(value).__name__}")
    return value


def table_at(values: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Return the object at ``key``; raises MalformedEventError if it is missing or something else."""
    return table(values.get(key), key)


def optional_table(values: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Return the object at ``key``, empty if missing or null; raises MalformedEventError for anything else."""
    value = values.get(key)
    return {} if value is None else table(value, key)


def text(values: Mapping[str, Any], key: str) -> str:
    """Return the non-empty string at ``key``; raises MalformedEventError otherwise."""
    value = values.get(key)
    if not isinstance(value, str) or not value:
        raise malformed(f"{key}: expected a string")
    return value


def optional_text(values: Mapping[str, Any], key: str) -> str:
    """Return the string at ``key``, empty if missing or null; raises MalformedEventError for anything else."""
    value = values.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise malformed(f"{key}: expected a string")
    return value


def bounded(value: object, what: str) -> Sequence[Any]:
    """Return ``value`` if it is an array of at most ``EVENTS_COUNT`` items.

    Raises:
        MalformedEventError: it is anything else.
        LimitExceededError: it is longer.
    """
    if not isinstance(value, list):
        raise malformed(f"{what}: expected an array, got {type(value).__name__}")
    if len(value) > EVENTS_COUNT:
        limit = "webhook_events_count"
        raise LimitExceededError(limit, EVENTS_COUNT, len(value), setting=False)
    return value


def tables_at(values: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    """Return the objects of the array at ``key``; raises as :func:`bounded` and :func:`table`."""
    return [table(item, key) for item in bounded(values.get(key), key)]


def host_of(url: str) -> str:
    """Return what stands between an optional ``scheme://`` and the first slash: unchecked, perhaps empty."""
    return url.rpartition("://")[2].partition("/")[0]


class Parts(NamedTuple):
    """A reference's parts as they were written: unchecked, empty where it has none."""

    host: str
    repository: str
    tag: str
    digest: str


def split_reference(reference: str) -> Parts:
    """Split ``[host/]repository[:tag][@digest]``; nothing is checked and no default filled in."""
    named, _, digest = reference.partition("@")
    first, slash, rest = named.partition("/")
    has_host = slash and (first == "localhost" or "." in first or ":" in first)
    host, path = (first, rest) if has_host else ("", named)
    head, slash, last = path.rpartition("/")
    name, _, tag = last.partition(":")
    return Parts(host, f"{head}{slash}{name}", tag, digest)


def pushed(
    *, host: str = "", repository: str, tag: str = "", digest: str = "", event_id: object = ""
) -> ImagePushed:
    """Return a push whose parts obey the grammar of references.

    A ``tag`` with a colon is a digest: many senders have one field for both.

    Raises:
        MalformedEventError: a part is not what it should be, or neither tag nor digest is known.
    """
    if ":" in tag:
        if digest not in ("", tag):
            raise malformed("two different digests")
        tag, digest = "", tag
    if not tag and not digest:
        raise malformed("neither tag nor digest")
    checked_host, checked_repository = _checked(host, repository, tag, digest)
    is_id = isinstance(event_id, str) and _EVENT_ID.match(event_id)
    return ImagePushed(
        host=checked_host,
        repository=checked_repository,
        tag=tag,
        digest=digest,
        event_id=str(event_id) if is_id else "",
    )


def _checked(host: str, repository: str, tag: str, digest: str) -> tuple[str, str]:
    """Return host and repository as references write them; what parses into other parts is refused."""
    written = f"{host or _ANY_HOST}/{repository}"
    written += f":{tag}" if tag else ""
    written += f"@{digest}" if digest else ""
    try:
        parsed = parse_reference(written)
    except InvalidReferenceError as error:
        raise malformed(f"no reference to an image: {error.reason}") from error
    lowered = (host or _ANY_HOST).lower()
    registry = DOCKER_HUB if lowered in _HUB_HOSTS else lowered
    names = (repository, f"library/{repository}" if registry == DOCKER_HUB else repository)
    if (parsed.registry, parsed.tag, parsed.digest or "") != (registry, tag, digest):
        raise malformed("no reference to an image: host, tag or digest")
    if parsed.repository not in names:
        raise malformed("no reference to an image: repository")
    return (registry if host else ""), parsed.repository
