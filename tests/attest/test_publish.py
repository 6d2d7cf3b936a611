"""Publishing and proving: a real registry without referrers, a small one with them, and many publishers at once."""

from __future__ import annotations

import json
import threading
import time
from contextlib import closing, nullcontext
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
import requests
from support.artifact_registry import start_artifact_registry
from support.attesting import NOW, VALID, attestable_report, demand, ecdsa_signer, single
from support.image_builder import image_index
from support.registry import RunningRegistry, start_registry
from support.registry_samples import APP, BACKOFF

from scanner.app_attest import claim_of
from scanner.attest import _tags
from scanner.attest._manifests import attestation_tag, referrers_tag
from scanner.attest._registry import attestation_layers, list_referrers, tagged_referrers
from scanner.attest.fetch import verify_from_registry
from scanner.attest.publish import publish, publish_statements
from scanner.attest.statements import sign_report
from scanner.attest.verify import Refusal
from scanner.discovery import predicates
from scanner.errors import MalformedManifestError, NotFoundError, UpstreamError
from scanner.model import Descriptor, Digest, ScanReport, digest_of, parse_reference
from scanner.ports import Limits, SourceOptions
from scanner.sources._registry_artifacts import ArtifactRepository, open_artifacts
from scanner.store import open_store

OURS = ecdsa_signer()
THEIRS = ecdsa_signer(4321)
CHOSEN = [predicates()[name] for name in ("scan", "spdx")]
KNOWN = {p.type: p for p in predicates().values()}
TYPES = frozenset(p.type for p in CHOSEN)
INDEX = image_index([APP])


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(_tags, "_SETTLE_SECONDS", 0.02)


@pytest.fixture(params=["distribution", "referrers", "no_delete"])
def host(request, registry):
    """The host of a registry of each kind."""
    if request.param == "distribution":
        yield registry.host
        return
    with start_artifact_registry(may_delete=request.param != "no_delete") as running:
        yield running.host


def opened(host: str, name: str = "attest/app") -> ArtifactRepository:
    options = SourceOptions(
        limits=Limits(), spool_dir=Path(), insecure_hosts=frozenset({host}), retries_count=1
    )
    return open_artifacts(parse_reference(f"{host}/{name}:1"), options, backoff=BACKOFF)


def report_on(
    digest: str, *, started_at: str = "2025-01-31T12:00:00+00:00", rules: str = ""
) -> ScanReport:
    report = single(attestable_report())
    image = msgspec.structs.replace(report.images[0], digest=digest)
    return msgspec.structs.replace(
        report, digest=digest, images=(image,), started_at=started_at, fingerprint=rules or "0" * 16
    )


def published(host: str, report: ScanReport, signer=OURS, *, chosen=CHOSEN, **more):
    statements = sign_report(report, chosen, signer, valid=VALID, advisories_at=NOW)
    claim = more.get("claim", nullcontext)
    with opened(host, more.get("name", "attest/app")) as repository:
        return list(publish_statements(repository, statements, signer.key, claim))


def verified(host: str, digest: str, *signers, name: str = "attest/app", **more):
    with opened(host, name) as repository:
        return verify_from_registry(
            repository, demand(digest, *(signers or (OURS,)), **({"types": TYPES} | more)), KNOWN
        )


def listed(host: str, digest: str, name: str = "attest/app") -> tuple[int, int]:
    """Return how many referrers and layers under ``.att`` there are."""
    with opened(host, name) as repository:
        referrers = list_referrers(repository, Digest(digest))
        if referrers is None:
            referrers = tagged_referrers(repository, Digest(digest))
        return len(referrers), len(attestation_layers(repository, Digest(digest)))


def push(host: str, name: str = "attest/app") -> str:
    RunningRegistry(host).push(INDEX, name, "1")
    return INDEX.digest


NUMBER = iter(range(1_000_000))


@pytest.fixture
def name(host) -> str:
    """A repository of its own, with the image in it."""
    chosen = f"attest/app{next(NUMBER)}"
    push(host, chosen)
    return chosen


def test_round_trip(host, name):
    (done,) = published(host, report_on(INDEX.digest), name=name)
    assert (done.added_count, done.removed_count, done.kept) == (2, 0, ())
    found = verified(host, INDEX.digest, name=name)
    assert [p.statement.predicate_type for p in found.proofs] == sorted(TYPES)
    assert found.refused == ()
    assert listed(host, INDEX.digest, name) == (2, 2)


def test_an_index_and_its_images_each_have_their_own(host, name):
    image = msgspec.structs.replace(attestable_report().images[0], digest=APP.digest)
    report = msgspec.structs.replace(
        attestable_report(), digest=INDEX.digest, images=(image,), state=image.state
    )
    assert [d.digest for d in published(host, report, name=name)] == [INDEX.digest, APP.digest]
    for digest in (INDEX.digest, APP.digest):
        assert len(verified(host, digest, name=name).proofs) == 2


