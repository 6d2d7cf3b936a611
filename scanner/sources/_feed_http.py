"""Fetch the files of a feed over https: conditional, resumed where it was cut, bounded in bytes and time.

Source: https://www.rfc-editor.org/rfc/rfc9110#name-range-requests
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final
from urllib.parse import quote, urlsplit

import msgspec
import requests

from scanner.decoding import decode_json
from scanner.errors import (
    ForbiddenHostError,
    LimitExceededError,
    MalformedFileError,
    NotFoundError,
    SettingsError,
    StoreError,
    UpstreamError,
)
from scanner.ports.feed import FetchedFile, FileMark
from scanner.ports.source import SourceOptions
from scanner.sources._registry_errors import (
    Backoff,
    TransientError,
    is_retryable,
    retrying,
    wire_errors,
)
from scanner.sources._registry_hosts import HostGuard, is_insecure, redirect_target, split_url
from scanner.sources._registry_transport import GuardedAdapter, PlainSession

_CHUNK_BYTES: Final = 256 * 1024
_POINTER_BYTES: Final = 1_024
_MARK_LENGTH: Final = 500
_REDIRECTS_COUNT: Final = 5
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,200}\Z")
_RANGE: Final = re.compile(r"bytes (?:\*|([0-9]{1,15})-[0-9]{1,15})/([0-9]{1,15}|\*)\Z")
_OPERATION: Final = "fetch"


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchBounds:
    """What a file of a feed may cost."""

    file_bytes: int
    seconds: float
    """For one file, however slowly it drips."""


class _Part(msgspec.Struct, frozen=True):
    """Of which edition an unfinished file is."""

    url: str
    mark: FileMark


class HttpFeedSource:
    """A publisher's address, or a mirror's. Used by one thread."""

    def __init__(
        self,
        url: str,
        options: SourceOptions,
        bounds: FetchBounds,
        *,
        allowed_hosts: frozenset[str] = frozenset(),
        backoff: Backoff | None = None,
    ) -> None:
        """Open nothing yet.

        Raises:
            SettingsError: the URL is none, holds a password, or is of plain http where that was not allowed.
            UpstreamError: the options say offline.
        """
        self.name = url.rstrip("/")
        parts = _checked(url, options)
        self._host = parts
        self._options = options
        self._bounds = bounds
        self._allowed = {h.lower() for h in allowed_hosts} | {parts.lower()}
        self._backoff = backoff or Backoff()
        if options.offline:
            raise UpstreamError(self._host, _OPERATION, "offline: nothing is fetched")
        guard = HostGuard(self._host)
        self._session = PlainSession()
        for prefix in ("https://", "http://", *(f"{s}://{self._host}/" for s in ("http", "https"))):
            adapter = GuardedAdapter(
                guard,
                is_registry=prefix.endswith(f"{self._host}/"),
                timeout_seconds=(options.connect_seconds, options.idle_seconds),
                ca_file=options.ca_file,
                proxies=options.proxies,
            )
            self._session.mount(prefix, adapter)

    def close(self) -> None:
        """Close every connection."""
        self._session.close()

    def read_pointer(self, path: str) -> str:
        """Return the name that a small text holds.

        Raises:
            MalformedFileError: it holds anything but the name of a file.
            UpstreamError: it cannot be had; also its subclasses.
        """

        def once() -> bytes:
            with self._get(self._url(path), {}) as response, wire_errors(self._host, _OPERATION):
                return bytes(response.raw.read(_POINTER_BYTES + 1))

        content = retrying(once, retries_count=self._options.retries_count, backoff=self._backoff)
        name = content.decode("ascii", "replace").strip()
        if not _NAME.match(name):
            raise MalformedFileError(path, "it does not hold the name of a file")
        return f"{path.rpartition('/')[0]}/{name}".lstrip("/")

    def fetch(self, path: str, target: Path, mark: FileMark | None) -> FetchedFile | None:
        """Bring a file here; None if it is still the edition that ``mark`` names.

        What an earlier call left in ``target`` is continued, if the publisher says that it is of the same edition.

        Raises:
            UpstreamError: it cannot be had; also its subclasses.
            LimitExceededError: it is too large, or takes too long.
            StoreError: the disk is full, or cannot be written.
        """
        deadline = time.monotonic() + self._bounds.seconds
        return retrying(
            lambda: self._once(path, target, mark, deadline),
            retries_count=self._options.retries_count,
            backoff=self._backoff,
        )

    def _once(
        self, path: str, target: Path, mark: FileMark | None, deadline: float
    ) -> FetchedFile | None:
        url = self._url(path)
        part = _load_part(target, url)
        size = target.stat().st_size if part else 0
        headers = _asking(mark, part.mark if part else None, size)
        with self._get(url, headers) as response:
            status = response.status_code
            if status == requests.codes.not_modified and mark is not None and not size:
                return None
            if status == requests.codes.requested_range_not_satisfiable and part is not None:
                if _total(response) == size:
                    return FetchedFile(target, part.mark)
                _forget(target)
                raise self._transient("the server has another edition now")
            if status not in (requests.codes.ok, requests.codes.partial_content):
                raise UpstreamError(self._host, _OPERATION, f"HTTP {status}, which was not asked for")  # fmt: skip
            begin = _begin(response) if status == requests.codes.partial_content else 0
            if begin not in (0, size) or (begin and part and _differs(part.mark, response)):
                _forget(target)
                raise self._transient("the server resumes elsewhere")
            fetched = part.mark if begin and part else _mark_of(path, response)
            if not begin:
                _save_part(target, _Part(url, fetched))
            self._receive(response, target, begin, deadline)
        return FetchedFile(target, fetched)

    def _receive(
        self, response: requests.Response, target: Path, begin: int, deadline: float
    ) -> None:
        expected = _length(response)
        self._check_size(begin + (expected or 0))
        at = begin
        try:
            with target.open("r+b" if begin else "wb") as file:
                file.seek(begin)
                at = self._copy(response, file, begin, deadline)
                file.truncate(at)
        except OSError as error:
            if isinstance(error, requests.RequestException):
                raise
            raise StoreError(str(target), error.strerror or "cannot be written") from error
        if expected is not None and at != begin + expected:
            raise self._transient("the connection was cut")

    def _copy(
        self, response: requests.Response, file: BinaryIO, begin: int, deadline: float
    ) -> int:
        at = begin
        while True:
            with wire_errors(self._host, _OPERATION):
                chunk = response.raw.read1(_CHUNK_BYTES)
            if not chunk:
                return at
            at += len(chunk)
            self._check_size(at)
            if time.monotonic() > deadline:
                seconds = self._bounds.seconds
                raise _limit("advisories.fetch_seconds", seconds, seconds)
            file.write(chunk)

    def _check_size(self, size: int) -> None:
        if size > self._bounds.file_bytes:
            raise _limit("advisories.file_bytes", self._bounds.file_bytes, size)

    def _get(self, url: str, headers: Mapping[str, str]) -> requests.Response:
        """Return a reply that is none of an error, its body not yet read; redirects are followed to known hosts."""
        current = url
        for _ in range(_REDIRECTS_COUNT + 1):
            with wire_errors(self._host, _OPERATION):
                response = self._session.get(
                    current, headers=dict(headers), stream=True, allow_redirects=False
                )
            if response.status_code not in _REDIRECTS:
                return self._checked_status(response, url)
            response.close()
            current = self._redirected(current, response.headers.get("Location"))
        raise UpstreamError(self._host, _OPERATION, f"more than {_REDIRECTS_COUNT} redirects")

    def _redirected(self, current: str, location: str | None) -> str:
        target = redirect_target(
            current,
            location,
            host=self._host,
            operation=_OPERATION,
            insecure_hosts=self._options.insecure_hosts,
        )
        parts = split_url(target, host=self._host, operation=_OPERATION)
        if parts.netloc.lower() not in self._allowed:
            host = parts.netloc[:255]
            raise ForbiddenHostError(
                self._host,
                _OPERATION,
                f"it redirects to {host}",
                hint=f"if that is right, add {host} to advisories.hosts",
            )
        return target

    def _checked_status(self, response: requests.Response, url: str) -> requests.Response:
        status = response.status_code
        if status in (200, 206, 304, 416):
            return response
        response.close()
        reason = f"HTTP {status} for {urlsplit(url).path[:200]}"
        if status == requests.codes.not_found:
            raise NotFoundError(self._host, _OPERATION, reason)
        error = UpstreamError(self._host, _OPERATION, reason, retryable=is_retryable(status))
        raise TransientError(error) if error.retryable else error

    def _transient(self, reason: str) -> TransientError:
        return TransientError(UpstreamError(self._host, _OPERATION, reason, retryable=True))

    def _url(self, path: str) -> str:
        return f"{self.name}/{quote(path)}"


def _limit(name: str, allowed: float, seen: float) -> LimitExceededError:
    error = LimitExceededError(name, allowed, seen, setting=False)
    error.hint = f"raise the setting {name} if this feed is to be trusted"
    return error


def _checked(url: str, options: SourceOptions) -> str:
    """Return host and port of a feed's address."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise SettingsError("advisories.urls", f"{url[:200]!r} is no https address")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise SettingsError("advisories.urls", "an address must hold no password and no query")
    if parts.scheme == "http" and not is_insecure(parts, options.insecure_hosts):
        error = SettingsError("advisories.urls", f"{parts.netloc}: plain http can be forged")
        error.hint = f"if the network between is trusted, add {parts.netloc} to registry.insecure"
        raise error
    return parts.netloc


