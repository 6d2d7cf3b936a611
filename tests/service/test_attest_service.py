"""The service signs what it scans and publishes it beside the image; the registry alone then proves the verdict."""

from __future__ import annotations

import json
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import requests
from support.image_builder import image_index
from support.registry import start_registry
from support.service import app_image
from support.serving import run_command, start_both, start_service, until

pytestmark = pytest.mark.real

ONE, TWO = app_image("one"), app_image("two")
INDEX = image_index([ONE])
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
ENVELOPE = "application/vnd.dsse.envelope.v1+json"
SIGNING = {"attest_enabled": "yes", "policy_file": "default"}
PUBLISHING = SIGNING | {"attest_publish": "true"}
POLICY = "version: 1\nname: {name}\nrules: []\n"


def place(where):
    return {"store_url": where} if "://" in where else {}


def fetched(service, path, accept="application/json", **parameters):
    headers = {"Authorization": f"Bearer {service.token}", "Accept": accept}
    with requests.get(
        f"{service.url}{path}", headers=headers, params=parameters, timeout=30
    ) as response:
        return response.status_code, response.content


def told(service, digest):
    """Return what the service tells of a digest's attestations; nothing while it does not know the image."""
    status, content = fetched(service, f"/v1/images/{digest}/attestations")
    return json.loads(content) if status == 200 else {"statements": [], "publications": []}


def state_of(service, digest):
    return json.loads(fetched(service, f"/v1/images/{digest}")[1]).get("state")


def publications(service, digest):
    return [p["state"] for p in told(service, digest)["publications"]]


def is_published(service, *digests):
    return all(publications(service, digest) == ["published"] for digest in digests)


def layers_of_att(registry, name, digest):
    tag = digest.replace(":", "-") + ".att"
    url = f"http://{registry.host}/v2/{name}/manifests/{tag}"
    accept = {"Accept": "application/vnd.oci.image.manifest.v1+json"}
    while True:  # distribution has no tag at all for the moment in which it changes one
        with requests.get(url, headers=accept, timeout=30) as response:
            if response.ok:
                return [layer["digest"] for layer in response.json()["layers"]]


def check_no_key(service, *texts):
    """No part of the private key is in what was told, the log, or the database."""
    pem = (service.home / "data" / "signing.key").read_text()
    secret = max(pem.splitlines(), key=len)
    assert len(secret) > 40
    file = service.home / "data" / "scanner.db"
    dump = ""
    if file.exists():
        with closing(sqlite3.connect(file)) as database:
            dump = "\n".join(database.iterdump())
    for text in (*texts, service.log_text, dump):
        assert secret not in text
        assert "PRIVATE KEY" not in text


def check_answers(service):
    """Ask for statements in every form there is; return the envelopes."""
    path = f"/v1/images/{ONE.digest}/attestations"
    listed = told(service, ONE.digest)["statements"]
    assert {s["name"] for s in listed} >= {"scan", "cyclonedx", "spdx", "vsa"}
    assert {s["state"] for s in listed} == {"current"}
    status, bundle = fetched(service, path, BUNDLE, predicate_type="scan")
    assert (status, json.loads(bundle)["mediaType"]) == (200, BUNDLE)
    status, envelopes = fetched(service, path, ENVELOPE)
    lines = envelopes.split(b"\n")
    assert len(lines) == len(listed)
    assert {json.loads(one)["payloadType"] for one in lines} == {"application/vnd.in-toto+json"}
    assert fetched(service, path, "image/png")[0] == 406
    assert fetched(service, path, BUNDLE, predicate_type="urn:none")[0] == 404
    return envelopes.decode()


def test_what_is_pushed_is_signed_and_published_and_proven_by_the_registry(tmp_path, where):
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY.format(name="first"))
    settings = PUBLISHING | {"policy_file": policy} | place(where)
    with start_both(tmp_path, **settings) as (service, registry):
        registry.push(INDEX, "team/app", "1")
        until(lambda: is_published(service, INDEX.digest, ONE.digest), service)
        key = tmp_path / "scanner.pub"
        key.write_text(service.run("key", "show").stdout)
        check_no_key(service, check_answers(service))
        before = layers_of_att(registry, "team/app", ONE.digest)

        # Another policy, and the same image under another tag: everything is replaced, nothing piles up.
        first = told(service, ONE.digest)
        policy.write_text(POLICY.format(name="second"))
        registry.push(INDEX, "team/app", "2")
        until(lambda: told(service, ONE.digest)["signed_at"] > first["signed_at"], service)
        until(lambda: layers_of_att(registry, "team/app", ONE.digest) != before, service)
        until(lambda: is_published(service, INDEX.digest, ONE.digest), service)
        assert len(layers_of_att(registry, "team/app", ONE.digest)) == len(before)
        assert len(told(service, ONE.digest)["statements"]) == len(first["statements"])
        metrics = fetched(service, "/metrics")[1].decode()
        assert 'scanner_attestations_published_total{outcome="published"}' in metrics

        service.stop()
        for path in (service.home / "data").glob("scanner.db*"):
            path.unlink()
        elsewhere = {"registry_insecure": registry.host}
        for reference in (f"{registry.host}/team/app:1", f"{registry.host}/team/app@{ONE.digest}"):
            proven = run_command(tmp_path, elsewhere, "verify", reference, "--key", key, "--json")
            assert proven.code == 0, proven.stderr
            verdict = json.loads(proven.stdout)["predicate"]["verdict"]
            assert (verdict["decision"], verdict["policy"]) == ("allow", "second")


