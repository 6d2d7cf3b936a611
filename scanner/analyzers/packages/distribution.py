"""Which distribution an image is, by its own files, checked against its package databases.

``etc/os-release`` decides, then ``usr/lib/os-release``, then the older release files. A derivative keeps
its own id. What contradicts is noted, never resolved by guessing; packages of a distribution that
nothing names are reported as an issue, since advisories cannot be found for them.

Source: https://www.freedesktop.org/software/systemd/man/latest/os-release.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from scanner.analyzers._release import distribution_from_line, read_assignments
from scanner.errors import UnsupportedError
from scanner.model import Distribution, FileIssue, Kept
from scanner.ports import FileAnalyzer, ImageAnalyzer, ImageView, Interest, LayerFile, Output

_KEY: Final = "os-release"
_NAME: Final = "os/distribution"
_RELEASE_BYTES: Final = 64 * 1024
_OS_RELEASE: Final = ("etc/os-release", "usr/lib/os-release")
_ONE_LINE: Final = (  # the specific ones first: redhat-release is often a copy made for old programs
    "etc/centos-release",
    "etc/rocky-release",
    "etc/almalinux-release",
    "etc/oracle-release",
    "etc/fedora-release",
    "etc/photon-release",
    "etc/mariner-release",
    "etc/azurelinux-release",
    "etc/system-release",
    "etc/redhat-release",
)
_LSB: Final = "etc/lsb-release"
_ALPINE: Final = "etc/alpine-release"
_DEBIAN: Final = "etc/debian_version"
_LINK_TARGETS: Final = tuple(
    "usr/lib/" + path.removeprefix("etc/") for path in (*_ONE_LINE, _LSB, _ALPINE)
)

_ID: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}\Z")
_READ_KEY: Final = re.compile(
    rb"\s*(?:\xef\xbb\xbf)?(?:ID|ID_LIKE|PRETTY_NAME|VERSION|VERSION_ID|(?:VERSION|UBUNTU)_CODENAME"
    rb"|DISTRIB_(?:ID|RELEASE|CODENAME|DESCRIPTION))="
)
_MAJOR: Final = re.compile(r"\d+")
_IN_PARENTHESES: Final = re.compile(r"\(([a-z][a-z -]*)\)")
_ALPINE_EDGE: Final = re.compile(r"_alpha|edge")

_ROLLING: Final = frozenset({"wolfi", "chainguard"})
"""VERSION_ID is a date that never changes."""
_FAMILIES: Final[Mapping[str, str]] = {
    **dict.fromkeys(("debian", "ubuntu"), "deb"),
    **dict.fromkeys(("alpine", "wolfi", "chainguard"), "apk"),
    **dict.fromkeys(("rhel", "centos", "fedora", "rocky", "almalinux", "ol", "amzn"), "rpm"),
    **dict.fromkeys(("sles", "sled", "suse", "opensuse", "opensuse-leap"), "rpm"),
    **dict.fromkeys(("opensuse-tumbleweed", "photon", "mariner", "azurelinux"), "rpm"),
}
"""Distributions with advisories of their own, and their kind of package."""


def keep(file: LayerFile) -> Iterator[Output]:
    """Yield what of the file is read later; only the merged image can say whether it is the one that counts."""
    lines = file.data[:].splitlines()
    kept = [n for n in lines if _READ_KEY.match(n) or not (b"=" in n or n.startswith(b"#"))]
    yield Kept(key=_KEY, path=file.path, data=b"\n".join(kept))


def inspect(view: ImageView) -> Iterator[Output]:
    """Yield the distribution, or an issue where packages belong to one that nothing names."""
    databases = _databases(view)
    found = _by_os_release(view) or _by_release_files(view)
    if found is not None:
        found = _with_point_release(found, view)
        notes = (*found.notes, *_contradictions(found, databases))
        yield msgspec.structs.replace(found, notes=notes)
        return
    for kind, path in sorted(databases.items()):
        reason = f"distribution not recognised: {kind} packages, but no file names a distribution"
        yield FileIssue(path=path, reason=reason, code=UnsupportedError.code, analyzer=_NAME)


def _databases(view: ImageView) -> dict[str, str]:
    """Return kind of package to the database that proves it."""
    proofs = {p.purl_type: p.path for p in view.packages if p.from_distribution}
    for database in view.kept("rpmdb"):
        proofs.setdefault("rpm", database.path)
    return proofs


def _text(view: ImageView, path: str) -> str:
    kept = view.kept_at(_KEY, path)
    return kept.data.decode("utf-8", "replace").lstrip("\ufeff").strip() if kept else ""


def _by_os_release(view: ImageView) -> Distribution | None:
    notes: list[str] = []
    for path in _OS_RELEASE:
        if not (text := _text(view, path)):
            continue
        values = read_assignments(text)
        id_ = values.get("ID", "").lower()
        if _ID.match(id_):
            return _from_values(id_, values, path, tuple(notes), view)
        notes.append(f"{path} has no valid ID")
    return None


def _from_values(
    id_: str, values: Mapping[str, str], path: str, notes: tuple[str, ...], view: ImageView
) -> Distribution:
    version, why = _version(id_, values.get("VERSION_ID", ""))
    if id_ == "debian" and not version:
        seen = _text(view, _DEBIAN)[:80] or "no debian_version either"
        why = f"no VERSION_ID: Debian testing or unstable ({seen})"
    likes = tuple(values.get("ID_LIKE", "").lower().split())
    if id_ not in _FAMILIES and likes:
        notes += (f"derivative of {' '.join(likes)}, whose advisories may not hold for it",)
    return Distribution(
        id=id_,
        version=version,
        codename=_codename(id_, values, view),
        name=values.get("PRETTY_NAME", ""),
        id_like=likes,
        path=path,
        notes=(*notes, why) if why else notes,
    )


def _version(id_: str, version: str) -> tuple[str, str]:
    """Return the version to use and a note where it is not VERSION_ID."""
    if id_ in _ROLLING:
        return (
            "",
            f"rolling release: VERSION_ID {version} ignored" if version else "rolling release",
        )
    if id_ == "alpine" and _ALPINE_EDGE.search(version):
        return "edge", f"VERSION_ID {version} is Alpine edge"
    return version, ""


def _codename(id_: str, values: Mapping[str, str], view: ImageView) -> str:
    """Return the release's code name; older Debian and Ubuntu give it in other places."""
    if named := values.get("VERSION_CODENAME", ""):
        return named
    if id_ == "ubuntu":
        lsb = read_assignments(_text(view, _LSB))
        return values.get("UBUNTU_CODENAME", "") or lsb.get("DISTRIB_CODENAME", "")
    if id_ != "debian":
        return ""
    if match := _IN_PARENTHESES.search(values.get("VERSION", "")):
        return match[1]
    return _debian_codename(_text(view, _DEBIAN))


