"""Databases that travel: copied out and in, pushed and pulled; what nobody vouches for is not taken in."""

from __future__ import annotations

import json

import pytest
from support.artifact_registry import digest, start_artifact_registry
from support.attesting import ecdsa_signer
from support.feed_files import osv_zip

from scanner import app_advisories, app_exchange
from scanner.advisories import artifact
from scanner.advisories.database import AdvisoryDatabases, unit_path
from scanner.advisories.update import Outcome
from scanner.config import load_settings
from scanner.errors import (
    DigestMismatchError,
    InvalidReferenceError,
    KeyNotFoundError,
    MalformedManifestError,
    NotFoundError,
    SettingsError,
    StoreError,
    UnverifiedError,
)

NOWHERE = {"XDG_CONFIG_HOME": "/nonexistent"}


def settings(directory, **options):
    values = {
        "store.directory": str(directory),
        "registry.retries_count": 0,
        **{name.replace("__", "."): value for name, value in options.items()},
    }
    return load_settings(None, values, NOWHERE)


def filled(directory, count=120, ecosystem="npm", **options):
    """Return settings whose databases hold as many records."""
    chosen = settings(directory, **options)
    file = directory.parent / "all.zip"
    file.write_bytes(osv_zip(count, ecosystem=ecosystem))
    (done,) = app_advisories.update(
        chosen, [ecosystem], app_advisories.update_options(chosen, wait_seconds=0), origin=str(file)
    )
    assert done.outcome is Outcome.UPDATED
    return chosen


def counts(chosen):
    with AdvisoryDatabases(app_advisories.directory(chosen)) as databases:
        return {unit: one.about.records_count for unit, one in databases.units.items()}


def results(found):
    return [(one.unit, getattr(one, "outcome", None) or type(one.error)) for one in found]


def test_copied_out_and_in(tmp_path):
    chosen = filled(tmp_path / "a")
    filled(tmp_path / "a", ecosystem="PyPI")
    paths = list(app_advisories.export_databases(chosen, tmp_path / "out"))
    assert [p.name for p in paths] == ["PyPI.advisories", "npm.advisories"]
    there = settings(tmp_path / "b")
    assert results(app_advisories.import_databases(there, tmp_path / "out")) == [("PyPI", Outcome.UPDATED), ("npm", Outcome.UPDATED)]  # fmt: skip
    assert results(app_advisories.import_databases(there, tmp_path / "out", ["npm"])) == [("npm", Outcome.FRESH)]  # fmt: skip
    assert results(app_advisories.import_databases(there, paths[1])) == [("npm", Outcome.FRESH)]
    assert counts(there) == {"PyPI": 120, "npm": 120}
    with pytest.raises(StoreError, match="no data of Debian"):
        list(app_advisories.import_databases(there, tmp_path / "out", ["Debian"]))
    with pytest.raises(StoreError, match="no data"):
        list(app_advisories.export_databases(settings(tmp_path / "c"), tmp_path / "out2"))


def test_a_broken_copy_is_not_taken_in(tmp_path):
    (path,) = app_advisories.export_databases(filled(tmp_path / "a"), tmp_path / "out")
    there = filled(tmp_path / "b", count=130)
    whole = bytearray(path.read_bytes())
    whole[-2_000] ^= 1
    path.write_bytes(whole)
    assert results(app_advisories.import_databases(there, tmp_path / "out")) in (
        [("npm", StoreError)],
        [("npm", Outcome.FRESH)],
    )
    unit_path(app_advisories.directory(there), "npm").unlink()
    (failed,) = app_advisories.import_databases(there, tmp_path / "out")
    assert (type(failed.error), failed.has_old) == (StoreError, False)
    (status,) = app_advisories.statuses(there)
    assert "failed" in status.problem
    path.rename(path.with_name("Debian.advisories"))
    (failed,) = app_advisories.import_databases(there, tmp_path / "out")
    assert not failed.has_old


@pytest.fixture
def registry():
    with start_artifact_registry() as one:
        yield one


@pytest.fixture
def key_file(tmp_path):
    path = tmp_path / "key.pem"
    path.write_text(ecdsa_signer().key.pem)
    return path


