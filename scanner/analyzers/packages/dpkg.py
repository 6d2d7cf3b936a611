"""What dpkg (and opkg) installed, and which files belong to it.

Distroless images have one stanza a file in ``status.d`` instead of one ``status``. Advisories are about
source packages, so those are given too. Stanzas that dpkg could not use are counted and reported.

Source: https://manpages.debian.org/bookworm/dpkg-dev/deb-control.5.en.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from scanner.errors import MalformedFileError
from scanner.model import FileIssue, OwnedFiles, Package
from scanner.ports import FileAnalyzer, Interest, LayerFile, Output

_NAME: Final = "debian/dpkg-status"
_STATUS: Final = frozenset({"var/lib/dpkg/status", "usr/lib/opkg/status"})
_STATUS_D: Final = "var/lib/dpkg/status.d/"
_WANTED: Final = frozenset({"package", "status", "architecture", "version", "source"})
_ABSENT_STATES: Final = frozenset({"not-installed", "config-files"})
"""All other states, half-installed and unpacked among them, have files in the image."""


def parse_status(file: LayerFile) -> Iterator[Output]:
    """Yield the packages of a status file that are present, in file order; of equal ones the last.

    Raises:
        MalformedFileError: not empty, yet without a single stanza that names a package.
    """
    if file.path.endswith(".md5sums"):
        return
    if file.path not in _STATUS and not file.path.startswith(_STATUS_D):
        reason = "package database of a root file system inside the image"
        yield FileIssue(path=file.path, reason=reason, code="skipped", analyzer=_NAME)
        return
    text = file.data[:].decode("utf-8", "replace").removeprefix("\ufeff").replace("\r\n", "\n")
    present: dict[tuple[str, str], Package] = {}
    seen_count = broken_count = 0
    for stanza in text.split("\n\n"):
        fields = _read_fields(stanza)
        if fields is None or not fields.get("package"):
            broken_count += bool(stanza.strip())
            continue
        seen_count += 1
        if _is_absent(fields):
            continue
        if not fields.get("version"):
            broken_count += 1
            continue
        package = _package(fields, file.path)
        present[package.name, fields.get("architecture", "")] = package
    if broken_count and not seen_count:
        raise MalformedFileError(file.path, "no stanza names a package")
    yield from present.values()
    if broken_count:
        reason = f"{broken_count} stanzas without Package or Version, or with one of them twice"
        yield FileIssue(path=file.path, reason=reason, code=MalformedFileError.code, analyzer=_NAME)


def _read_fields(stanza: str) -> dict[str, str] | None:
    """Return the wanted fields by lower-case name; None where one occurs twice (dpkg refuses that)."""
    fields: dict[str, str] = {}
    for line in stanza.split("\n"):
        if line[:1] in {" ", "\t", ""}:
            continue
        key, _, value = line.partition(":")
        name = key.lower()
        if name not in _WANTED:
            continue
        if name in fields:
            return None
        fields[name] = value.strip()
    return fields


def _is_absent(fields: Mapping[str, str]) -> bool:
    words = fields.get("status", "").split()
    return len(words) > 2 and words[2] in _ABSENT_STATES  # noqa: PLR2004 - want, flag, state


def _package(fields: Mapping[str, str], path: str) -> Package:
    name, version = fields["package"], fields["version"]
    architecture = fields.get("architecture", "")
    source, _, source_version = fields.get("source", "").partition("(")
    return Package(
        purl_type="deb",
        name=name,
        version=version,
        path=path,
        qualifiers={"arch": architecture} if architecture else {},
        source_name=source.strip() or name,
        source_version=source_version.rstrip(") ").strip() or version,
        from_distribution=True,
    )


def parse_files(file: LayerFile) -> Iterator[Output]:
    """Yield the paths that one package owns, directories included.

    Read from ``info/NAME[:ARCH].list`` (a path a line) or distroless ``status.d/NAME.md5sums``.
    """
    base, _, suffix = file.path.rpartition("/")[2].rpartition(".")
    text = file.data[:].decode("utf-8", "replace")
    if suffix == "md5sums":
        paths = "\n".join(line.partition("  ")[2].removeprefix("./") for line in text.splitlines())
    else:
        # one replace over the whole text: an image has hundreds of lists, some of 10,000 lines
        paths = f"\n{text}".replace("\n/", "\n").removeprefix("\n").removeprefix(".\n")
    yield OwnedFiles(package=base.partition(":")[0], path=file.path, paths=paths.strip("\n"))


ANALYZERS: Final = (
    FileAnalyzer(
        name=_NAME,
        version=1,
        interest=Interest(
            globs=("**/var/lib/dpkg/status", "var/lib/dpkg/status.d/*", "**/usr/lib/opkg/status")
        ),
        parse=parse_status,
        summary="packages installed by dpkg or opkg",
        purl_types=("deb",),
    ),
    FileAnalyzer(
        name="debian/dpkg-files",
        version=1,
        interest=Interest(
            globs=(
                "var/lib/dpkg/info/*.list",
                "var/lib/dpkg/status.d/*.md5sums",
                "usr/lib/opkg/info/*.list",
            )
        ),
        parse=parse_files,
        summary="files owned by packages of dpkg or opkg",
    ),
)
