"""Pushing and listing artifacts in a registry that misbehaves: typed errors, and credentials stay at home."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.faulty_registry import FaultyRegistry, Reply, error_reply, json_reply
from support.image_builder import OCI_INDEX, OCI_MANIFEST
from support.registry_samples import APP, BACKOFF, NAME

from scanner.errors import (
    DigestMismatchError,
    ForbiddenHostError,
    LimitExceededError,
    NotFoundError,
    UnauthorizedError,
    UpstreamError,
)
from scanner.model import Digest, digest_of, parse_reference
from scanner.sources._registry_artifacts import ArtifactRepository, open_artifacts

BLOB = b"some content"
DIGEST = digest_of(BLOB)
UPLOADS = f"/v2/{NAME}/blobs/uploads/"
BLOB_PATH = f"/v2/{NAME}/blobs/{DIGEST}"
MANIFEST_PATH = f"/v2/{NAME}/manifests/1"
REFERRERS = f"/v2/{NAME}/referrers/{APP.digest}"


@pytest.fixture
def repository(server, options) -> Iterator[ArtifactRepository]:
    reference = parse_reference(f"{server.host}/{NAME}:1")
    with open_artifacts(reference, options(retries_count=1), backoff=BACKOFF) as opened:
        yield opened


def test_manifest_by_tag_and_digest(repository):
    by_tag, by_digest = repository.manifest("1"), repository.manifest(APP.digest)
    assert by_tag == by_digest
    assert (by_tag.content, by_tag.media_type, by_tag.digest) == (
        APP.manifest_bytes,
        APP.media_type,
        APP.digest,
    )
    assert repository.manifest("2") is None


@pytest.mark.parametrize(
    ("name", "reply"),
    [
        (APP.digest, Reply(200, b"{}")),
        ("1", Reply(200, b"{}", {"Docker-Content-Digest": APP.digest})),
    ],
    ids=["by_digest", "by_tag"],
)
def test_manifest_that_is_another(server, repository, name, reply):
    server.script(f"/v2/{NAME}/manifests/{name}", reply)
    with pytest.raises(DigestMismatchError):
        repository.manifest(name)


@pytest.mark.parametrize("content", [BLOB + b"x", BLOB[:-1], BLOB[:-1] + b"x", b""], ids=["long", "short", "other", "empty"])  # fmt: skip
def test_blob_that_is_another(server, repository, content):
    server.script(BLOB_PATH, Reply(200, content))
    with pytest.raises(DigestMismatchError):
        repository.blob(DIGEST, len(BLOB), most_bytes=100)


def test_blob_that_is_too_long(server, repository):
    with pytest.raises(LimitExceededError):
        repository.blob(DIGEST, 101, most_bytes=100)
    server.script(BLOB_PATH, Reply(200, b"x" * 65_536, endless=True))
    with pytest.raises(LimitExceededError):
        repository.blob(DIGEST, 10, most_bytes=100)


def test_blob_that_is_not_there(repository):
    with pytest.raises(NotFoundError):
        repository.blob(Digest("sha256:" + "0" * 64), 1, most_bytes=100)


# Referrers


@pytest.mark.parametrize(
    "reply",
    [
        error_reply(404, "NOT_FOUND", "page not found"),
        error_reply(405, "UNSUPPORTED", "no"),
        Reply(400, b"<html>", {"Content-Type": "text/html"}),
        Reply(200, b"<html>", {"Content-Type": "text/html"}),
    ],
    ids=["404", "405", "400_page", "200_page"],
)
def test_registry_that_knows_no_referrers(server, repository, reply):
    server.script(REFERRERS, reply)
    assert repository.referrers(APP.digest) is None


def page(link: str = "") -> Reply:
    headers = {"Content-Type": OCI_INDEX} | ({"Link": link} if link else {})
    return Reply(200, b'{"manifests":[]}', headers)


def test_referrers_by_pages_from_nowhere_else(server, other, repository):
    server.script(REFERRERS, page(f'<{other.url}/elsewhere?n=1&last=x>; rel="next"'), page())
    assert len(repository.referrers(APP.digest)) == 2
    assert server.paths("referrers")[1] == f"GET {REFERRERS}?n=1&last=x"
    assert other.seen == []


def test_referrers_without_end(server, repository):
    server.script(REFERRERS, *[page('<?n=1>; rel="next"')] * 21)
    with pytest.raises(UpstreamError, match="more than 20 pages"):
        repository.referrers(APP.digest)


@pytest.mark.parametrize(
    ("status", "kind"), [(403, UnauthorizedError), (429, UpstreamError), (418, UpstreamError)]
)
def test_referrers_that_are_refused(server, repository, status, kind):
    server.script(REFERRERS, *[error_reply(status, "DENIED", "no")] * 3)
    with pytest.raises(kind, match=rf"HTTP {status} DENIED: no"):
        repository.referrers(APP.digest)


# Pushing


def test_push_blob(server, repository):
    server.script(UPLOADS, Reply(202, headers={"Location": f"{UPLOADS}one?state=a"}))
    server.script(f"{UPLOADS}one", Reply(201))
    assert repository.push_blob(BLOB) == DIGEST
    put = server.seen[-1]
    assert (put.method, put.path, put.body) == (
        "PUT",
        f"{UPLOADS}one?state=a&digest={DIGEST.replace(':', '%3A')}",
        BLOB,
    )


def test_push_blob_that_is_there(server, repository):
    server.script(BLOB_PATH, Reply(200))
    assert repository.push_blob(BLOB) == DIGEST
    assert server.paths("uploads") == []


def test_uploads_go_nowhere_else(server: FaultyRegistry, other: FaultyRegistry, repository):
    server.script(UPLOADS, Reply(202, headers={"Location": f"{other.url}/upload"}))
    with pytest.raises(ForbiddenHostError, match="it sends uploads to another host"):
        repository.push_blob(BLOB)
    assert other.seen == []


def test_push_goes_on_after_a_moment_of_trouble(server, repository):
    busy = error_reply(503, "UNAVAILABLE", "busy", Retry_After="0")
    server.script(UPLOADS, busy, Reply(202, headers={"Location": f"{UPLOADS}one"}))
    server.script(f"{UPLOADS}one", Reply(201))
    assert repository.push_blob(BLOB) == DIGEST
    server.script(MANIFEST_PATH, busy, Reply(201, headers={"OCI-Subject": "x"}))
    assert repository.push_manifest("1", b"{}", OCI_MANIFEST).headers["OCI-Subject"] == "x"


def test_push_that_is_refused(server, repository):
    server.script(UPLOADS, error_reply(403, "DENIED", "read only"))
    with pytest.raises(UnauthorizedError, match="HTTP 403 DENIED: read only"):
        repository.push_blob(BLOB)
    server.script(MANIFEST_PATH, error_reply(400, "MANIFEST_INVALID", "no such blob"))
    with pytest.raises(UpstreamError, match="MANIFEST_INVALID: no such blob"):
        repository.push_manifest("1", b"{}", OCI_MANIFEST)


@pytest.mark.parametrize(
    ("etag", "headers"),
    [(None, {}), ("", {"If-None-Match": "*"}), ('"x"', {"If-Match": '"x"'})],
    ids=["always", "if_nothing_is_there", "if_it_is_that"],
)
def test_push_on_a_condition(server, repository, etag, headers):
    server.script(MANIFEST_PATH, Reply(412))
    assert repository.push_manifest("1", b"{}", OCI_MANIFEST, etag=etag) is None
    sent = server.seen[-1].headers
    assert {k: v for k, v in sent.items() if k.startswith("If-")} == headers
    assert sent["Content-Type"] == OCI_MANIFEST


@pytest.mark.parametrize(
    ("status", "is_gone"), [(202, True), (404, True), (405, False), (403, False)]
)
def test_delete(server, repository, status, is_gone):
    server.script(f"/v2/{NAME}/manifests/{DIGEST}", json_reply({}, status))
    assert repository.delete_manifest(DIGEST) is is_gone


def test_credentials_for_writing(server, options):
    """A token for pulling does not push: another one is asked for."""
    asked: list[str] = []

    def gate(seen) -> Reply | None:
        if seen.path.startswith("/token"):
            asked.append(seen.path)
            return json_reply({"token": f"t{len(asked)}"})
        if not seen.authorization:
            scope = "pull" if seen.method in {"GET", "HEAD"} else "pull,push"
            challenge = (
                f'Bearer realm="{server.url}/token",service="s",scope="repository:{NAME}:{scope}"'
            )
            return error_reply(401, "UNAUTHORIZED", "log in", WWW_Authenticate=challenge)
        return None

    server.gate = gate
    server.script(UPLOADS, Reply(202, headers={"Location": f"{UPLOADS}one"}))
    server.script(f"{UPLOADS}one", Reply(201))
    reference = parse_reference(f"{server.host}/{NAME}:1")
    with open_artifacts(
        reference, options(username="u", password="p"), backoff=BACKOFF
    ) as repository:
        repository.push_blob(BLOB)
    assert ["pull%2Cpush" in path for path in asked] == [False, True]
    assert server.seen[-1].authorization == "Bearer t2"