def test_the_same_again_changes_nothing(host, name):
    published(host, report_on(INDEX.digest), name=name)
    (done,) = published(host, report_on(INDEX.digest), name=name)
    assert (done.added_count, done.removed_count) == (0, 0)
    assert listed(host, INDEX.digest, name) == (2, 2)


def test_a_new_scan_replaces_ours_and_keeps_others(host, name):
    published(host, report_on(INDEX.digest), THEIRS, name=name)
    published(host, report_on(INDEX.digest), name=name)
    with opened(host, name) as repository:
        own = [predicates()["cyclonedx"]]
        (other_type,) = sign_report(report_on(INDEX.digest), own, OURS, valid=VALID)
        list(publish_statements(repository, [other_type], OURS.key, nullcontext))
    later = report_on(INDEX.digest, started_at="2025-01-31T18:00:00+00:00")
    (done,) = published(host, later, name=name)
    assert done.added_count == 2
    kept_count = len(done.kept)
    assert done.removed_count + kept_count == 2
    # Theirs of both types, our CycloneDX, and the two new ones.
    assert listed(host, INDEX.digest, name) == (5 + kept_count, 5)
    for signer, hour in ((OURS, 18), (THEIRS, 12)):
        proofs = verified(host, INDEX.digest, signer, name=name).proofs
        assert [p.made_at.hour for p in proofs] == [hour, hour]


def test_an_older_scan_that_comes_late_replaces_nothing(host, name):
    published(host, report_on(INDEX.digest, started_at="2025-01-31T18:00:00+00:00"), name=name)
    published(host, report_on(INDEX.digest), name=name)
    assert [p.made_at.hour for p in verified(host, INDEX.digest, name=name).proofs] == [18, 18]
    assert listed(host, INDEX.digest, name)[1] == 2


def test_what_is_not_true_any_more_is_taken_away(host, name):
    vulnerabilities = [predicates()["vulns"]]
    published(host, report_on(INDEX.digest), chosen=vulnerabilities, name=name)
    assert listed(host, INDEX.digest, name) == (1, 1)
    unseen = single(attestable_report(looked_for_all=False))
    image = msgspec.structs.replace(unseen.images[0], digest=INDEX.digest)
    later = msgspec.structs.replace(unseen, digest=INDEX.digest, images=(image,))
    (done,) = published(host, later, chosen=vulnerabilities, name=name)
    assert listed(host, INDEX.digest, name) == (len(done.kept), 0)


def test_another_key_proves_nothing(host, name):
    published(host, report_on(INDEX.digest), THEIRS, name=name)
    found = verified(host, INDEX.digest, name=name)
    assert found.proofs == ()
    assert [r.refusal for r in found.refused] == [Refusal.UNKNOWN_KEY] * 4


def test_stale(host, name):
    published(host, report_on(INDEX.digest), name=name)
    found = verified(host, INDEX.digest, name=name, now=NOW + VALID, default_age=VALID)
    assert {r.refusal for r in found.refused} == {Refusal.STALE}
    assert found.proofs == ()


def test_nothing_there(host, name):
    assert verified(host, INDEX.digest, name=name) == verified(host, APP.digest, name=name)
    assert verified(host, INDEX.digest, name=name).proofs == ()


def test_an_image_that_is_not_there(host, name):
    with pytest.raises(NotFoundError, match="is not there"):
        published(host, report_on("sha256:" + "0" * 64), name=name)


def test_other_artifacts_are_left_alone(host, name):
    """An SBOM that somebody attached, and an entry with fields that we do not know."""
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": "application/spdx+json",
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a", "size": 2},
        "layers": [{"mediaType": "application/spdx+json", "digest": "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a", "size": 2}],
        "subject": {"mediaType": INDEX.media_type, "digest": INDEX.digest, "size": len(INDEX.manifest_bytes)},
    }  # fmt: skip
    content = json.dumps(manifest).encode()
    kind = str(manifest["mediaType"])
    with opened(host, name) as repository:
        repository.push_blob(b"{}")
        reply = repository.push_manifest(digest_of(content), content, kind)
        entry = {"mediaType": kind, "digest": digest_of(content), "size": len(content), "artifactType": "application/spdx+json", "data": "eA==", "x-own": [1]}  # fmt: skip
        if "OCI-Subject" not in reply.headers:
            index = {"schemaVersion": 2, "mediaType": INDEX.media_type, "manifests": [entry]}
            repository.push_manifest(
                referrers_tag(INDEX.digest), json.dumps(index).encode(), INDEX.media_type
            )
    published(host, report_on(INDEX.digest), name=name)
    assert listed(host, INDEX.digest, name) == (3, 2)
    with opened(host, name) as repository:
        if list_referrers(repository, INDEX.digest) is None:
            assert tagged_referrers(repository, INDEX.digest)[0].raw == entry


