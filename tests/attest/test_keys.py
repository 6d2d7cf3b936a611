"""Keys: every form, and a clear typed error for everything that is wrong with one."""

from __future__ import annotations

import os
import re
import stat
import threading
from base64 import b64decode, b64encode
from functools import partial
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from support.attesting import ecdsa_signer, rsa_signer

from scanner.app_attest import open_signer, predicate_types, predicates, revoked_keys, trusted_keys
from scanner.attest.key_files import (
    generate_key_file,
    load_any,
    load_or_make_signer,
    load_public_keys,
    load_signer,
)
from scanner.attest.kms import is_key_uri, open_key_uri
from scanner.attest.private_keys import (
    ALGORITHMS,
    encode_private_key,
    new_private_key,
    parse_private_key,
)
from scanner.attest.public_keys import is_signed, parse_public_keys, verification_key
from scanner.config import AttestSettings, Settings, StoreSettings
from scanner.errors import (
    KeyNotFoundError,
    PassphraseError,
    RevokedKeyError,
    SettingsError,
    SigningKeyError,
    UnsafeKeyError,
)

PEM = serialization.Encoding.PEM
PKCS8 = serialization.PrivateFormat.PKCS8


def nobody() -> bytes:
    raise PassphraseError("key", "it is encrypted, and there is no passphrase")


def p256() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@pytest.mark.parametrize(
    "passphrase", [None, b"", b"secret \xff"], ids=["plain", "empty", "secret"]
)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_what_is_written_can_be_read(algorithm, passphrase):
    key = new_private_key(algorithm)
    content = encode_private_key(key, passphrase)
    signer = parse_private_key(content, "key", lambda: passphrase)
    assert signer.key == verification_key(key.public_key(), "key")
    assert is_signed(signer.key.key, signer.sign(b"x"), b"x")
    label = b"PRIVATE KEY" if passphrase is None else b"ENCRYPTED SIGSTORE PRIVATE KEY"
    assert content.startswith(b"-----BEGIN " + label + b"-----\n")


def encrypted_pkcs8() -> bytes:
    return p256().private_bytes(PEM, PKCS8, serialization.BestAvailableEncryption(b"right"))


def encrypted_by_openssl_1() -> bytes:
    form = serialization.PrivateFormat.TraditionalOpenSSL
    return p256().private_bytes(PEM, form, serialization.BestAvailableEncryption(b"right"))


def encrypted_by_old_cosign() -> bytes:
    return encode_private_key(p256(), b"right").replace(b"SIGSTORE", b"COSIGN")


ENCRYPTED = {
    "pkcs8": encrypted_pkcs8,
    "openssl_1": encrypted_by_openssl_1,
    "cosign": lambda: encode_private_key(p256(), b"right"),
    "old_cosign": encrypted_by_old_cosign,
}


@pytest.mark.parametrize("make", ENCRYPTED.values(), ids=ENCRYPTED)
def test_encrypted(make):
    content = make()
    parse_private_key(content, "key", lambda: b"right")
    for wrong in (b"wrong", b""):
        with pytest.raises(PassphraseError, match=r"^key: the passphrase is wrong$"):
            parse_private_key(content, "key", partial(bytes, wrong))
    with pytest.raises(PassphraseError, match="there is no passphrase"):
        parse_private_key(content, "key", nobody)


def with_scrypt(**params: int) -> bytes:
    pem = encode_private_key(p256(), b"x").decode()
    body = "".join(pem.splitlines()[1:-1])
    document = msgspec.json.decode(b64decode(body))
    document["kdf"]["params"] |= params
    text = b64encode(msgspec.json.encode(document)).decode()
    label = "ENCRYPTED SIGSTORE PRIVATE KEY"
    return f"-----BEGIN {label}-----\n{text}\n-----END {label}-----\n".encode()


def pem(label: str, body: str) -> bytes:
    return f"-----BEGIN {label}-----\n{body}\n-----END {label}-----\n".encode()


