"""Package URLs: text in, parts out. :func:`scanner.model.package.format_purl` writes them.

Source: https://github.com/package-url/purl-spec
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple
from urllib.parse import unquote

from scanner.errors import InvalidReferenceError

_TYPE: Final = re.compile(r"[a-z][a-z0-9.+-]{0,63}\Z")
_LENGTH: Final = 1_024
_LOWER: Final = frozenset(
    {"deb", "apk", "pypi", "golang", "composer", "hex", "github", "bitbucket"}
)


class Purl(NamedTuple):
    """The parts by which a package is known; qualifiers and subpath are left out."""

    purl_type: str
    namespace: str
    name: str
    version: str


def parse_purl(text: str) -> Purl:
    """Return the parts of ``pkg:type/namespace/name@version``, names spelt as reports spell them.

    Raises:
        InvalidReferenceError: it has another form.
    """
    if len(text) > _LENGTH or not text.startswith("pkg:"):
        raise InvalidReferenceError(text[:160], "not a package URL: pkg:type/namespace/name")
    path = text[4:].partition("#")[0].partition("?")[0].strip("/")
    purl_type, slash, rest = path.partition("/")
    purl_type = purl_type.lower()
    named, version = _split_version(rest)
    segments = [unquote(one) for one in named.split("/") if one]
    if not slash or not _TYPE.match(purl_type) or not segments:
        raise InvalidReferenceError(text[:160], "not a package URL: pkg:type/namespace/name")
    if purl_type in _LOWER:
        segments = [one.lower() for one in segments]
    if purl_type == "golang":  # a module's path is its name
        return Purl(purl_type, "", "/".join(segments), version)
    *namespace, name = segments
    if purl_type == "pypi":
        name = name.replace("_", "-")
    return Purl(purl_type, "/".join(namespace), name, version)


def _split_version(rest: str) -> tuple[str, str]:
    """Split at the last ``@`` behind the last slash; a scope that is not encoded keeps its own."""
    head, slash, last = rest.rpartition("/")
    name, at, version = last.rpartition("@")
    if not at or not name:
        return rest, ""
    return f"{head}{slash}{name}", unquote(version)
