"""The list of packages that Azure Linux's distroless images carry instead of rpm's database.

Source: https://github.com/microsoft/azurelinux/blob/3.0/toolkit/tools/imagegen/installutils/installutils.go
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from scanner.analyzers._rpm_header import RpmHeader
from scanner.errors import MalformedFileError

_FIELDS_COUNT: Final = 10
_EPOCH_DIGITS: Final = 10


def read_manifest(data: bytes, path: str) -> Iterator[RpmHeader | MalformedFileError]:
    """Yield a header for each line, or the error where a line is no package.

    Tab-separated: name, version-release, install time, build time, vendor, epoch or ``(none)``, size,
    architecture, epoch as a number, source rpm.
    """
    for line in data.decode("utf-8", "replace").splitlines():
        fields = line.split("\t")
        if len(fields) >= _FIELDS_COUNT and fields[0] and fields[1]:
            yield _header(fields)
        elif line.strip():
            yield MalformedFileError(path, "a line that is no package")


def _header(fields: list[str]) -> RpmHeader:
    version, _, release = fields[1].partition("-")
    epoch = fields[5][:_EPOCH_DIGITS]
    return RpmHeader(
        name=fields[0],
        version=version,
        release=release,
        epoch=int(epoch) if epoch.isascii() and epoch.isdecimal() else None,
        architecture=fields[7],
        source_rpm="" if fields[9] == "(none)" else fields[9],
        license="",
        modularity="",
        paths=(),
    )
