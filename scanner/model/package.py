"""Packages and the distribution, in one shape for every ecosystem."""

from __future__ import annotations

from urllib.parse import quote

import msgspec


class Distribution(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The distribution of an image as its own files name it."""

    id: str
    """``ID`` of os-release, lower case: ``debian``, ``alpine``, ``rhel`` …"""
    version: str = ""
    """``VERSION_ID``, or what stands in for it (Debian testing: empty; see ``codename``)."""
    codename: str = ""
    point_release: str = ""
    """Finer than ``version``, from the distribution's release file (Debian 12.5, CentOS 7.9.2009)."""
    name: str = ""
    """``PRETTY_NAME``."""
    id_like: tuple[str, ...] = ()
    path: str = ""
    """The file that said so."""
    notes: tuple[str, ...] = ()
    """Contradictions and fallbacks worth telling."""


class Package(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One installed or bundled package.

    Source: https://github.com/package-url/purl-spec
    """

    purl_type: str
    name: str
    version: str
    path: str
    """The file that proves it (``var/lib/dpkg/status``, ``app.jar!/BOOT-INF/lib/x.jar``)."""
    namespace: str = ""
    """purl namespace; for packages of the distribution the pipeline fills it with its id."""
    qualifiers: dict[str, str] = {}
    source_name: str = ""
    """Source package, where the distribution's advisories are about those."""
    source_version: str = ""
    licenses: tuple[str, ...] = ()
    from_distribution: bool = False
    """Installed by the distribution's own package manager (deb, rpm, apk)."""
    declared: bool = False
    """Named by a lock file or manifest only; nothing proves that it is installed."""
    owner: str = ""
    """purl of the distribution package that owns ``path`` (filled when layers are merged)."""
    layer: str = ""
    layer_index: int | None = None

    @property
    def purl(self) -> str:
        """The canonical package URL."""
        return format_purl(self)


def _segment(text: str) -> str:
    return quote(text, safe="-._~:")


def format_purl(package: Package) -> str:
    """Return ``pkg:type/namespace/name@version?qualifiers`` with canonical encoding."""
    parts = [f"pkg:{package.purl_type}"]
    if package.namespace:
        parts.append("/".join(_segment(s) for s in package.namespace.split("/") if s))
    if package.purl_type == "golang":
        parts.append("/".join(_segment(s) for s in package.name.split("/")))
    else:
        parts.append(_segment(package.name))
    text = "/".join(parts)
    if package.version:
        text += "@" + _segment(package.version)
    wanted = sorted((k.lower(), v) for k, v in package.qualifiers.items() if v)
    if wanted:
        text += "?" + "&".join(f"{k}={quote(v, safe='-._~:/')}" for k, v in wanted)
    return text
