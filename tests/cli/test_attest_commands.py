"""Attest, verify and keys by command: from a scan in a registry to a proof without the store, and every exit code."""

from __future__ import annotations

import json
import re
import shutil
import stat
import subprocess

import pytest
from support.image_builder import Entry, image, image_index
from support.scanning import Outcome, command, dpkg_status, environment, layer

from scanner.model import digest_of

APP = image([layer(Entry("etc/os-release", b"ID=debian\nVERSION_ID=12\n"), dpkg_status("bash"))], {"User": "app"})  # fmt: skip
LEAK = image([layer(Entry("id_rsa", b"x"))], {"User": "root"}, architecture="arm64")
INDEX = image_index([APP, LEAK])


def run(home, *arguments: object, **settings: object) -> Outcome:
    variables = {key: str(value) for key, value in settings.items()}
    done = subprocess.run(
        command(*arguments),
        env=environment(home) | {"SCANNER_ATTEST_VALID_DAYS": "7"} | variables,
        cwd=home,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return Outcome(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def pushed(registry):
    """The name of an index in a registry that speaks plain http, and the option that allows it."""
    registry.push(INDEX, "cli/app", "1")
    return f"{registry.host}/cli/app:1", ("--insecure-registry", registry.host)


@pytest.fixture(scope="module")
def attested(home, pushed):
    """The same, attested with a key that was made for it; and the file of its public key."""
    name, insecure = pushed
    done = run(home, "attest", name, *insecure, "--policy", "default")
    assert done.code in {0, 1, 3}, done.stderr
    (home / "scanner.pub").write_text(run(home, "key", "show").stdout)
    return done


@pytest.fixture(scope="module")
def public(home, attested):
    return home / "scanner.pub"


def test_first_use_makes_a_key_and_prints_the_public_half(home, attested):
    (path,) = home.rglob("signing.key")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert f"made a signing key: {path}" in attested.stderr
    assert (home / "scanner.pub").read_text() in attested.stderr
    assert "PRIVATE" not in attested.stdout + attested.stderr


def test_every_digest_is_signed_and_published(attested):
    for digest in (INDEX.digest, APP.digest, LEAK.digest):
        assert re.search(rf"^{digest}: signed .*scan.*vsa", attested.stdout, re.MULTILINE)
        assert f"{digest}: published beside " in attested.stdout


def test_a_proof_needs_the_registry_and_the_key_alone(tmp_path, pushed, public):
    name, insecure = pushed
    done = run(
        tmp_path, "verify", name, "--key", public, *insecure, "--type", "scan", "--type", "vsa"
    )
    assert done.code in {0, 1}
    assert done.stdout.startswith(f"{name.removesuffix(':1')}@{INDEX.digest}\nproven: scan\n")
    assert "verdict" in done.stdout
    assert "not accepted" not in done.stdout
    assert [p.name for p in tmp_path.rglob("*.sqlite*")] == []


def test_an_image_of_the_index_by_its_digest(tmp_path, pushed, public):
    name, insecure = pushed
    by_digest = f"{name.removesuffix(':1')}@{APP.digest}"
    done = run(tmp_path, "verify", by_digest, "--key", public, *insecure, "--json")
    assert json.loads(done.stdout)["predicate"]["digest"] == APP.digest


def test_attested_again_nothing_piles_up(home, pushed, attested):
    name, insecure = pushed
    done = run(home, "attest", name, *insecure, "--policy", "default")
    counts = re.findall(r"\((\d+) new, (\d+) replaced\)", done.stdout)
    assert len(counts) == 3
    assert all(new == replaced for new, replaced in counts)


def test_exit_codes_of_verify(home, tmp_path, pushed, public):
    name, insecure = pushed
    other = tmp_path / "other.pub"
    run(home, "key", "generate", tmp_path / "other.key")
    other.write_text(run(home, "key", "show", tmp_path / "other.key").stdout)

    def verify(*words: object, **settings: object) -> tuple[int, str]:
        done = run(home, "verify", name, *insecure, *words, **settings)
        return done.code, done.stdout + done.stderr

    code, text = verify("--key", other)
    assert (code, "unknown-key: signed with key" in text) == (6, True)
    code, text = verify("--key", other, "--key", public)
    assert code in {0, 1}
    (key_id,) = re.findall("key id ([0-9a-f]{64})", run(home, "key", "show", public).stderr)
    code, text = verify("--key", public, "--revoked-key", key_id)
    assert (code, "revoked-key: signed with key" in text) == (6, True)
    code, text = verify("--key", public, "--type", "https://x.example/y")
    assert (code, "not proven: https://x.example/y" in text) == (5, True)
    code, text = verify(
        "--key", public, "--type", "cyclonedx", SCANNER_ATTEST_VALID_DAYS="0.0000001"
    )
    assert (code, "stale: made at" in text) == (7, True)
    code, text = verify()
    assert (code, "no public key to verify with" in text) == (2, True)
    code, text = verify("--key", public, "--max-age", "soon")
    assert (code, "expected a span" in text) == (2, True)
    code, text = verify("--key", tmp_path / "nothing")
    assert (code, "there is no such key" in text) == (2, True)
    missing = run(home, "verify", name + "2", "--key", public, *insecure)
    assert (missing.code, "there is no " in missing.stderr) == (4, True)


def test_an_expired_statement(home, registry, public):
    registry.push(APP, "cli/expired", "1")
    name, insecure = f"{registry.host}/cli/expired:1", ("--insecure-registry", registry.host)
    run(
        home,
        "attest",
        name,
        *insecure,
        "--predicate",
        "scan",
        SCANNER_ATTEST_VALID_DAYS="0.0000001",
    )
    done = run(home, "verify", name, "--key", public, *insecure)
    assert (done.code, "stale: expired at" in done.stdout) == (7, True)


def test_files_instead_of_a_registry(home, tmp_path, pushed):
    name, insecure = pushed
    out = tmp_path / "out"
    words = ("attest", name, *insecure, "--no-publish", "--output", out, "--predicate", "scan")
    assert run(home, *words).code in {0, 3}
    names = {p.name for p in out.iterdir()}
    digests = [d.replace(":", "-") for d in (INDEX.digest, APP.digest, LEAK.digest)]
    assert names == {f"{d}.scan.{kind}.json" for d in digests for kind in ("dsse", "sigstore")}
    first = {p.name: digest_of(p.read_bytes()) for p in out.iterdir()}
    assert len(set(first.values())) == 6


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("--no-publish",), 2, "--no-publish without --output DIR"),
        (("--predicate", "nothing"), 2, "'nothing' is none of"),
        (("--key", "nothing.key"), 2, "there is no such key"),
        (("--key", "awskms:alias/x"), 2, "needs its public key in a file"),
    ],
    ids=["nowhere", "predicate", "no_key", "kms"],
)
def test_what_attest_refuses(home, pushed, words, code, text):
    done = run(home, "attest", pushed[0], *words)
    assert (done.code, text in done.stderr) == (code, True), done.stderr


