"""Java archives: Maven artifacts of JAR, WAR, EAR and their kin, archives inside archives included.

What an archive is called comes from, in this order: every ``pom.properties`` (a shaded archive has many), a
``pom.xml`` beside which there is none, the manifest together with the file's name. An artifact inside
another archive has a path like ``app.jar!/BOOT-INF/lib/x.jar``.

Source: https://maven.apache.org/shared/maven-archiver/index.html
Source: https://docs.oracle.com/en/java/javase/21/docs/specs/jar/jar.html
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from scanner.analyzers._elf import Bytes
from scanner.analyzers._maven import (
    Artifact,
    has_versioned_name,
    is_own,
    named_artifact,
    read_manifest,
    read_pom,
    read_properties,
)
from scanner.analyzers._zip import Budget, Member, members, read_member
from scanner.errors import InputError, LimitExceededError, MalformedFileError
from scanner.model import Package
from scanner.model.report import FileIssue
from scanner.ports import FileAnalyzer, Interest, LayerFile

NAME: Final = "java/archive"
SUFFIXES: Final = ("jar", "war", "ear", "par", "sar", "lpkg", "hpi", "jpi", "nar", "kar", "rar")
ARCHIVE_DEPTH: Final = 5
"""Archives inside archives; the outermost is at depth 0."""
NESTED_BYTES: Final = 64 * 1024 * 1024
"""One archive inside another; it is read into memory."""
HELD_BYTES: Final = 128 * 1024 * 1024
"""All archives, one inside the other, that are in memory at once."""
TEXT_BYTES: Final = 4 * 1024 * 1024
"""One manifest, pom.properties or pom.xml."""
_ENDINGS: Final = tuple(f".{s}" for s in SUFFIXES)
_SHARED_ENDINGS: Final = (".par", ".sar", ".nar", ".kar", ".rar")
"""Other formats have these too, so what does not begin as a ZIP archive is none of ours."""
MEMBERS_COUNT: Final = 20_000
"""Maven files and archives inside one archive."""
_MANIFEST: Final = "META-INF/MANIFEST.MF"
_POM_ENDINGS: Final = ("/pom.properties", "/pom.xml")
_MAVEN: Final = "META-INF/maven/"


class _Place(NamedTuple):
    path: str
    depth: int
    held_bytes: int
    """What is in memory of the archives around this one, itself included."""


def _wanted(found: Iterable[Member]) -> tuple[Member | None, dict[str, Member], list[Member]]:
    """Return the manifest, the Maven files by path, and the archives inside; duplicates: the first counts."""
    manifest: Member | None = None
    maven: dict[str, Member] = {}
    nested: dict[str, Member] = {}
    for member in found:
        if member.name.lower().endswith(_ENDINGS):
            nested.setdefault(member.name, member)
        elif member.name.endswith(_POM_ENDINGS) and _MAVEN in member.name:
            maven.setdefault(member.name, member)
        elif manifest is None and member.name.upper() == _MANIFEST:
            manifest = member
        if len(maven) + len(nested) > MEMBERS_COUNT:
            raise LimitExceededError(
                "archive_members_count", MEMBERS_COUNT, MEMBERS_COUNT + 1, setting=False
            )
    return manifest, maven, list(nested.values())


def _issue(path: str, error: InputError) -> FileIssue:
    reason = error.reason if isinstance(error, MalformedFileError) else str(error)
    return FileIssue(path=path, reason=reason, code=error.code, analyzer=NAME)


def _headers(
    data: Bytes, manifest: Member | None, path: str, budget: Budget
) -> dict[str, str] | FileIssue:
    if manifest is None:
        return {}
    inner = f"{path}!/{manifest.name}"
    try:
        return read_manifest(read_member(data, manifest, inner, budget, member_bytes=TEXT_BYTES))
    except InputError as error:
        return _issue(inner, error)


def _maven_artifacts(
    data: Bytes, maven: dict[str, Member], path: str, budget: Budget
) -> Iterator[Artifact | FileIssue]:
    """Yield an artifact per Maven directory; ``pom.xml`` counts only where no properties lie beside it."""
    for name, member in maven.items():
        directory, _, base = name.rpartition("/")
        if base == "pom.xml" and f"{directory}/pom.properties" in maven:
            continue
        inner = f"{path}!/{name}"
        read = read_pom if base == "pom.xml" else read_properties
        try:
            yield read(read_member(data, member, inner, budget, member_bytes=TEXT_BYTES), inner)
        except InputError as error:
            yield _issue(inner, error)
            if budget.is_spent:
                return


def _package(artifact: Artifact, path: str) -> Package:
    return Package(
        purl_type="maven",
        namespace=artifact.group,
        name=artifact.name,
        version=artifact.version,
        path=path,
        qualifiers={"classifier": artifact.classifier} if artifact.classifier else {},
    )


def _identify(own: list[Artifact], headers: dict[str, str], path: str) -> list[Artifact]:
    """Return the Maven artifacts, and what manifest and file name say where those do not name the archive.

    A shaded archive under a bare name of its own (``app.jar``) is what its Maven files say.
    """
    file_name = path.rpartition("/")[2]
    named = named_artifact(file_name, headers)
    completed = [
        one._replace(version=named.version)
        if not one.version and (len(own) == 1 or is_own(one, file_name))
        else one
        for one in own
    ]
    is_said = any(one.name == named.name or is_own(one, file_name) for one in own)
    if own and (is_said or not has_versioned_name(file_name)):
        return completed
    if not named.version and not file_name.endswith(".jar"):
        return completed  # the application's own packaging (shop.ear), which is nobody's artifact
    return [*completed, named]


def _nested(
    data: Bytes, inside: list[Member], place: _Place, budget: Budget
) -> Iterator[Package | FileIssue]:
    """Yield from each archive inside; a broken one is an issue, the others are read on."""
    allowed_bytes = min(NESTED_BYTES, HELD_BYTES - place.held_bytes)
    for member in inside:
        inner = f"{place.path}!/{member.name}"
        try:
            if place.depth >= ARCHIVE_DEPTH:
                raise LimitExceededError(
                    "archive_depth", ARCHIVE_DEPTH, place.depth + 1, setting=False
                )
            budget.take("archives_count", 1)
            body = read_member(data, member, inner, budget, member_bytes=allowed_bytes)
            deeper = _Place(inner, place.depth + 1, place.held_bytes + len(body))
            yield from _archive(body, deeper, budget)
        except InputError as error:
            yield _issue(inner, error)
            if budget.is_spent:
                return


def _archive(data: Bytes, place: _Place, budget: Budget) -> Iterator[Package | FileIssue]:
    path = place.path
    manifest, maven, inside = _wanted(members(data, path, budget))
    headers = _headers(data, manifest, path, budget)
    own: dict[Artifact, None] = {}
    for found in _maven_artifacts(data, maven, path, budget):
        if isinstance(found, FileIssue):
            yield found
        else:
            own[found] = None
    if isinstance(headers, FileIssue):
        yield headers
        headers = {}
    for artifact in _identify(list(own), headers, path):
        yield _package(artifact, path)
    yield from _nested(data, inside, place, budget)


def parse(file: LayerFile) -> Iterator[Package | FileIssue]:
    """Yield artifacts, outer archives before inner ones; an issue for each part that could not be read.

    Raises:
        MalformedFileError: the outermost archive is not ZIP, or its directory is broken.
        LimitExceededError: the outermost archive alone has more entries, or more of the kinds read here, than allowed.
    """
    if file.path.endswith(_SHARED_ENDINGS) and file.data[:2] != b"PK":
        return
    yield from _archive(file.data, _Place(file.path, 0, 0), Budget())


ANALYZERS: Final = (
    FileAnalyzer(
        name=NAME,
        version=1,
        interest=Interest(globs=tuple(f"**/*.{s}" for s in SUFFIXES)),
        parse=parse,
        max_file_bytes=1024**3,
        summary="Maven artifacts in Java archives, also nested and shaded ones",
        purl_types=("maven",),
    ),
)
