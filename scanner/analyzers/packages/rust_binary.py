"""Rust binaries built with ``cargo auditable``: the crates compiled in. Build-time crates are left out.

Source: https://github.com/rust-secure-code/cargo-auditable/blob/master/PARSING.md
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from typing import Any, Final

from scanner.analyzers import _executable
from scanner.analyzers._read import optional_text, table, text
from scanner.errors import LimitExceededError, MalformedFileError
from scanner.model import Package
from scanner.ports import FileAnalyzer, Interest, LayerFile

AUDIT_BYTES: Final = 8 * 1024 * 1024
_SECTION: Final = ".dep-v0"


def _inflate(data: bytes, path: str) -> bytes:
    """Return the zlib stream at the start of ``data`` (linkers may pad the section).

    Raises:
        LimitExceededError: more than ``AUDIT_BYTES`` come out.
        MalformedFileError: not zlib, or cut off.
    """
    inflater = zlib.decompressobj()
    try:
        plain = inflater.decompress(data, AUDIT_BYTES + 1)
    except zlib.error as error:
        raise MalformedFileError(path, f"section {_SECTION}: {error}") from error
    if len(plain) > AUDIT_BYTES:
        raise LimitExceededError("rust_audit_bytes", AUDIT_BYTES, len(plain), setting=False)
    if not inflater.eof:
        raise MalformedFileError(path, f"section {_SECTION} is cut off")
    return plain


def _crates(plain: bytes, path: str) -> list[Any]:
    try:
        document = table(json.loads(plain), path=path, what=_SECTION)
    except RecursionError as error:
        raise MalformedFileError(path, f"section {_SECTION}: nested too deep") from error
    except ValueError as error:
        raise MalformedFileError(path, f"section {_SECTION}: not JSON") from error
    crates = document.get("packages")
    if not isinstance(crates, list):
        raise MalformedFileError(path, f"section {_SECTION}: packages: expected a list")
    return crates


def parse(file: LayerFile) -> Iterator[Package]:
    """Yield the crates at run time, the program itself included, in the order of the section.

    Raises:
        MalformedFileError: headers beyond the file, or a section that is not compressed audit JSON.
        LimitExceededError: the section inflates to more than ``AUDIT_BYTES``.
    """
    section = _executable.find_section(file.data, _SECTION, file.path)
    if section is None:
        return
    compressed = file.data[section.offset : section.offset + section.size]
    for one in _crates(_inflate(compressed, file.path), file.path):
        crate = table(one, path=file.path, what="crate")
        if optional_text(crate, "kind") == "build":
            continue
        yield Package(
            purl_type="cargo",
            name=text(crate, "name", path=file.path),
            version=text(crate, "version", path=file.path),
            path=file.path,
        )


ANALYZERS: Final = (
    FileAnalyzer(
        name="rust/binary",
        version=1,
        interest=Interest(magics=_executable.MAGICS),
        parse=parse,
        max_file_bytes=1024**3,
        summary="crates of Rust executables built with cargo auditable",
        purl_types=("cargo",),
    ),
)
