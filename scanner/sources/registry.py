"""Images in a registry, through oras.

Source: https://github.com/opencontainers/distribution-spec/blob/main/spec.md
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Final, Self

from scanner.errors import (
    DigestMismatchError,
    InvalidReferenceError,
    LimitExceededError,
    MalformedManifestError,
    UpstreamError,
)
from scanner.model import Descriptor, Digest, Reference, digest_of, parse_digest, parse_reference
from scanner.model.oci import INDEX_TYPES, MANIFEST_TYPES, SCHEMA1_TYPES
from scanner.ports import BlobStream, SourceFactory, SourceOptions
from scanner.sources._documents import verify_content

if TYPE_CHECKING:
    from scanner.sources._registry_client import Document, RegistryClient
    from scanner.sources._registry_errors import Backoff

ACCEPT: Final = ", ".join(
    [*sorted(INDEX_TYPES, reverse=True), *sorted(MANIFEST_TYPES, reverse=True)]
)
"""Everything at once: without the index types a registry may choose a platform for us."""
_KNOWN_TYPES: Final = INDEX_TYPES | MANIFEST_TYPES | SCHEMA1_TYPES
_WEB_PAGES: Final = frozenset({"text/html", "application/xhtml+xml"})
_READ_BYTES: Final = 262_144


class RegistrySource:
    """One repository of a registry. Safe for many threads."""

    blobs_by_diff_id = False
    cacheable = True

    def __init__(
        self, reference: Reference, client: RegistryClient, options: SourceOptions, backoff: Backoff
    ) -> None:
        self.reference = str(reference)
        self._reference = reference
        self._client = client
        self._options = options
        self._backoff = backoff

    def root(self) -> tuple[Descriptor, bytes]:
        """Return descriptor and raw bytes of what the reference names.

        Raises:
            DigestMismatchError: not the digest asked for, or not the one the registry names itself.
            LimitExceededError: ``manifest_bytes``.
            UpstreamError: no reply, bad status, a web page; also its subclasses.
        """
        digest = self._reference.digest
        document = self._fetch_manifest(digest or self._reference.tag)
        said = digest or _said_digest(document)
        actual = digest_of(document.content, said.partition(":")[0] if said else "sha256")
        if said and actual != said:
            raise DigestMismatchError("manifest", said, actual)
        descriptor = Descriptor(
            media_type=_content_type(document), digest=actual, size=len(document.content)
        )
        return descriptor, document.content

    def fetch_manifest(self, descriptor: Descriptor) -> bytes:
        """Return a manifest or nested index, checked; raises like :meth:`root`.

        Raises:
            MalformedManifestError: it is served as another type than the index says.
        """
        _check_size(descriptor, "manifest_bytes", self._options.limits.manifest_bytes)
        if descriptor.data is not None:
            return descriptor.data
        document = self._fetch_manifest(descriptor.digest)
        served = _content_type(document)
        if served in _KNOWN_TYPES and served != descriptor.media_type:
            raise MalformedManifestError(
                f"{descriptor.digest} is a {descriptor.media_type[:120]} in the index, served as {served}"
            )
        return verify_content(document.content, descriptor, what="manifest")

    def fetch_config(self, descriptor: Descriptor) -> bytes:
        """Return a config, checked.

        Raises:
            DigestMismatchError: wrong size or digest.
            LimitExceededError: ``config_bytes``.
            UpstreamError: no reply or bad status; also its subclasses.
        """
        _check_size(descriptor, "config_bytes", self._options.limits.config_bytes)
        if descriptor.data is not None:
            return descriptor.data
        blob = self.open_blob(descriptor)
        try:
            content = b"".join(iter(lambda: blob.read(_READ_BYTES), b""))
        finally:
            blob.close()
        return verify_content(content, descriptor, what="config")

    def open_blob(self, descriptor: Descriptor) -> BlobStream:
        """Open a blob of this repository; a foreign layer's ``urls`` are never asked.

        Raises:
            DigestMismatchError: the registry says that it has another size.
            UpstreamError: no reply or bad status; also its subclasses.
        """
        from scanner.sources._registry_blob import RegistryBlob  # noqa: PLC0415 - see _open

        return RegistryBlob(
            self._client,
            self._client.url(self._reference.repository, f"blobs/{descriptor.digest}"),
            descriptor,
            retries_count=self._options.retries_count,
            idle_seconds=self._options.idle_seconds,
            backoff=self._backoff,
        )

    def close(self) -> None:
        """Close every connection."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _fetch_manifest(self, name: str) -> Document:
        document = self._client.fetch_document(
            self._client.url(self._reference.repository, f"manifests/{name}"),
            accept=ACCEPT,
            limit="manifest_bytes",
            allowed=self._options.limits.manifest_bytes,
            operation="fetch manifest",
        )
        if _content_type(document) in _WEB_PAGES:
            raise UpstreamError(
                self._client.host,
                "fetch manifest",
                "answered with a web page, not a manifest",
                hint="is this a registry, and not its web interface?",
            )
        return document


def _check_size(descriptor: Descriptor, limit: str, allowed: int) -> None:
    if descriptor.size > allowed:
        raise LimitExceededError(limit, allowed, descriptor.size)


def _content_type(document: Document) -> str:
    return document.headers.get("Content-Type", "").partition(";")[0].strip().lower()[:255]


def _said_digest(document: Document) -> Digest | None:
    """Return the digest in the reply's header; one of an algorithm we don't know can't be compared."""
    try:
        return parse_digest(document.headers.get("Docker-Content-Digest"))
    except InvalidReferenceError:
        return None


class _Deferred(ModuleType):
    """Stands for a module until somebody wants something of it (``LazyLoader`` loads on ``import``)."""

    def __getattr__(self, name: str) -> object:
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), name)


def _spare(name: str) -> None:
    """Let ``import name`` load nothing yet."""
    if name in sys.modules:
        return
    spec = importlib.util.find_spec(name)
    if spec is not None:
        module = _Deferred(name)
        module.__spec__ = spec
        sys.modules[name] = module


def open_registry(
    text: str, options: SourceOptions, *, backoff: Backoff | None = None
) -> RegistrySource:
    """Open a reference. Nothing is sent yet.

    Raises:
        InvalidReferenceError: not a reference.
        UpstreamError: the options say offline.
        SettingsError: the CA file cannot be read.
    """
    reference = parse_reference(text)
    if options.offline:
        raise UpstreamError(
            reference.api_host, "open", "offline: registries are not asked", hint="drop --offline"
        )
    _spare("jsonschema")  # oras imports it, and we never validate with it
    # Here, because requests and oras take a tenth of a second to import.
    from scanner.sources._registry_client import RegistryClient  # noqa: PLC0415
    from scanner.sources._registry_errors import Backoff  # noqa: PLC0415

    waits = backoff or Backoff(longest_asked_seconds=options.longest_wait_seconds)
    return RegistrySource(reference, RegistryClient(reference, options, waits), options, waits)


SOURCE: Final = SourceFactory(
    name="registry",
    schemes=("registry", "docker"),
    order=100,
    accepts=lambda _text: True,
    open=open_registry,
    summary="an image in a registry: [host[:port]/]repository[:tag][@digest]",
)