def _asking(mark: FileMark | None, part: FileMark | None, size: int) -> dict[str, str]:
    """Return the headers that ask for what is missing, or for a newer edition only."""
    if part is not None and size:
        return {"Range": f"bytes={size}-", "If-Range": part.etag or part.last_modified}
    if mark is None:
        return {}
    asking = {"If-None-Match": mark.etag, "If-Modified-Since": mark.last_modified}
    return {name: value for name, value in asking.items() if value}


def _mark_of(path: str, response: requests.Response) -> FileMark:
    return FileMark(
        path=path,
        etag=response.headers.get("ETag", "")[:_MARK_LENGTH],
        last_modified=response.headers.get("Last-Modified", "")[:_MARK_LENGTH],
    )


def _differs(mark: FileMark, response: requests.Response) -> bool:
    """Say whether the rest that a server sends is of another edition than what there is."""
    return response.headers.get("ETag", mark.etag)[:_MARK_LENGTH] != mark.etag


def _length(response: requests.Response) -> int | None:
    text = response.headers.get("Content-Length", "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 16 else None  # noqa: PLR2004 - digits


def _begin(response: requests.Response) -> int:
    match = _RANGE.match(response.headers.get("Content-Range", ""))
    return int(match[1]) if match and match[1] else -1


def _total(response: requests.Response) -> int:
    match = _RANGE.match(response.headers.get("Content-Range", ""))
    return int(match[2]) if match and match[2] != "*" else -1


def _part_path(target: Path) -> Path:
    return target.with_name(f"{target.name}.part")


def _load_part(target: Path, url: str) -> _Part | None:
    """Return of which edition an unfinished file is, if that can be told and is of the same address."""
    try:
        part = decode_json(_part_path(target).read_bytes(), _Part)
        is_there = target.stat().st_size > 0
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    is_strong = bool(part.mark.etag) and not part.mark.etag.startswith("W/")
    is_known = is_strong or (not part.mark.etag and bool(part.mark.last_modified))
    return part if part.url == url and is_there and is_known else None


def _save_part(target: Path, part: _Part) -> None:
    try:
        target.unlink(missing_ok=True)
        _part_path(target).write_bytes(msgspec.json.encode(part))
    except OSError as error:
        raise StoreError(str(target), error.strerror or "cannot be written") from error


def _forget(target: Path) -> None:
    with suppress(OSError):
        _part_path(target).unlink()