def pushed(tmp_path, registry, count=120):
    chosen = filled(tmp_path / "a", count=count, registry__insecure=[registry.host])
    where = app_exchange.parse_artifact(f"oci://{registry.host}/sec/advisories:1")
    name, _ = app_exchange.push(chosen, where, (), ecdsa_signer())
    return where, name


def puller(tmp_path, registry, **options):
    return settings(tmp_path / "b", registry__insecure=[registry.host], **options)


def pull(chosen, where, *ecosystems):
    return results(app_exchange.pull(chosen, where, ecosystems))


def test_pushed_and_pulled(tmp_path, registry, key_file):
    where, name = pushed(tmp_path, registry)
    there = puller(tmp_path, registry, attest__trusted_keys=[str(key_file)])
    assert pull(there, where) == [("npm", Outcome.UPDATED)]
    assert pull(there, where, "npm") == [("npm", Outcome.FRESH)]
    assert counts(there) == {"npm": 120}
    manifest = json.loads(registry.stored("sec/advisories", "1")[0])
    assert manifest["artifactType"] == artifact.ARTIFACT_TYPE
    assert digest(registry.stored("sec/advisories", "1")[0]) == name
    with pytest.raises(StoreError, match="no data of Debian"):
        pull(there, where, "Debian")
    assert sorted(p.name for p in app_advisories.directory(there).iterdir()) == [
        "npm.advisories",
        "npm.lock",
        "npm.state",
        "pull.lock",
    ]


def test_pushed_again_it_is_the_same(tmp_path, registry):
    _, first = pushed(tmp_path, registry)
    chosen = settings(tmp_path / "a", registry__insecure=[registry.host])
    where = app_exchange.parse_artifact(f"oci://{registry.host}/sec/advisories:2")
    assert app_exchange.push(chosen, where, ("npm",), ecdsa_signer())[0] == first


def test_who_names_the_digest_needs_no_key(tmp_path, registry):
    where, name = pushed(tmp_path, registry)
    there = puller(tmp_path, registry)
    with pytest.raises(KeyNotFoundError):
        pull(there, where)
    pinned = app_exchange.parse_artifact(f"oci://{registry.host}/sec/advisories@{name}")
    assert pull(there, pinned) == [("npm", Outcome.UPDATED)]
    other = app_exchange.parse_artifact(f"oci://{registry.host}/sec/advisories@sha256:{'0' * 64}")
    with pytest.raises(NotFoundError):
        pull(there, other)


def test_signed_by_another_or_by_nobody(tmp_path, registry, key_file):
    where, name = pushed(tmp_path, registry)
    other = tmp_path / "other.pem"
    other.write_text(ecdsa_signer(12345).key.pem)
    there = puller(tmp_path, registry, attest__trusted_keys=[str(other)])
    with pytest.raises(UnverifiedError, match="none of the keys"):
        pull(there, where)
    with pytest.raises(UnverifiedError):  # a digest does not stand in for a key that was asked for
        pull(there, app_exchange.parse_artifact(f"oci://{registry.host}/sec/advisories@{name}"))
    revoked = puller(tmp_path, registry, attest__trusted_keys=[str(key_file)], attest__revoked_keys=[ecdsa_signer().key.id])  # fmt: skip
    with pytest.raises(UnverifiedError, match="revoked"):
        pull(revoked, where)
    kept = {k: v for k, v in registry.manifests.items() if k.endswith(name)}
    registry.manifests.clear()
    registry.manifests.update(kept)
    registry.tags.clear()
    registry.tags["sec/advisories/1"] = name
    there = puller(tmp_path, registry, attest__trusted_keys=[str(key_file)])
    with pytest.raises(UnverifiedError, match="nobody has signed"):
        pull(there, where)
    assert counts(there) == {}