def test_a_tag_that_leads_elsewhere_is_left_as_it_is(registry):
    push(registry.host, "attest/taken")
    with opened(registry.host, "attest/taken") as repository:
        repository.push_manifest(referrers_tag(INDEX.digest), APP.manifest_bytes, APP.media_type)
        with pytest.raises(MalformedManifestError, match="leads to"):
            published(registry.host, report_on(INDEX.digest), name="attest/taken")
        assert repository.manifest(referrers_tag(INDEX.digest)).content == APP.manifest_bytes


# What is under .att, as cosign reads it


def test_att_manifest(host, name):
    published(host, report_on(INDEX.digest), name=name)
    accept = {"Accept": "application/vnd.oci.image.manifest.v1+json"}
    base = f"http://{host}/v2/{name}"
    manifest = requests.get(
        f"{base}/manifests/{attestation_tag(INDEX.digest)}", headers=accept, timeout=10
    ).json()
    assert manifest["config"]["mediaType"] == "application/vnd.oci.image.config.v1+json"
    config = requests.get(f"{base}/blobs/{manifest['config']['digest']}", timeout=10).json()
    assert config["rootfs"]["diff_ids"] == [layer["digest"] for layer in manifest["layers"]]
    for layer, predicate in zip(manifest["layers"], CHOSEN, strict=True):
        assert layer["mediaType"] == "application/vnd.dsse.envelope.v1+json"
        assert layer["annotations"]["dev.cosignproject.cosign/signature"] == ""
        assert layer["annotations"]["predicateType"] == predicate.type
        assert not any("certificate" in key for key in layer["annotations"])


# At once


def test_ten_publishers_at_once_that_share_a_store_lose_nothing(registry, tmp_path):
    with closing(open_store(tmp_path)) as store:
        at_once(registry.host, "attest/shared", claim_of(store))


@pytest.mark.parametrize("kind", ["distribution", "conditions", "referrers"])
def test_publishers_at_once_that_share_nothing_lose_nothing(registry, monkeypatch, kind):
    monkeypatch.setattr(_tags, "_SETTLE_SECONDS", SETTLE_SECONDS if kind == "distribution" else 0.2)
    if kind == "distribution":
        unshared_on_distribution(registry.host, monkeypatch)
        return
    with start_artifact_registry(
        has_referrers=kind == "referrers", has_conditions=kind == "conditions"
    ) as running:
        at_once(running.host, "attest/unshared")
        assert (running.conflicts > 0) is (kind == "conditions")


SETTLE_SECONDS = 0.5


def unshared_on_distribution(host: str, monkeypatch) -> None:
    """Nothing but waiting helps here, as long as nobody takes longer for a go than the others wait.

    That is what is promised, and no more. Where the machine was too busy for it, nothing was tested: once more.
    """
    go = _tags._go
    spans: list[float] = []

    def watched(repository, one) -> None:
        began = time.monotonic()
        go(repository, one)
        spans.append(time.monotonic() - began)

    monkeypatch.setattr(_tags, "_go", watched)
    for number in range(8):
        spans.clear()
        try:
            at_once(host, f"attest/unshared{number}", count=4)  # fewer, so as not to wait for long
        except AssertionError:
            if max(spans) < SETTLE_SECONDS:
                raise
        else:
            return
    pytest.skip(f"a go took {max(spans):.1f} s, eight times: this machine is too busy to tell")


