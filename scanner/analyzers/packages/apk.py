"""What apk installed, with the source (``origin``) that Alpine's and Wolfi's advisories are about.

A virtual package (``.build-deps`` of ``apk add --virtual``) is given as ``apk info -v`` lists it, so that the
two lists agree; the leading dot tells it apart, and it has no source package for advisories to name.

Source: https://wiki.alpinelinux.org/wiki/Apk_spec
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from scanner.errors import MalformedFileError
from scanner.model import FileIssue, OwnedFiles, Package
from scanner.ports import FileAnalyzer, Interest, LayerFile, Output

_NAME: Final = "alpine/apk-installed"
_DATABASES: Final = frozenset({"lib/apk/db/installed", "usr/lib/apk/db/installed"})
_WANTED: Final = frozenset({"P:", "V:", "A:", "L:", "o:"})


def parse(file: LayerFile) -> Iterator[Output]:
    """Yield each installed package and the files it owns, in file order.

    Raises:
        MalformedFileError: not empty, yet without a single record that names a package.
    """
    if file.path not in _DATABASES:
        reason = "package database of a root file system inside the image"
        yield FileIssue(path=file.path, reason=reason, code="skipped", analyzer=_NAME)
        return
    text = file.data[:].decode("utf-8", "replace")
    seen_count = broken_count = 0
    for record in text.split("\n\n"):
        fields, paths = _read_record(record)
        if fields.get("P:") and fields.get("V:"):
            seen_count += 1
            yield _package(fields, file.path)
            yield OwnedFiles(package=fields["P:"], path=file.path, paths="\n".join(paths))
        else:
            broken_count += bool(record.strip())
    if broken_count and not seen_count:
        raise MalformedFileError(file.path, "no record names a package")
    if broken_count:
        reason = f"{broken_count} records without P (name) or V (version)"
        yield FileIssue(path=file.path, reason=reason, code=MalformedFileError.code, analyzer=_NAME)


def _read_record(record: str) -> tuple[dict[str, str], list[str]]:
    """Return the wanted fields by ``K:`` and the paths from F (directory) and R (file in it) lines."""
    fields: dict[str, str] = {}
    paths: list[str] = []
    directory = ""
    for line in record.split("\n"):
        key = line[:2]
        if key == "R:":
            paths.append(directory + line[2:])
        elif key == "F:":
            directory = f"{line[2:]}/" if len(line) > len(key) else ""
        elif key in _WANTED:
            fields[key] = line[2:].strip()
    return fields, paths


def _package(fields: dict[str, str], path: str) -> Package:
    name, version = fields["P:"], fields["V:"]
    architecture, license_ = fields.get("A:", ""), fields.get("L:", "")
    source = fields.get("o:", "") or ("" if name.startswith(".") else name)
    return Package(
        purl_type="apk",
        name=name,
        version=version,
        path=path,
        qualifiers={"arch": architecture} if architecture else {},
        source_name=source,
        source_version=version if source else "",
        licenses=(license_,) if license_ else (),
        from_distribution=True,
    )


ANALYZERS: Final = (
    FileAnalyzer(
        name=_NAME,
        version=1,
        interest=Interest(globs=("**/apk/db/installed",)),
        parse=parse,
        summary="packages installed by apk, and their files",
        purl_types=("apk",),
    ),
)