def test_content_that_is_not_what_was_signed(tmp_path, registry, key_file):
    where, _ = pushed(tmp_path, registry)
    there = puller(tmp_path, registry, attest__trusted_keys=[str(key_file)])
    layer = json.loads(registry.stored("sec/advisories", "1")[0])["layers"][0]["digest"]
    (blob,) = [k for k in registry.blobs if k.endswith(layer)]
    content = registry.blobs[blob]
    registry.blobs[blob] = content[:5_000] + b"x" + content[5_001:]
    with pytest.raises(DigestMismatchError):
        pull(there, where)
    assert counts(there) == {}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[" * 9_000,
        b'{"layers": []}',
        b'{"artifactType": "application/vnd.scanner.advisories.v1", "layers": []}',
        b'{"artifactType": "application/vnd.scanner.advisories.v1", "layers": [{"mediaType": "x", "digest": "sha256:0", "size": 1}]}',
    ],
    ids=["empty", "object", "deep", "no_type", "no_layers", "other_layer"],
)
def test_other_artifacts_are_refused(content):
    with pytest.raises(MalformedManifestError):
        artifact.parse_manifest(content)


@pytest.mark.parametrize("text", ["registry.example/a", "https://registry.example/a", "oci://", "oci://a b"])  # fmt: skip
def test_references(text):
    with pytest.raises(InvalidReferenceError):
        app_exchange.parse_artifact(text)


def test_a_push_needs_a_tag(tmp_path):
    where = app_exchange.parse_artifact(f"oci://registry.example/a/b@sha256:{'0' * 64}")
    with pytest.raises(InvalidReferenceError):
        app_exchange.push(filled(tmp_path / "a"), where, (), ecdsa_signer())


# Which feed, from where


@pytest.mark.parametrize(
    ("options", "ecosystem", "want"),
    [
        ({}, "Debian:12", ("debian-tracker", "Debian")),
        ({"advisories.feeds": ["Debian=osv"]}, "Debian:12", ("osv", "Debian")),
        ({}, "Alpine:v3.20", ("alpine-secdb", "Alpine:v3.20")),
        ({}, "PyPI", ("osv", "PyPI")),
        ({}, "Red Hat:enterprise_linux:9::appstream", ("redhat-vex", "Red Hat")),
        ({}, "kev", ("kev", "kev")),
    ],
)
def test_which_feed_an_ecosystem_is_taken_from(options, ecosystem, want):
    chosen = load_settings(None, options, NOWHERE)
    feed = app_advisories.feed_of(chosen, ecosystem)
    assert (feed.name, app_advisories.unit_of(chosen, ecosystem)) == want


@pytest.mark.parametrize(
    "options",
    [
        {"advisories.feeds": ["Debian"]},
        {"advisories.feeds": ["Debian=nobody"]},
        {"advisories.feeds": ["Debian=kev"]},
        {"advisories.feeds": ["=osv"]},
    ],
)
def test_wrong_feeds(options):
    with pytest.raises(SettingsError):
        app_advisories.feed_of(load_settings(None, options, NOWHERE), "Debian")


def test_which_units_are_updated(tmp_path):
    chosen = settings(tmp_path / "a")
    with pytest.raises(SettingsError, match="no ecosystem is known yet"):
        app_advisories.units_of(chosen, ())
    with pytest.raises(SettingsError, match="name it"):
        app_advisories.units_of(chosen, ("Alpine",))
    filled(tmp_path / "a")
    assert app_advisories.units_of(chosen, ()) == ["npm", "kev", "epss"]
    assert app_advisories.units_of(chosen, ("Debian:12", "Debian:11", "npm")) == ["Debian", "npm"]


@pytest.mark.parametrize("urls", [["nobody=https://a.example"], ["osv"]])
def test_wrong_addresses_of_feeds(tmp_path, urls):
    chosen = settings(tmp_path / "a", advisories__urls=urls)
    with pytest.raises(SettingsError):
        app_advisories.open_source(chosen, app_advisories.feed_of(chosen, "npm"))


def test_addresses_of_feeds(tmp_path):
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    chosen = settings(
        tmp_path / "a", advisories__urls=[f"osv={mirror}", "kev=https://mirror.example/kev/"]
    )
    names = []
    for unit in ("npm", "kev", "epss"):
        source = app_advisories.open_source(chosen, app_advisories.feed_of(chosen, unit))
        names.append(source.name)
        source.close()
    assert names == [str(mirror), "https://mirror.example/kev", "https://epss.cyentia.com"]
