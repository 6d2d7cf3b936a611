"""Pinned lines of pip's requirements files; ranges, URLs and options are not versions.

Source: https://pip.pypa.io/en/stable/reference/requirements-file-format/
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from scanner.model import Package
from scanner.ports import FileAnalyzer, Interest, LayerFile

_CONTINUED: Final = re.compile(r"\\\r?\n")
_PIN: Final = re.compile(
    r"[ \t]*([A-Za-z0-9][\w.-]*)[ \t]*(?:\[[^\]\n]*\])?[ \t]*\(?===?[ \t]*([A-Za-z0-9][\w.!+-]*)\)?"
    r"(?=[ \t\r]*(?:\Z|;|#|--))"
)


def parse(file: LayerFile) -> Iterator[Package]:
    """Yield one package per line that pins exactly one version, in file order."""
    text = file.data[:].decode("utf-8-sig", "replace")
    for line in _CONTINUED.sub(" ", text).split("\n"):
        pin = _PIN.match(line)
        if pin:
            yield Package(
                purl_type="pypi",
                name=pin[1].lower().replace("_", "-"),
                version=pin[2],
                path=file.path,
                declared=True,
            )


ANALYZERS: Final = (
    FileAnalyzer(
        name="python/requirements",
        version=1,
        interest=Interest(globs=("**/requirements*.txt", "**/requirements/*.txt")),
        parse=parse,
        max_file_bytes=16 * 1024 * 1024,
        summary="Python distributions pinned by requirements files",
        purl_types=("pypi",),
    ),
)
