"""Java runtimes: the ``release`` file in the home of every JDK and JRE since 7.

All builds of one version share their source, so the package is ``pkg:generic/openjdk``, or
``pkg:generic/graalvm`` beside it where the file names one; the builder is in no purl.

Source: https://openjdk.org/jeps/223
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from scanner.model import Package
from scanner.ports import FileAnalyzer, Interest, LayerFile

_FIELD: Final = re.compile(r'^(JAVA_VERSION|GRAALVM_VERSION)="?([\w.+-]+)"?[ \t\r]*$', re.MULTILINE)
_NAMES: Final = {"JAVA_VERSION": "openjdk", "GRAALVM_VERSION": "graalvm"}


def parse(file: LayerFile) -> Iterator[Package]:
    """Yield the runtime; nothing for the many other files that are called ``release``."""
    if file.data.find(b"JAVA_VERSION=") < 0:
        return
    for key, version in _FIELD.findall(file.data[:].decode("utf-8", "replace")):
        yield Package(purl_type="generic", name=_NAMES[key], version=version, path=file.path)


ANALYZERS: Final = (
    FileAnalyzer(
        name="java/runtime",
        version=1,
        interest=Interest(globs=("**/release",)),
        parse=parse,
        max_file_bytes=16 * 1024 * 1024,
        summary="Java runtimes by the release file in their home",
        purl_types=("generic",),
    ),
)
