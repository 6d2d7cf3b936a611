"""Keys that stay where they are: KMS and HSM signers of securesystemslib, by URI.

``awskms:…``, ``gcpkms:…``, ``azurekms:…``, ``hv:…`` (Vault), ``hsm:…`` (PKCS #11), ``file2:…``. Most need an extra of
securesystemslib, and all need the public key in a file.

Source: https://python-securesystemslib.readthedocs.io/en/latest/signer.html
"""

from __future__ import annotations

import re
from typing import Any, Final

from scanner.attest.private_keys import Passphrase
from scanner.attest.public_keys import VerificationKey, is_signed
from scanner.errors import SigningKeyError

_URI: Final = re.compile(r"(awskms|gcpkms|azurekms|hv|hsm|file2):")
_EXTRAS: Final = {
    "awskms": "awskms", "gcpkms": "gcpkms", "azurekms": "azurekms", "hv": "vault", "hsm": "hsm",
}  # fmt: skip


def is_key_uri(text: str) -> bool:
    """Say whether this names a signer of securesystemslib, not a file."""
    return bool(_URI.match(text))


class RemoteSigner:
    """A private key somewhere else."""

    def __init__(self, uri: str, signer: Any, key: VerificationKey) -> None:
        self._scheme = uri.partition(":")[0]
        self._signer = signer
        self.key = key

    def sign(self, message: bytes) -> bytes:
        """Return a signature.

        Raises:
            SigningKeyError: the service refuses or fails, or signs with another key than the public one given.
        """
        try:
            signature = bytes.fromhex(self._signer.sign(message).signature)
        except Exception as error:
            # Each service has errors of its own; their texts may hold what they were asked with.
            raise SigningKeyError(self._scheme, f"did not sign ({type(error).__name__})") from error
        if not is_signed(self.key.key, signature, message):
            raise SigningKeyError(
                self._scheme,
                f"signed with another key than {self.key.id[:16]}…, the public one given",
            )
        return signature


def open_key_uri(uri: str, key: VerificationKey, passphrase: Passphrase) -> RemoteSigner:
    """Open a signer by URI.

    Raises:
        SigningKeyError: the URI is wrong, an extra is missing, or the service does not answer.
    """
    from securesystemslib.exceptions import UnsupportedLibraryError  # noqa: PLC0415 - for these only
    from securesystemslib.signer import (  # type: ignore[attr-defined] # noqa: PLC0415 - exported as they say
        Signer,
        SSlibKey,
    )

    scheme = uri.partition(":")[0]
    public = SSlibKey.from_crypto(key.key, scheme=_scheme_of(key))

    def secret(_name: str) -> str:
        return passphrase().decode("utf-8", "replace")

    try:
        signer = Signer.from_priv_key_uri(uri, public, secret)
    except (UnsupportedLibraryError, ImportError) as error:
        raise SigningKeyError(
            scheme,
            "the library for such keys is not installed",
            hint=f"pip install 'securesystemslib[{_EXTRAS.get(scheme, scheme)}]'",
        ) from error
    except SigningKeyError:
        raise
    except Exception as error:
        # As above: whatever a service's own library raises.
        raise SigningKeyError(scheme, f"cannot be opened ({type(error).__name__})") from error
    return RemoteSigner(uri, signer, key)


def _scheme_of(key: VerificationKey) -> str | None:
    """Return the scheme where the library's own choice is none that cosign takes."""
    return "rsa-pkcs1v15-sha256" if key.algorithm.startswith("RSA") else None
