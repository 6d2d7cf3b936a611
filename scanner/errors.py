"""The exception tree. Errors are typed by what the caller should do about them.

* ScannerError                     ``code``, ``retryable``; ``hint`` tells a person what to do next
  x InputError                     these bytes are wrong; the same bytes will fail again
    + MalformedFileError           one file in a layer (path, reason)
    + MalformedLayerError          the compressed stream or the tar is broken (reason)
    + MalformedManifestError       manifest, index or config (reason)
    + LimitExceededError           a named limit (limit, allowed, seen)
    + DigestMismatchError          the bytes are not the ones asked for (what, expected, actual)
    + UnsupportedError             well-formed, but nothing we can scan (what, reason)
    + MalformedEventError          a webhook's body is not what its sender sends (what, reason)
  x InvalidReferenceError          not a reference, digest or platform (text, reason)
  x UpstreamError                  a registry or token server (host, operation, reason)
    + UnauthorizedError            credentials missing, wrong, or without the scope
    + NotFoundError                no such repository, manifest or blob
    + ForbiddenHostError           a redirect, realm or URL that we must not follow
  x UnauthenticatedError           whoever speaks to us did not prove who they are (reason)
  x SigningKeyError                a key cannot be used to sign or to verify (where, reason)
    + KeyNotFoundError             there is no such file
    + UnsafeKeyError               others may read the private key
    + PassphraseError              the passphrase is missing or wrong
    + RevokedKeyError              the key may not be used any more
  x UnverifiedError                an attestation proves nothing (what, reason, refusal)
  x SettingsError                  a setting, option or rule file is wrong (where, reason)
  x StoreError                     the database cannot be opened or written (where, reason)
  x ScanCancelledError             somebody asked the scan to stop
"""

from __future__ import annotations

from typing import ClassVar


class ScannerError(Exception):
    """Root of everything this package raises on purpose. The message never holds a secret."""

    code: ClassVar[str] = "scanner-error"
    retryable: bool = False
    hint: str = ""


class InputError(ScannerError):
    """The bytes are wrong; the same bytes will be wrong again."""

    code = "input-error"


class MalformedFileError(InputError):
    """One file of a layer cannot be parsed; the rest of the layer is unharmed."""

    code = "malformed-file"

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class MalformedLayerError(InputError):
    """A layer's compressed stream or its tar is broken, cut off or contradicts itself."""

    code = "malformed-layer"

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class MalformedManifestError(InputError):
    """A manifest, index or config document breaks the OCI image specification."""

    code = "malformed-manifest"

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class LimitExceededError(InputError):
    """A named limit was hit. ``allowed`` and ``seen`` are in the unit that ends the limit's name.

    ``setting`` is False for a bound that is part of the code and cannot be raised.
    """

    code = "limit-exceeded"

    def __init__(self, limit: str, allowed: float, seen: float, *, setting: bool = True) -> None:
        super().__init__(f"limit {limit}: {seen:g} is more than the allowed {allowed:g}")
        self.limit = limit
        self.allowed = allowed
        self.seen = seen
        if setting:
            self.hint = f"raise the setting limits.{limit} if this image is to be trusted"


class DigestMismatchError(InputError):
    """Content does not have the digest, diff_id or size it was asked for by."""

    code = "digest-mismatch"

    def __init__(self, what: str, expected: str, actual: str) -> None:
        super().__init__(f"{what}: expected {expected}, got {actual}")
        self.what = what
        self.expected = expected
        self.actual = actual


class UnsupportedError(InputError):
    """Well-formed, but of a kind that cannot be scanned (schema1, encrypted layer, Helm chart)."""

    code = "unsupported"

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(f"{what}: {reason}")
        self.what = what
        self.reason = reason


class MalformedEventError(InputError):
    """A webhook's headers or body are not what its sender sends; sent again, they will be no better."""

    code = "malformed-event"

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(f"{what}: {reason}")
        self.what = what
        self.reason = reason


class InvalidReferenceError(ScannerError):
    """A text is not an image reference, digest or platform."""

    code = "invalid-reference"

    def __init__(self, text: str, reason: str) -> None:
        super().__init__(f"{text!r}: {reason}")
        self.text = text
        self.reason = reason


class UpstreamError(ScannerError):
    """A registry or token server failed. ``retryable`` for 408, 429, 5xx, time-outs and cut connections.

    ``after_seconds`` is the wait it asked for before another try; 0 if it asked for none.
    """

    code = "upstream-error"

    def __init__(
        self,
        host: str,
        operation: str,
        reason: str,
        *,
        retryable: bool = False,
        hint: str = "",
        after_seconds: float = 0.0,
    ) -> None:
        super().__init__(f"{host}: {operation}: {reason}")
        self.host = host
        self.operation = operation
        self.reason = reason
        self.retryable = retryable
        self.hint = hint
        self.after_seconds = after_seconds


class UnauthorizedError(UpstreamError):
    """Credentials are missing, wrong, or do not reach this repository."""

    code = "unauthorized"


class NotFoundError(UpstreamError):
    """The repository, manifest or blob does not exist there (or is hidden from these credentials)."""

    code = "not-found"


class ForbiddenHostError(UpstreamError):
    """A redirect, token realm or layer URL points where we must not go."""

    code = "forbidden-host"


class UnauthenticatedError(ScannerError):
    """A caller's credential is missing, wrong or out of date. The reason never tells what was expected."""

    code = "unauthenticated"

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class SigningKeyError(ScannerError):
    """A key cannot be used to sign or to verify. The reason never holds a passphrase or part of a key."""

    code = "signing-key-error"

    def __init__(self, where: str, reason: str, *, hint: str = "") -> None:
        super().__init__(f"{where}: {reason}")
        self.where = where
        self.reason = reason
        self.hint = hint


class KeyNotFoundError(SigningKeyError):
    """There is no such key file."""

    code = "key-not-found"


class UnsafeKeyError(SigningKeyError):
    """Others than its owner may read a private key."""

    code = "unsafe-key"


class PassphraseError(SigningKeyError):
    """An encrypted key's passphrase is missing or wrong."""

    code = "wrong-passphrase"


class RevokedKeyError(SigningKeyError):
    """A key that may not be used any more."""

    code = "revoked-key"


class UnverifiedError(ScannerError):
    """An attestation, or what says to be one, proves nothing.

    ``refusal`` is the kind of reason in a word: ``malformed``, ``unknown-key``, ``stale`` …
    """

    code = "unverified"

    def __init__(self, what: str, reason: str, refusal: str = "malformed") -> None:
        super().__init__(f"{what}: {reason}")
        self.what = what
        self.reason = reason
        self.refusal = refusal


class SettingsError(ScannerError):
    """A setting, command-line option or rule file is wrong."""

    code = "settings-error"

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(f"{where}: {reason}")
        self.where = where
        self.reason = reason


class StoreError(ScannerError):
    """The database cannot be opened, read or written."""

    code = "store-error"

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(f"{where}: {reason}")
        self.where = where
        self.reason = reason


class ScanCancelledError(ScannerError):
    """Somebody asked the scan to stop; nothing it began is kept."""

    code = "cancelled"