def test_what_was_scanned_before_a_kill_is_signed_after_it(tmp_path, where):
    (tmp_path / "registry").mkdir()
    home = tmp_path / "home"
    with start_registry(tmp_path / "registry") as registry:
        more = place(where) | {"registry_insecure": registry.host}
        more |= {"server_allowed_registries": registry.host}
        with start_service(home, **more, attest_enabled="no") as service:
            reference = registry.push(ONE, "team/app", "1")
            assert service.run("scan", reference, "--server", service.url, "-q").code in {0, 1}
            found = told(service, ONE.digest)
            assert (found["statements"], found.get("signed_at")) == ([], None)
            service.stop(signal.SIGKILL)
        with start_service(home, **more, **SIGNING) as service:
            until(lambda: told(service, ONE.digest)["statements"], service)
            assert told(service, ONE.digest)["publications"] == []
            service.stop(signal.SIGKILL)


def test_a_registry_that_refuses_pushes_is_told_of(tmp_path):
    directory, home = tmp_path / "registry", tmp_path / "home"
    directory.mkdir()
    with start_registry(directory) as registry:
        reference = registry.push(ONE, "team/app", "1")
        port = int(registry.host.rpartition(":")[2])
    more = {"registry_insecure": registry.host, "server_allowed_registries": registry.host}
    with start_service(home, **more, **PUBLISHING) as service:
        with start_registry(directory, port=port, read_only=True):
            assert service.run("scan", reference, "--server", service.url, "-q").code in {0, 1}
            until(lambda: publications(service, ONE.digest) == ["refused"], service)
            (found,) = told(service, ONE.digest)["publications"]
            assert (found["repository"], found["attempts"]) == ("team/app", 1)
            assert found["error_code"]
            assert found["error"]
            assert found["next_at"] > told(service, ONE.digest)["signed_at"]
            metrics = fetched(service, "/metrics")[1].decode()
            assert 'scanner_attestations_published_total{outcome="refused"} 1.0' in metrics
            assert 'scanner_attestations_waiting{state="refused"} 1.0' in metrics
        with start_registry(directory, port=port):
            with sqlite3.connect(home / "data" / "scanner.db", timeout=30) as database:
                database.execute("UPDATE attestation_publications SET due_at = 1")
            database.close()
            until(lambda: is_published(service, ONE.digest), service)


def test_a_service_without_a_key_does_not_sign(tmp_path):
    with start_both(tmp_path) as (service, registry):
        registry.push(TWO, "team/app", "1")
        until(lambda: state_of(service, TWO.digest) == "complete", service)
        assert told(service, TWO.digest)["statements"] == []
        assert not (service.home / "data" / "signing.key").exists()


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"attest_publish": "true"}, "attest.enabled"),
        ({"attest_key": "no/such.key"}, "no/such.key"),
        ({"attest_enabled": "yes", "attest_predicates": "nothing"}, "attest.predicates"),
    ],
    ids=["publishing without signing", "no such key", "no such predicate"],
)
def test_a_service_that_could_not_sign_does_not_begin(tmp_path, settings, reason):
    ended = run_command(tmp_path, settings | {"server_listen": "127.0.0.1:0"}, "serve")
    assert ended.code == 2
    assert reason in ended.stderr


def test_a_passphrase_is_not_handed_on(tmp_path):
    """The key is encrypted; the service can use it, and the worker it starts has no passphrase."""
    word = "pass" + "phrase-of-a-test"
    key = tmp_path / "encrypted.key"
    made = run_command(tmp_path, {}, "key", "generate", key, "--encrypt", SCANNER_KEY_PASSWORD=word)
    assert made.code == 0, made.stderr
    with start_both(tmp_path, **SIGNING, attest_key=key, key_password=word) as (service, registry):
        registry.push(TWO, "team/app", "1")
        until(lambda: told(service, TWO.digest)["statements"], service)
        (worker,) = service.worker_pids
        assert word.encode() not in Path(f"/proc/{worker}/environ").read_bytes()
        assert word not in service.log_text
