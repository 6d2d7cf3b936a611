"""From a policy file and the OpenVEX documents it names to a policy. The only place that reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from scanner import policy as policy_package
from scanner.errors import SettingsError
from scanner.policy.compiled import Policy
from scanner.policy.document import Document
from scanner.policy.parse import DOCUMENT_BYTES, parse_document
from scanner.policy.vex import DOCUMENT_BYTES as VEX_BYTES
from scanner.policy.vex import Statement, parse_vex

DEFAULT_POLICY: Final = "default"
"""The name that stands for the built-in policy wherever a file may be named."""


def default_policy_text() -> str:
    """Return the built-in policy as it is written."""
    return (Path(policy_package.__file__).parent / "default.yaml").read_text(encoding="utf-8")


def rule_ids() -> frozenset[str]:
    """Return the ids of all built-in rules that findings can have."""
    path = Path(policy_package.__file__).parent / "rule_ids.txt"
    return frozenset(path.read_text(encoding="ascii").split())


def policy_text(file: str) -> str:
    """Return the text of a policy file; of the built-in policy for ``default`` or an empty name.

    Raises:
        SettingsError: the file cannot be read, is too large, or no text.
    """
    if file in ("", DEFAULT_POLICY):
        return default_policy_text()
    return _decoded(_read(Path(file).expanduser(), DOCUMENT_BYTES), file)


def read_policy(file: str) -> Policy:
    """Return the policy of a file, or the built-in one for ``default`` or an empty name.

    Raises:
        SettingsError: the file, or an OpenVEX document that it names, is missing or wrong.
    """
    document = parse_document(policy_text(file), file or DEFAULT_POLICY)
    return Policy(document, read_vex(document, Path(file).expanduser().parent))


def read_vex(document: Document, directory: Path) -> list[Statement]:
    """Return the statements of the OpenVEX documents that a policy names, from its directory; raises SettingsError."""
    statements: list[Statement] = []
    for named in document.vex:
        path = directory / Path(named.file).expanduser()
        statements += parse_vex(_read(path, VEX_BYTES), named.file, named.author)
    return statements


def stamp_of(file: str, policy: Policy) -> tuple[object, ...]:
    """Return what changes when a policy's file does, or an OpenVEX document that it names."""
    if file in ("", DEFAULT_POLICY):
        return ()
    path = Path(file).expanduser()
    named = (path.parent / Path(one.file).expanduser() for one in policy.document.vex)
    return tuple(map(_stamp, (path, *named)))


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _read(path: Path, most_bytes: int) -> bytes:
    try:
        with path.open("rb") as stream:
            raw = stream.read(most_bytes + 1)
    except OSError as error:
        raise SettingsError(str(path), error.strerror or "cannot be read") from error
    if len(raw) > most_bytes:
        raise SettingsError(str(path), f"longer than {most_bytes:,} bytes")
    return raw


def _decoded(raw: bytes, where: str) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise SettingsError(f"{where}:{line}", "not UTF-8") from None