def test_an_image_that_is_in_no_registry(home, tmp_path):
    done = run(home, "attest", f"oci:{tmp_path}")
    assert (done.code, "--no-publish --output DIR" in done.stderr) == (2, True)


def test_keys_by_command(home, tmp_path):
    path = tmp_path / "own.key"
    secret = {"SCANNER_KEY_PASSWORD": "correct horse"}
    made = run(home, "key", "generate", path, "--encrypt", "--algorithm", "ed25519", **secret)
    assert (made.code, "Ed25519, key id " in made.stderr) == (0, True)
    assert path.read_text().startswith("-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n")
    assert run(home, "key", "show", path, COSIGN_PASSWORD="correct horse").stdout == made.stdout
    again = run(home, "key", "generate", path)
    assert (again.code, "it is left as it is" in again.stderr) == (2, True)
    wrong = run(home, "key", "show", path, COSIGN_PASSWORD="wrong horse")
    assert (wrong.code, "the passphrase is wrong" in wrong.stderr) == (2, True)
    none = run(home, "key", "show", path)
    assert (none.code, "set SCANNER_KEY_PASSWORD or COSIGN_PASSWORD" in none.stderr) == (2, True)
    path.chmod(0o640)
    unsafe = run(home, "key", "show", path, **secret)
    assert (unsafe.code, f"chmod 600 {path}" in unsafe.stderr) == (2, True)
    assert "horse" not in "".join(d.stdout + d.stderr for d in (made, again, wrong, none, unsafe))


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is missing")
def test_a_key_id_is_what_openssl_says(home, public):
    der = subprocess.run(
        ["openssl", "pkey", "-pubin", "-in", public, "-outform", "DER"],
        capture_output=True,
        check=True,
    ).stdout
    assert digest_of(der).removeprefix("sha256:") in run(home, "key", "show", public).stderr