UNUSABLE = {
    "empty": b"",
    "public": ecdsa_signer().key.pem.encode(),
    "not_base64": pem("PRIVATE KEY", "!!!!"),
    "not_a_key": pem("PRIVATE KEY", "AAAA"),
    "openssh": pem("OPENSSH PRIVATE KEY", "AAAA"),
    "cosign_not_json": pem("ENCRYPTED SIGSTORE PRIVATE KEY", "AAAA"),
    "scrypt_of_a_terabyte": with_scrypt(N=2**40),
    "scrypt_of_no_power": with_scrypt(N=1000),
    "scrypt_negative": with_scrypt(r=-8),
    "curve": ec.generate_private_key(ec.SECP256K1()).private_bytes(PEM, PKCS8, serialization.NoEncryption()),
    "rsa_1024": rsa.generate_private_key(65_537, 1024).private_bytes(PEM, PKCS8, serialization.NoEncryption()),
    "dsa": dsa.generate_private_key(1024).private_bytes(PEM, PKCS8, serialization.NoEncryption()),
}  # fmt: skip


@pytest.mark.parametrize("content", UNUSABLE.values(), ids=UNUSABLE)
def test_unusable(content):
    with pytest.raises(SigningKeyError, match=r"^key: "):
        parse_private_key(content, "key", lambda: b"x")


def test_public_keys_old_and_new_in_one_file(tmp_path):
    old, new = ecdsa_signer(1234), rsa_signer()
    path = tmp_path / "keys.pub"
    path.write_text(f"old\n{old.key.pem}new\n{new.key.pem}{old.key.pem}")
    assert load_public_keys([path, path]) == (old.key, new.key)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "expected -----BEGIN PUBLIC KEY-----"),
        (pem("PUBLIC KEY", "AAAA"), "not a public key that can be read"),
        (encode_private_key(new_private_key("ecdsa"), None), "a private key where a public one is expected"),
    ],
    ids=["empty", "broken", "private"],
)  # fmt: skip
def test_unusable_public(content, reason):
    with pytest.raises(SigningKeyError, match=reason):
        parse_public_keys(content, "key")


# Files


def test_generated_file_is_its_owners_alone(tmp_path):
    path = tmp_path / "new" / "key"
    before = os.umask(0)
    try:
        generate_key_file(path, "ecdsa", None)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [p.name for p in path.parent.iterdir()] == ["key"]
    content = path.read_bytes()
    with pytest.raises(FileExistsError):
        generate_key_file(path, "ecdsa", None)
    assert path.read_bytes() == content


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o660, 0o644, 0o601], ids=oct)
def test_wrong_mode(tmp_path, mode):
    path = tmp_path / "key"
    generate_key_file(path, "ecdsa", None)
    path.chmod(mode)
    with pytest.raises(UnsafeKeyError, match=f"its mode is {mode:04o}: others") as caught:
        load_signer(path, nobody)
    assert caught.value.hint.startswith(f"chmod 600 {path}")


def test_missing(tmp_path):
    with pytest.raises(KeyNotFoundError, match="there is no such key"):
        load_signer(tmp_path / "key", nobody)
    with pytest.raises(SigningKeyError, match="Is a directory"):
        load_signer(tmp_path, nobody)


def test_too_long(tmp_path):
    path = tmp_path / "key"
    path.touch(0o600)
    path.write_bytes(b"x" * 300_000)
    with pytest.raises(SigningKeyError, match="too long for a key"):
        load_signer(path, nobody)


def test_first_use_by_many_makes_one_key(tmp_path):
    found = []

    def use() -> None:
        found.append(load_or_make_signer(tmp_path / "home" / "key", nobody))

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({signer.key.id for signer, _ in found}) == 1
    assert len(found) == 8
    assert [p.name for p in (tmp_path / "home").iterdir()] == ["key"]


def test_load_any_gives_the_same_key_of_both_halves(tmp_path):
    generate_key_file(tmp_path / "key", "ed25519", b"x")
    (key,) = load_any(tmp_path / "key", lambda: b"x")
    (tmp_path / "key.pub").write_text(key.pem)
    assert load_any(tmp_path / "key.pub", nobody) == (key,)


# Settings


