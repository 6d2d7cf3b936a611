"""Cargo.lock: exact crate versions chosen by Cargo.

Source: https://doc.rust-lang.org/cargo/guide/cargo-toml-vs-cargo-lock.html
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from scanner.analyzers._locks import tables
from scanner.analyzers._read import read_toml, text
from scanner.model import Package
from scanner.ports import FileAnalyzer, Interest, LayerFile


def parse(file: LayerFile) -> Iterator[Package]:
    """Yield one package per ``[[package]]`` table, in file order, the workspace's own included.

    Raises:
        MalformedFileError: not TOML, or a table without string name and version.
    """
    for crate in tables(read_toml(file), "package", path=file.path):
        yield Package(
            purl_type="cargo",
            name=text(crate, "name", path=file.path),
            version=text(crate, "version", path=file.path),
            path=file.path,
            declared=True,
        )


ANALYZERS: Final = (
    FileAnalyzer(
        name="rust/cargo-lock",
        version=1,
        interest=Interest(globs=("**/Cargo.lock",)),
        parse=parse,
        max_file_bytes=8 * 1024 * 1024,
        summary="crates named by Cargo.lock",
        purl_types=("cargo",),
    ),
)
