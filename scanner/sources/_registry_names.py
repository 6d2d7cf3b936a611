"""What a registry names: its repositories, their tags, and what a tag leads to. Nothing is downloaded.

Source: https://github.com/opencontainers/distribution-spec/blob/main/spec.md#content-discovery
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, Final, NamedTuple, Self
from urllib.parse import quote

from scanner.errors import (
    InvalidReferenceError,
    NotFoundError,
    UpstreamError,
)
from scanner.model import Digest, Reference, digest_of, parse_reference
from scanner.ports import SourceOptions
from scanner.sources._registry_client import RegistryClient, digest_or_none
from scanner.sources._registry_errors import Backoff, TransientError, status_failure
from scanner.sources.registry import ACCEPT

_FIRST_PAGE: Final = "n=1000"
"""Names to ask for at once; registries give fewer as they like."""
_PAGE_BYTES: Final = 4 * 1024 * 1024
_QUERY_LENGTH: Final = 4_096
_NEXT = re.compile(r"<([^<>]*)>\s*;\s*rel=\"?next\"?", re.IGNORECASE)
_QUERY = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@/?%-]+\Z")
_OK: Final = 200


class NamePage(NamedTuple):
    """Some names, and what to ask for the next ones with; empty on the last page."""

    names: tuple[str, ...]
    next: str


class RegistryNames:
    """One registry, asked for names only. Safe for many threads."""

    def __init__(self, registry: str, client: RegistryClient) -> None:
        self.registry = registry
        self._client = client

    def digest_of_tag(self, repository: str, tag: str) -> Digest | None:
        """Return the digest that a tag leads to now; None if there is no such tag.

        The manifest itself is fetched only where the registry does not tell its digest in a header.

        Raises:
            InvalidReferenceError: a name that no registry has.
            UpstreamError: the registry does not answer as it should; also its subclasses.
        """
        name = _checked(self.registry, repository, tag)
        url = self._client.url(name.repository, f"manifests/{name.tag}")
        response = self._client.do_request(url, "HEAD", headers={"Accept": ACCEPT})
        said = digest_or_none(response.headers.get("Docker-Content-Digest"))
        if response.status_code == _OK and said is not None:
            return said
        try:
            if response.status_code not in {_OK, 404, 405}:
                failure = status_failure(response, self._client.host, "ask for a tag", ())
                raise failure.error if isinstance(failure, TransientError) else failure
            return self._digest_of_manifest(url)
        except NotFoundError:
            return None

    def repositories(self, after: str = "") -> NamePage:
        """Return a page of the registry's repositories, in its order; names that cannot be are left out.

        ``after`` is the ``next`` of the page before.

        Raises:
            LimitExceededError: ``page_bytes``.
            UpstreamError: the registry lists none, or does not answer as it should; also its subclasses.
        """
        return self._page("_catalog", "repositories", self._is_repository, after)

    def tags(self, repository: str, after: str = "") -> NamePage:
        """Return a page of a repository's tags; otherwise as :meth:`repositories`.

        Raises:
            InvalidReferenceError: not a repository.
        """
        name = _checked(self.registry, repository, "x").repository

        def is_tag(tag: str) -> bool:
            return _is_name(self.registry, name, tag)

        return self._page(f"{name}/tags/list", "tags", is_tag, after)

    def close(self) -> None:
        """Close every connection."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _digest_of_manifest(self, url: str) -> Digest:
        document = self._client.fetch_document(
            url,
            accept=ACCEPT,
            limit="manifest_bytes",
            allowed=_PAGE_BYTES,
            operation="ask for a tag",
        )
        return digest_of(document.content, "sha256")

    def _is_repository(self, name: str) -> bool:
        return _is_name(self.registry, name, "x")

    def _page(self, path: str, key: str, is_name: Callable[[str], bool], after: str) -> NamePage:
        base = f"{self._client.prefix}://{self._client.host}/v2/{path}"
        page = self._client.fetch_document(
            f"{base}?{after or _FIRST_PAGE}",
            accept="application/json",
            limit="page_bytes",
            allowed=_PAGE_BYTES,
            operation=f"list {key}",
        )
        names = tuple(name for name in self._names(page.content, key) if is_name(name))
        return NamePage(names, _next_query(page.headers.get("Link", "")))

    def _names(self, content: bytes, key: str) -> list[str]:
        try:
            document: Any = json.loads(content)
        except (ValueError, RecursionError):
            document = None
        names = document.get(key, "") if isinstance(document, dict) else ""
        if names is None:  # so some say that a repository has no tags
            return []
        if not isinstance(names, list):
            raise UpstreamError(self._client.host, f"list {key}", "its answer is no list of names")
        return [name for name in names if isinstance(name, str)]


def _next_query(link: str) -> str:
    """Return the query of the next page. Only that is used: a link must not lead to another place."""
    match = _NEXT.search(link[:_QUERY_LENGTH])
    query = match[1].partition("#")[0].partition("?")[2] if match else ""
    return query if _QUERY.match(query) else quote(query, safe="=&%")


def _checked(registry: str, repository: str, tag: str) -> Reference:
    """Return the reference; it must mean this registry, whatever the texts hold."""
    text = f"{registry}/{repository}:{tag}"
    reference = parse_reference(text)
    if (reference.registry, reference.tag) != (registry, tag):
        raise InvalidReferenceError(text[:160], "not a tag of this registry")
    return reference


def _is_name(registry: str, repository: str, tag: str) -> bool:
    try:
        return _checked(registry, repository, tag).repository == repository
    except InvalidReferenceError:
        return False


def open_names(
    registry: str, options: SourceOptions, *, backoff: Backoff | None = None
) -> RegistryNames:
    """Open ``host[:port]``. Nothing is sent yet.

    Raises:
        InvalidReferenceError: not a host.
        SettingsError: the CA file cannot be read.
        UpstreamError: the options say offline.
    """
    reference = _checked(registry, "x/x", "x")
    if options.offline:
        raise UpstreamError(reference.api_host, "open", "offline: registries are not asked")
    return RegistryNames(registry, RegistryClient(reference, options, backoff or Backoff()))
