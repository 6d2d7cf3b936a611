"""Programs and libraries of others accept what we sign."""

from __future__ import annotations

import json
import shutil
import subprocess
from base64 import b64decode

import pytest
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey
from support.attesting import ecdsa_signer, ed25519_signer, rsa_signer

from scanner.attest.dsse import encode_envelope
from scanner.attest.statement import encode_statement
from scanner.attest.statements import sign_payload
from scanner.model import Digest

STATEMENT = encode_statement(
    "app", Digest("sha256:" + "ab" * 32), "https://example.com/x", {"a": 1}
)
SIGNERS = {"ecdsa": ecdsa_signer(), "ed25519": ed25519_signer(), "rsa": rsa_signer()}
SCHEMES = {"rsa": "rsa-pkcs1v15-sha256"}


@pytest.mark.parametrize("name", SIGNERS)
def test_securesystemslib_verifies_our_envelope(name):
    signer = SIGNERS[name]
    key = SSlibKey.from_crypto(signer.key.key, keyid="any", scheme=SCHEMES.get(name))
    document = json.loads(encode_envelope(sign_payload(STATEMENT, signer)))
    document["signatures"][0]["keyid"] = "any"  # it looks for the key by this name
    envelope = Envelope.from_dict(document)
    assert envelope.verify([key], 1)
    changed = Envelope(envelope.payload + b" ", envelope.payload_type, envelope.signatures)
    with pytest.raises(VerificationError):
        changed.verify([key], 1)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is missing")
@pytest.mark.parametrize("name", ["ecdsa", "rsa"])
def test_openssl_verifies_the_signature_over_the_pae(name, tmp_path):
    signer = SIGNERS[name]
    document = json.loads(encode_envelope(sign_payload(STATEMENT, signer)))
    payload = b64decode(document["payload"])
    (tmp_path / "signed").write_bytes(
        b"DSSEv1 28 application/vnd.in-toto+json %d " % len(payload) + payload
    )
    (tmp_path / "signature").write_bytes(b64decode(document["signatures"][0]["sig"]))
    (tmp_path / "key.pub").write_text(signer.key.pem)

    def verify() -> subprocess.CompletedProcess[str]:
        words = [
            "openssl",
            "dgst",
            "-sha256",
            "-verify",
            "key.pub",
            "-signature",
            "signature",
            "signed",
        ]
        return subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert verify().stdout == "Verified OK\n"
    with (tmp_path / "signed").open("ab") as file:
        file.write(b" ")
    assert verify().returncode == 1
