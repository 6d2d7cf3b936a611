"""Small artifacts in one repository: fetched with their digest checked, and pushed.

Source: https://github.com/opencontainers/distribution-spec/blob/main/spec.md#push
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple, Self, TypeVar
from urllib.parse import quote, urljoin

import requests

from scanner.errors import (
    DigestMismatchError,
    ForbiddenHostError,
    LimitExceededError,
    NotFoundError,
    StoreError,
    UpstreamError,
)
from scanner.model import Descriptor, Digest, Reference, digest_of
from scanner.model.oci import INDEX_TYPES
from scanner.ports import BlobStream, SourceOptions
from scanner.sources._registry_client import Document, RegistryClient, digest_or_none
from scanner.sources._registry_errors import Backoff, TransientError, retrying
from scanner.sources._registry_hosts import origin, split_url
from scanner.sources.registry import ACCEPT

T = TypeVar("T")

_NO_API: Final = frozenset({400, 404, 405, 406, 501})
"""How registries say that they do not know referrers."""
_MANIFEST_BYTES: Final = 4 * 1024 * 1024
_PAGES_COUNT: Final = 20
_NEXT: Final = re.compile(r"<([^<>]{1,4096})>\s*;\s*rel=\"?next\"?", re.IGNORECASE)


class Stored(NamedTuple):
    """A manifest as the registry has it now."""

    content: bytes
    media_type: str
    digest: Digest
    etag: str
    """Empty where the registry gives none."""


class ArtifactRepository:
    """One repository, to be read and written. Safe for many threads."""

    def __init__(
        self, reference: Reference, client: RegistryClient, options: SourceOptions, backoff: Backoff
    ) -> None:
        self.name = reference.name
        self.host = client.host
        self._repository = reference.repository
        self._client = client
        self._retries_count = options.retries_count
        self._idle_seconds = options.idle_seconds
        self._backoff = backoff

    def manifest(self, name: str) -> Stored | None:
        """Return a manifest by tag or digest; None if there is none.

        Raises:
            DigestMismatchError: the content is not what was asked for, or not what the registry says it is.
            LimitExceededError: it is longer than 4 MiB.
            UpstreamError: the registry does not answer as it should; also its subclasses.
        """
        try:
            document = self._document(
                f"manifests/{name}", ACCEPT, "manifest_bytes", _MANIFEST_BYTES
            )
        except NotFoundError:
            return None
        said = digest_or_none(name) or digest_or_none(
            document.headers.get("Docker-Content-Digest", "")
        )
        actual = digest_of(document.content, said.partition(":")[0] if said else "sha256")
        if said and said != actual:
            raise DigestMismatchError("manifest", said, actual)
        media_type = document.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        return Stored(
            document.content, media_type[:255], actual, document.headers.get("ETag", "")[:255]
        )

    def blob(self, digest: Digest, size: int, *, most_bytes: int) -> bytes:
        """Return a blob whole.

        Raises:
            DigestMismatchError: another size or digest.
            LimitExceededError: more than ``most_bytes``.
            UpstreamError: the registry does not answer as it should; also its subclasses.
        """
        if size > most_bytes:
            raise LimitExceededError("attestation_bytes", most_bytes, size, setting=False)
        content = self._document(f"blobs/{digest}", "*/*", "attestation_bytes", most_bytes).content
        actual = digest_of(content, digest.partition(":")[0])
        if len(content) != size or actual != digest:
            raise DigestMismatchError("blob", digest, actual)
        return content

    def referrers(self, digest: Digest) -> list[bytes] | None:
        """Return the pages of the index of what refers to a digest; None if the registry does not know referrers.

        Raises:
            UpstreamError: the registry does not answer as it should; also its subclasses.
        """
        operation = "ask for referrers"
        first = url = self._client.url(self._repository, f"referrers/{digest}")
        pages: list[bytes] = []
        while len(pages) < _PAGES_COUNT:
            response = self._client.do_request(
                url, headers={"Accept": ", ".join(sorted(INDEX_TYPES))}
            )
            if response.status_code in _NO_API and not pages:
                return None
            if response.status_code != HTTPStatus.OK:
                raise self._failure(response, operation)
            media_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
            if media_type not in INDEX_TYPES:  # a web page, for one
                return pages or None
            pages.append(response.content)
            following = _NEXT.search(response.headers.get("Link", "")[:8192])
            if following is None:
                return pages
            # Only the query: a link must not lead to another place.
            url = f"{first}?{quote(following[1].partition('?')[2], safe='=&%')}"
        raise UpstreamError(self.host, operation, f"more than {_PAGES_COUNT} pages")

    def push_blob(self, content: bytes) -> Digest:
        """Push a blob unless it is there, and return its digest; raises ``UpstreamError`` and subclasses."""
        digest = digest_of(content)
        url = self._client.url(self._repository, f"blobs/{digest}")
        if self._client.do_request(url, "HEAD").status_code == HTTPStatus.OK:
            return digest
        self._retry(lambda: self._upload(content, digest))
        return digest

    def open_blob(self, descriptor: Descriptor) -> BlobStream:
        """Open a blob that may be large; it is for the reader to check.

        Raises:
            DigestMismatchError: the registry says that it has another size.
            UpstreamError: no reply or bad status; also its subclasses.
        """
        from scanner.sources._registry_blob import RegistryBlob  # noqa: PLC0415 - for large ones only

        return RegistryBlob(
            self._client,
            self._client.url(self._repository, f"blobs/{descriptor.digest}"),
            descriptor,
            retries_count=self._retries_count,
            idle_seconds=self._idle_seconds,
            backoff=self._backoff,
        )

    def push_file(self, path: Path) -> Digest:
        """Push a file as a blob unless it is there, and return its digest.

        Raises:
            StoreError: it cannot be read.
            UpstreamError: the registry does not take it; also its subclasses.
        """
        try:
            with path.open("rb") as file:
                digest = Digest(f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}")
                url = self._client.url(self._repository, f"blobs/{digest}")
                if self._client.do_request(url, "HEAD").status_code != HTTPStatus.OK:
                    self._retry(lambda: self._upload_file(file, digest))
        except UpstreamError:
            raise
        except OSError as error:
            raise StoreError(str(path), error.strerror or "cannot be read") from error
        return digest

    def _upload_file(self, file: BinaryIO, digest: Digest) -> None:
        file.seek(0)
        self._upload(file, digest)

    def push_manifest(
        self,
        name: str,
        content: bytes,
        media_type: str,
        *,
        etag: str | None = None,
        is_repeated: bool = True,
    ) -> requests.Response | None:
        """Push a manifest under a tag or its digest; return the reply.

        With ``etag`` only if the registry still has what that stands for (empty: nothing); None if it has not.
        Registries that know no such condition push anyway. ``is_repeated`` is False where the content would be out of
        date by the next try. Raises ``UpstreamError`` and subclasses.
        """
        headers = {"Content-Type": media_type}
        if etag is not None:
            headers |= {"If-Match": etag} if etag else {"If-None-Match": "*"}
        url = self._client.url(self._repository, f"manifests/{name}")

        def once() -> requests.Response | None:
            response = self._client.do_request(url, "PUT", data=content, headers=headers)
            if response.status_code in (HTTPStatus.PRECONDITION_FAILED, HTTPStatus.CONFLICT):
                return None
            if response.status_code not in (HTTPStatus.CREATED, HTTPStatus.OK, HTTPStatus.ACCEPTED):
                raise self._failure(response, "push manifest")
            return response

        retries_count = self._retries_count if is_repeated else 0
        return retrying(once, retries_count=retries_count, backoff=self._backoff)

    def delete_manifest(self, digest: Digest) -> bool:
        """Delete a manifest; False if the registry does not let us. Raises ``UpstreamError`` and subclasses."""
        url = self._client.url(self._repository, f"manifests/{digest}")
        try:
            status = self._client.do_request(url, "DELETE").status_code
        except UpstreamError as error:
            if error.retryable:
                raise
            return False  # credentials that may push, but not delete
        return status in (
            HTTPStatus.ACCEPTED,
            HTTPStatus.OK,
            HTTPStatus.NO_CONTENT,
            HTTPStatus.NOT_FOUND,
        )

    def close(self) -> None:
        """Close every connection."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _document(self, path: str, accept: str, limit: str, allowed: int) -> Document:
        return self._client.fetch_document(
            self._client.url(self._repository, path),
            accept=accept,
            limit=limit,
            allowed=allowed,
            operation=f"fetch {path.partition('/')[0]}",
        )

    def _upload(self, content: bytes | BinaryIO, digest: Digest) -> None:
        start = self._client.url(self._repository, "blobs/uploads/")
        begun = self._client.do_request(start, "POST", headers={"Content-Length": "0"})
        if begun.status_code != HTTPStatus.ACCEPTED:
            raise self._failure(begun, "push blob")
        target = urljoin(start, begun.headers.get("Location", ""))
        here, there = (
            origin(split_url(u, host=self.host, operation="push blob")) for u in (start, target)
        )
        if here != there:  # credentials would go along
            raise ForbiddenHostError(self.host, "push blob", "it sends uploads to another host")
        joint = "&" if "?" in target else "?"
        done = self._client.do_request(
            f"{target}{joint}digest={quote(digest, safe='')}",
            "PUT",
            data=content,
            headers={"Content-Type": "application/octet-stream"},
        )
        if done.status_code not in (HTTPStatus.CREATED, HTTPStatus.OK, HTTPStatus.NO_CONTENT):
            raise self._failure(done, "push blob")

    def _retry(self, call: Callable[[], T]) -> T:
        return retrying(call, retries_count=self._retries_count, backoff=self._backoff)

    def _failure(
        self, response: requests.Response, operation: str
    ) -> TransientError | UpstreamError:
        return self._client.failure(response, operation)


def open_artifacts(
    reference: Reference, options: SourceOptions, *, backoff: Backoff | None = None
) -> ArtifactRepository:
    """Open the repository of a reference. Nothing is sent yet.

    Raises:
        SettingsError: the CA file cannot be read.
        UpstreamError: the options say offline.
    """
    if options.offline:
        raise UpstreamError(reference.api_host, "open", "offline: registries are not asked")
    waits = backoff or Backoff()
    return ArtifactRepository(reference, RegistryClient(reference, options, waits), options, waits)