def _debian_codename(text: str) -> str:
    """``trixie/sid`` is what both testing and unstable say."""
    return text.removesuffix("/sid") if text[:1].isalpha() else ""


def _by_release_files(view: ImageView) -> Distribution | None:
    """Return what the files from before os-release say; Ubuntu and Alpine before Debian's."""
    found = _by_lsb(view) or _by_alpine(view) or _by_one_line(view) or _by_debian(view)
    if found is None:
        return None
    note = f"no usable os-release; recognised by {found.path}"
    return msgspec.structs.replace(found, notes=(note, *found.notes))


def _by_lsb(view: ImageView) -> Distribution | None:
    values = read_assignments(_text(view, _LSB))
    id_ = values.get("DISTRIB_ID", "").lower()
    if not _ID.match(id_):
        return None
    return Distribution(
        id=id_,
        version=values.get("DISTRIB_RELEASE", ""),
        codename=values.get("DISTRIB_CODENAME", ""),
        name=values.get("DISTRIB_DESCRIPTION", ""),
        path=_LSB,
    )


def _by_alpine(view: ImageView) -> Distribution | None:
    if not (text := _text(view, _ALPINE)):
        return None
    version, why = _version("alpine", text.split()[0])
    return Distribution(id="alpine", version=version, path=_ALPINE, notes=(why,) if why else ())


def _by_one_line(view: ImageView) -> Distribution | None:
    for path in _ONE_LINE:
        if found := distribution_from_line(_text(view, path), path):
            return found
    return None


def _by_debian(view: ImageView) -> Distribution | None:
    if not (text := _text(view, _DEBIAN)):
        return None
    major = _MAJOR.match(text)
    return Distribution(
        id="debian",
        version=major[0] if major else "",
        codename=_debian_codename(text),
        path=_DEBIAN,
    )


def _with_point_release(found: Distribution, view: ImageView) -> Distribution:
    """Add the point release that Debian and CentOS tell in another file; note it if that disagrees."""
    path = {"debian": _DEBIAN, "centos": "etc/centos-release"}.get(found.id, "")
    if not path or not (text := _text(view, path)):
        return found
    point = text.split()[0] if found.id == "debian" else _point_of_line(text, path)
    if not point[:1].isdigit():
        return found
    if found.version and point.partition(".")[0] != found.version.partition(".")[0]:
        note = f"{found.path} says {found.version}, {path} says {point}"
        return msgspec.structs.replace(found, notes=(*found.notes, note))
    return msgspec.structs.replace(found, point_release=point)


def _point_of_line(text: str, path: str) -> str:
    found = distribution_from_line(text, path)
    return found.point_release or found.version if found else ""


def _contradictions(found: Distribution, databases: Mapping[str, str]) -> Iterator[str]:
    family = next((_FAMILIES[i] for i in (found.id, *found.id_like) if i in _FAMILIES), "")
    if not databases:
        yield "no package database was found"
    for kind, path in sorted(databases.items()):
        if family and kind != family:
            yield f"{found.path} says {found.id}, but {path} is a database of {kind} packages"
    if family and databases and family not in databases:
        yield f"no {family} packages were found"


ANALYZERS: Final = (
    FileAnalyzer(
        name="os/release-files",
        version=2,
        interest=Interest(
            globs=(
                "**/os-release",  # etc/os-release may be a symlink to anywhere (Nix)
                "usr/lib/os.release.d/*",
                *_ONE_LINE,
                *_LINK_TARGETS,
                _LSB,
                _ALPINE,
                _DEBIAN,
            )
        ),
        parse=keep,
        max_file_bytes=_RELEASE_BYTES,
        summary="files that name the distribution",
    ),
    ImageAnalyzer(
        name=_NAME,
        version=1,
        inspect=inspect,
        summary="the distribution and what contradicts it",
    ),
)
