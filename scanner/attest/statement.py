"""The in-toto statement: whom a predicate is about.

Source: https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from scanner.attest.dsse import PAYLOAD_TYPE, Envelope
from scanner.decoding import decode_json
from scanner.errors import UnverifiedError
from scanner.model import Digest

STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
_STATEMENT_TYPES: Final = frozenset({STATEMENT_TYPE, "https://in-toto.io/Statement/v0.1"})
_SUBJECTS_COUNT: Final = 10_000


class StatementSubject(msgspec.Struct, frozen=True, omit_defaults=True):
    """An artifact that a statement is about."""

    name: str = ""
    digest: dict[str, str] = {}


class Statement(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """A predicate about subjects."""

    type: str = msgspec.field(name="_type", default=STATEMENT_TYPE)
    subject: list[StatementSubject]
    predicate_type: str
    predicate: dict[str, Any]

    def is_about(self, digest: str) -> bool:
        """Say whether one of the subjects has this digest."""
        algorithm, _, value = digest.partition(":")
        return any(s.digest.get(algorithm) == value for s in self.subject)


def encode_statement(
    name: str, digest: Digest, predicate_type: str, predicate: dict[str, Any]
) -> bytes:
    """Return a statement about one digest; the same bytes for the same values.

    ``_type`` and ``subject`` come first, as people read them; below that keys are sorted.
    """
    algorithm, _, value = digest.partition(":")
    statement = Statement(
        subject=[StatementSubject(name=name, digest={algorithm: value})],
        predicate_type=predicate_type,
        predicate=predicate,
    )
    return msgspec.json.encode(statement, order="deterministic")


def parse_statement(envelope: Envelope) -> Statement:
    """Return what an envelope states. Check the signature first.

    Raises:
        UnverifiedError: ``malformed``.
    """
    if envelope.payload_type != PAYLOAD_TYPE:
        raise UnverifiedError("envelope", "its payload is no in-toto statement")
    try:
        statement = decode_json(envelope.payload, Statement)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnverifiedError("statement", "not an in-toto statement") from error
    if statement.type not in _STATEMENT_TYPES:
        raise UnverifiedError("statement", "not an in-toto statement of a version that we know")
    if not 0 < len(statement.subject) <= _SUBJECTS_COUNT:
        raise UnverifiedError("statement", "no subject, or too many")
    return statement
