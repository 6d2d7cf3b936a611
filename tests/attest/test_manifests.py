"""Indexes and manifests that somebody else has written: read, or refused with one error."""

from __future__ import annotations

import json

import pytest

from scanner.attest._manifests import (
    EMPTY,
    Artifact,
    attestation_tag,
    parse_entries,
    parse_layers,
    referrers_tag,
)
from scanner.attest._registry import is_attestation
from scanner.attest.bundle import BUNDLE_TYPE
from scanner.errors import MalformedManifestError
from scanner.model import digest_of

DIGEST = digest_of(EMPTY)
ENTRY = {"mediaType": "x", "digest": DIGEST, "size": 2}


def test_tags():
    assert referrers_tag(DIGEST) == DIGEST.replace(":", "-")
    assert attestation_tag(DIGEST) == f"{DIGEST.replace(':', '-')}.att"
    assert len(referrers_tag(digest_of(EMPTY, "sha512"))) == len("sha512-") + 64


@pytest.mark.parametrize(("parse", "key"), [(parse_entries, "manifests"), (parse_layers, "layers")])
def test_read(parse, key):
    entry = ENTRY | {"artifactType": "t", "annotations": {"a": "b"}, "unknown": [1]}
    (found,) = parse(json.dumps({key: [entry]}).encode())
    assert found.raw == entry
    assert found.artifact == Artifact("x", DIGEST, 2, "t", {"a": "b"})
    assert parse(b"{}") == parse(json.dumps({key: None}).encode()) == []


HOSTILE = {
    "empty": b"",
    "not_json": b"\xff",
    "list": b"[]",
    "deep": b"[" * 100_000,
    "text": b'{"manifests":"x","layers":"x"}',
    "zero": b'{"manifests":0,"layers":7}',
    "numbers": b'{"manifests":[1],"layers":[1]}',
    "no_digest": b'{"manifests":[{"mediaType":"x","size":1}],"layers":[{"mediaType":"x","size":1}]}',
    "bad_digest": json.dumps({k: [ENTRY | {"digest": "../x"}] for k in ("manifests", "layers")}).encode(),
    "bad_size": json.dumps({k: [ENTRY | {"size": "2"}] for k in ("manifests", "layers")}).encode(),
    "bad_annotations": json.dumps({k: [ENTRY | {"annotations": {"a": 1}}] for k in ("manifests", "layers")}).encode(),
    "many": json.dumps({k: [ENTRY] * 1_001 for k in ("manifests", "layers")}).encode(),
}  # fmt: skip


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("parse", [parse_entries, parse_layers])
def test_refused(parse, content):
    with pytest.raises(MalformedManifestError):
        parse(content)


PREDICATE = {"dev.sigstore.bundle.predicateType": "t"}


@pytest.mark.parametrize(
    ("artifact_type", "annotations", "wanted"),
    [
        (BUNDLE_TYPE, {}, True),
        ("application/vnd.dev.sigstore.bundle+json;version=0.2", {}, True),
        ("application/vnd.in-toto+json", {}, True),
        ("application/vnd.oci.empty.v1+json", PREDICATE, True),
        ("application/vnd.oci.empty.v1+json", {}, False),
        ("application/spdx+json", PREDICATE, False),
    ],
)
def test_what_may_be_an_attestation(artifact_type, annotations, wanted):
    assert is_attestation(Artifact("x", DIGEST, 2, artifact_type, annotations)) is wanted