def settings(directory: Path, **attest: object) -> Settings:
    return Settings(
        store=StoreSettings(directory=str(directory)),
        attest=AttestSettings(**attest),
    )


def test_default_key_is_made_once(tmp_path):
    first, made = open_signer(settings(tmp_path), nobody)
    again, made_again = open_signer(settings(tmp_path), nobody)
    assert (first.key, made, made_again) == (again.key, True, False)


def test_a_named_key_is_not_made(tmp_path):
    with pytest.raises(KeyNotFoundError):
        open_signer(settings(tmp_path, key=str(tmp_path / "x")), nobody)


def test_a_revoked_key_does_not_sign(tmp_path):
    signer, _ = open_signer(settings(tmp_path), nobody)
    with pytest.raises(RevokedKeyError, match=f"the key {signer.key.id[:16]}… is revoked"):
        open_signer(settings(tmp_path, revoked_keys=(signer.key.id,)), nobody)


def test_a_misspelt_revocation_is_no_revocation(tmp_path):
    with pytest.raises(SigningKeyError, match="'ab' is not a key id"):
        revoked_keys(settings(tmp_path, revoked_keys=("ab",)))


def test_verifying_needs_a_key(tmp_path):
    with pytest.raises(KeyNotFoundError, match="no public key to verify with"):
        trusted_keys(settings(tmp_path))


def test_names_of_predicates(tmp_path):
    chosen = predicates(settings(tmp_path, predicates=("spdx", "scan", "spdx")))
    assert [p.name for p in chosen] == ["spdx", "scan"]
    with pytest.raises(SettingsError, match="'nothing' is none of"):
        predicates(settings(tmp_path, predicates=("nothing",)))
    assert predicate_types(["spdx", "https://x.example/y"]) == {
        "https://spdx.dev/Document",
        "https://x.example/y",
    }
    with pytest.raises(SettingsError, match="'nothing' is no URI"):
        predicate_types(["nothing"])


# KMS and HSM


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("awskms:x", True), ("hsm:2?label=x", True), ("file2:/x", True), ("key.pem", False), ("C:key", False)],
)  # fmt: skip
def test_key_uri(text, wanted):
    assert is_key_uri(text) is wanted


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_signer_of_securesystemslib(tmp_path, algorithm):
    private = new_private_key(algorithm)
    key = verification_key(private.public_key(), "key")
    path = tmp_path / "key.pem"
    path.write_bytes(private.private_bytes(PEM, PKCS8, serialization.NoEncryption()))
    (tmp_path / "key.pub").write_text(key.pem)
    chosen = settings(tmp_path, key=f"file2:{path}", public_key=str(tmp_path / "key.pub"))
    signer, made = open_signer(chosen, nobody)
    assert (signer.key, made) == (key, False)
    assert is_signed(key.key, signer.sign(b"x"), b"x")


def test_a_remote_key_needs_its_public_key(tmp_path):
    with pytest.raises(SigningKeyError, match="needs its public key in a file"):
        open_signer(settings(tmp_path, key="awskms:alias/x"), nobody)


def test_a_remote_key_that_is_another_than_said(tmp_path):
    path = tmp_path / "key.pem"
    path.write_bytes(p256().private_bytes(PEM, PKCS8, serialization.NoEncryption()))
    with pytest.raises(SigningKeyError):  # when it is opened, or at the latest when it signs
        open_key_uri(f"file2:{path}", ecdsa_signer().key, nobody).sign(b"x")


@pytest.mark.parametrize(
    ("uri", "extra"),
    [("awskms:alias/x", "awskms"), ("gcpkms:projects/x", "gcpkms"), ("azurekms://x.vault.azure.net/keys/a/b", "azurekms"), ("hsm:2?label=x", "hsm")],
)  # fmt: skip
def test_a_missing_extra_is_named(uri, extra):
    with pytest.raises(SigningKeyError) as caught:
        open_key_uri(uri, ecdsa_signer().key, nobody)
    assert re.match(rf"{uri.partition(':')[0]}: ", str(caught.value))
    assert caught.value.hint in {f"pip install 'securesystemslib[{extra}]'", ""}