def at_once(host: str, name: str, claim=nullcontext, count: int = 10) -> None:
    push(host, name)
    signers = [ecdsa_signer(1000 + n) for n in range(count)]
    failures: list[BaseException] = []
    barrier = threading.Barrier(len(signers))

    def run(signer) -> None:
        try:
            barrier.wait()
            published(
                host, report_on(INDEX.digest), signer, chosen=CHOSEN[:1], name=name, claim=claim
            )
        except BaseException as error:  # noqa: BLE001 - told below
            failures.append(error)

    threads = [threading.Thread(target=run, args=(signer,)) for signer in signers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert listed(host, INDEX.digest, name) == (count, count)
    for signer in signers:
        found = verified(host, INDEX.digest, signer, types=frozenset({CHOSEN[0].type}), name=name)
        assert len(found.proofs) == 1


def test_a_push_that_failed_is_not_repeated_over_what_came_meanwhile():
    with start_artifact_registry() as running:
        push(running.host)
        tagged = dict(running.tags)
        published(running.host, report_on(INDEX.digest), THEIRS, chosen=CHOSEN[:1])
        theirs, running.tags = running.tags, tagged
        pushes = iter([False])

        def on_tag(_tag):
            running.tags.update(theirs)
            return next(pushes, True)

        running.on_tag = on_tag
        published(running.host, report_on(INDEX.digest), chosen=CHOSEN[:1])
        assert listed(running.host, INDEX.digest) == (2, 2)


def test_the_same_key_twice_at_once_leaves_one(host, name):
    reports = [report_on(INDEX.digest, rules=c * 16) for c in "ab"]
    threads = [
        threading.Thread(
            target=published, args=(host, r), kwargs={"chosen": CHOSEN[:1], "name": name}
        )
        for r in reports
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert listed(host, INDEX.digest, name)[1] == 1
    assert (
        len(verified(host, INDEX.digest, name=name, types=frozenset({CHOSEN[0].type})).proofs) == 1
    )


# A changed bit in the registry


def stored_files(directory: Path) -> dict[str, Path]:
    """Return the blobs of a registry by digest."""
    return {
        f"sha256:{p.parent.name}": p for p in (directory / "data").rglob("blobs/sha256/*/*/data")
    }


def test_every_changed_file_of_the_registry_is_noticed(tmp_path):
    with start_registry(tmp_path) as running:
        push(running.host)
        before = stored_files(tmp_path).keys()
        published(running.host, report_on(INDEX.digest), chosen=CHOSEN[:1])
        own = {d: p for d, p in stored_files(tmp_path).items() if d not in before}
        types = frozenset({CHOSEN[0].type})
        assert len(verified(running.host, INDEX.digest, types=types).proofs) == 1
        reasons = set()
        for path in own.values():
            whole = path.read_bytes()
            for position in (0, len(whole) // 3, len(whole) - 1):
                bad = bytearray(whole)
                bad[position] ^= 0x04
                path.write_bytes(bad)
                found = verified(running.host, INDEX.digest, types=types)
                # The other of the two places still proves it; what was changed does not.
                unread = b'"architecture"' in whole or whole == b"{}"
                assert len(found.refused) >= (0 if unread else 1), path
                reasons |= {r.refusal for r in found.refused}
                path.write_bytes(whole)
        # This registry itself refuses to give a manifest that was changed.
        assert reasons == {Refusal.DAMAGED, Refusal.UNREADABLE}
        for path in own.values():
            if b"payloadType" in path.read_bytes():
                path.write_bytes(path.read_bytes().replace(b"payloadType", b"paylobdType"))
        found = verified(running.host, INDEX.digest, types=types)
        assert found.proofs == ()
        assert {r.refusal for r in found.refused} == {Refusal.DAMAGED}


def test_a_registry_that_lies_about_digests(host, name):
    """Content that was changed together with its digest: the signature tells."""
    statements = sign_report(report_on(INDEX.digest), CHOSEN[:1], OURS, valid=VALID)
    (one,) = statements
    payload = one.signed[0].envelope.payload.replace(b'"state":"partial"', b'"state":"complete"')
    assert payload != one.signed[0].envelope.payload
    changed = replace(one.signed[0], envelope=replace(one.signed[0].envelope, payload=payload))
    with opened(host, name) as repository:
        subject = Descriptor(
            media_type=INDEX.media_type, digest=INDEX.digest, size=len(INDEX.manifest_bytes)
        )
        publish(
            repository, subject, [changed], withdrawn=(), scanned_at=one.scanned_at, key=OURS.key
        )
    found = verified(host, INDEX.digest, name=name)
    assert found.proofs == ()
    assert {r.refusal for r in found.refused} == {Refusal.BAD_SIGNATURE, Refusal.UNKNOWN_KEY}
    assert any("something was changed" in r.reason for r in found.refused)


# The registry client


def test_what_is_not_there():
    with start_artifact_registry() as running, opened(running.host, "attest/app") as repository:
        assert repository.manifest("nothing") is None
        with pytest.raises(NotFoundError):
            repository.blob(Digest("sha256:" + "0" * 64), 1, most_bytes=10)


def test_offline(tmp_path):
    options = SourceOptions(limits=Limits(), spool_dir=tmp_path, offline=True)
    with pytest.raises(UpstreamError, match="offline"):
        open_artifacts(parse_reference("reg.example/app"), options)


def test_older_than_asked_for(host, name):
    published(host, report_on(INDEX.digest), name=name)
    found = verified(host, INDEX.digest, name=name, max_age=timedelta(hours=1))
    assert {r.refusal for r in found.refused} == {Refusal.STALE}
