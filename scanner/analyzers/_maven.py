"""What Maven files, manifests and file names say about the artifact in a Java archive.

Source: https://maven.apache.org/pom.html#Maven_Coordinates
Source: https://docs.oracle.com/en/java/javase/21/docs/specs/jar/jar.html#jar-manifest
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from scanner.errors import MalformedFileError

_FILE_NAME: Final = re.compile(
    r"(?P<name>.+?)-(?P<version>\d[\w.+-]*?)"
    r"(?:-(?P<classifier>sources|javadoc|tests|test-sources|shaded|all|no_aop|jakarta|android"
    r"|jar-with-dependencies|(?:linux|osx|windows)-[\w-]+))?\Z"
)
_FILE_NAME_CHARACTERS: Final = 255
_DIRECTORY: Final = re.compile(r"META-INF/maven/([^/]+)/([^/]+)/[^/]+\Z")
_IDENTIFIER: Final = re.compile(r"[A-Za-z0-9][\w.-]*\Z")
_GROUP: Final = re.compile(r"[A-Za-z][\w-]*(?:\.[\w-]+)+\Z")
_VERSION: Final = re.compile(r"v?\d[\w.+-]*\Z")
_TITLES: Final = ("implementation-title", "bundle-symbolicname", "automatic-module-name")
_COORDINATES: Final = frozenset({"groupId", "artifactId", "version"})
_XML_DEPTH: Final = 200


class Artifact(NamedTuple):
    """Maven coordinates; what is not known is empty."""

    group: str
    name: str
    version: str
    classifier: str = ""


def _text(body: bytes) -> str:
    return body.decode("utf-8", "replace").removeprefix("\ufeff")


def _resolved(value: str) -> str:
    """Return a value that is not a placeholder still to be filled in by a build."""
    return "" if "${" in value or "@" in value else value


def _artifact(values: Mapping[str, str], path: str) -> Artifact:
    """Return coordinates, with group and name from the directory (``…/maven/group/name/…``) if need be."""
    directory = _DIRECTORY.search(path)
    group, name = directory.groups() if directory else ("", "")
    found = Artifact(
        _resolved(values.get("groupId", "")) or group,
        _resolved(values.get("artifactId", "")) or name,
        _resolved(values.get("version", "")),
    )
    if not found.name:
        raise MalformedFileError(path, "no artifactId")
    return found


def read_properties(body: bytes, path: str) -> Artifact:
    """Return the artifact of a ``pom.properties``.

    Raises:
        MalformedFileError: neither the file nor its directory names an artifact.
    """
    values: dict[str, str] = {}
    for line in _text(body).splitlines():
        key, found, value = line.partition("=")
        if found and not key.lstrip().startswith(("#", "!")):
            values.setdefault(key.strip(), value.strip())
    return _artifact(values, path)


class _Coordinates:
    """Collects ``project/x`` and ``project/parent/x`` from expat's events."""

    def __init__(self, path: str) -> None:
        self.own: dict[str, str] = {}
        self.parent: dict[str, str] = {}
        self._path = path
        self._open: list[str] = []

    def start(self, name: str, _: object) -> None:
        if len(self._open) >= _XML_DEPTH:
            raise MalformedFileError(self._path, "nested too deep")
        self._open.append(name.rpartition(":")[2])

    def end(self, _: str) -> None:
        self._open.pop()

    def text(self, text: str) -> None:
        *above, last = self._open
        if last not in _COORDINATES:
            return
        if above == ["project"]:
            self.own[last] = self.own.get(last, "") + text
        elif above == ["project", "parent"]:
            self.parent[last] = self.parent.get(last, "") + text

    def refuse(self, *_: object) -> None:
        raise MalformedFileError(
            self._path, "a document type, which may define entities without end"
        )


def read_pom(body: bytes, path: str) -> Artifact:
    """Return the artifact of a ``pom.xml``; group and version are the parent's where it has none.

    Raises:
        MalformedFileError: not XML, with a document type, nested too deep, or without artifact.
    """
    from xml.parsers import expat  # noqa: PLC0415 - rarely needed

    seen = _Coordinates(path)
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = seen.start
    parser.EndElementHandler = seen.end
    parser.CharacterDataHandler = seen.text
    parser.StartDoctypeDeclHandler = seen.refuse
    try:
        parser.Parse(body, True)  # noqa: FBT003 - expat takes it by position only
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise MalformedFileError(path, f"not XML: {error}"[:200]) from error
    own = {k: v.strip() for k, v in seen.own.items()}
    parent = {k: v.strip() for k, v in seen.parent.items() if k != "artifactId"}
    return _artifact(parent | {k: v for k, v in own.items() if _resolved(v)}, path)


def read_manifest(body: bytes) -> dict[str, str]:
    """Return the main section's headers by lower-case name, continuation lines joined."""
    section = re.split(
        r"\n\s*\n", _text(body).replace("\r\n", "\n").replace("\r", "\n").lstrip(), maxsplit=1
    )[0]
    headers: dict[str, str] = {}
    for line in section.replace("\n ", "").split("\n"):
        key, found, value = line.partition(":")
        if found:
            headers.setdefault(key.strip().lower(), value.strip())
    return headers


def _stem(file_name: str) -> str:
    return file_name.rpartition(".")[0]


def _name_parts(stem: str) -> re.Match[str] | None:
    return _FILE_NAME.match(stem) if len(stem) <= _FILE_NAME_CHARACTERS else None


def has_versioned_name(file_name: str) -> bool:
    """Whether a file is called ``name-version.ext``."""
    return _name_parts(_stem(file_name)) is not None


def is_own(artifact: Artifact, file_name: str) -> bool:
    """Whether a file is called as this artifact would be (``name.jar``, ``name-1.0.jar``)."""
    stem = _stem(file_name)
    return stem == artifact.name or stem.startswith(f"{artifact.name}-{artifact.version}")


def named_artifact(file_name: str, manifest: Mapping[str, str]) -> Artifact:
    """Return the best guess from file name and manifest headers.

    Maven and Gradle name files after artifacts, titles are for people and OSGi rewrites versions: so
    the file's name comes first for the name, and before the bundle's version.
    """
    stem = _stem(file_name)
    parts = _name_parts(stem)
    titles = (_resolved(manifest.get(key, "").partition(";")[0].strip()) for key in _TITLES)
    title = next((t for t in titles if _IDENTIFIER.match(t)), "")
    by_name = parts["version"] if parts else ""
    versions = (
        # "1.77" is the artifact's, whatever a manifest makes of it ("1.77.00.0"); "2" may be an API's.
        by_name if "." in by_name else "",
        manifest.get("implementation-version", ""),
        by_name,
        manifest.get("bundle-version", ""),
        manifest.get("specification-version", ""),
    )
    vendor = manifest.get("implementation-vendor-id", "")
    return Artifact(
        vendor if _GROUP.match(vendor) else "",
        (parts["name"] if parts else "") or title or stem,
        next((v for v in versions if _VERSION.match(v)), ""),
        (parts["classifier"] or "") if parts else "",
    )
