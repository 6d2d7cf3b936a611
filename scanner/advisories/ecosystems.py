"""Which ecosystems of advisories are about a distribution's packages, and under which of their names.

Source: https://ossf.github.io/osv-schema/#defined-ecosystems
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Final

from scanner.model import Distribution, Package

_CODENAMES: Final = {
    "stretch": "9", "buster": "10", "bullseye": "11", "bookworm": "12", "trixie": "13", "forky": "14", "duke": "15",
}  # fmt: skip
_SUSE_MODULE: Final = re.compile(
    r"SUSE:Linux Enterprise (?:Server|Desktop|Module for .+) (\d+(?: SP\d+)?)\Z"
)
_RED_HAT: Final = re.compile(r"Red Hat:enterprise_linux:(\d+)(?:\.(\d+))?(?:::.*)?\Z")
_OPENEULER: Final = re.compile(r"\((LTS(?:-SP\d+)?)\)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where to look for a distribution's packages."""

    ecosystems: tuple[str, ...]
    """Those that there is data for; none where there is no data."""
    wanted: str
    """What was looked for, for messages."""
    by_source: bool = True
    by_binary: bool = False
    subscription: tuple[str, ...] = ()
    """Of ``ecosystems``, those whose fixes need a subscription."""
    note: str = ""
    """Why the answer may be less exact than it looks."""


def target_of(distribution: Distribution, known: Collection[str]) -> Target | None:
    """Return where advisories for a distribution's packages are; None for one that nobody has any for.

    A derivative never gets the advisories of what it derives from: its packages may differ.
    """
    make = _TARGETS.get(distribution.id)
    return make(distribution, known) if make else None


def lookup_names(package: Package, target: Target) -> Iterable[str]:
    """Return the names to look up."""
    source = package.source_name or package.name
    if not target.by_binary:
        return (source,)
    if not target.by_source or source == package.name:
        return (package.name,)
    return (package.name, source)


def _one(
    spelling: Callable[[Distribution], str],
    *,
    by_source: bool = True,
    by_binary: bool = False,
    note: str = "",
) -> Callable[[Distribution, Collection[str]], Target]:
    def make(distribution: Distribution, known: Collection[str]) -> Target:
        name = spelling(distribution)
        found = (name,) if name in known else ()
        return Target(
            ecosystems=found, wanted=name, by_source=by_source, by_binary=by_binary, note=note
        )

    return make


def _major(distribution: Distribution) -> str:
    return distribution.version.partition(".")[0]


def _debian(distribution: Distribution) -> str:
    version = _major(distribution) or _CODENAMES.get(distribution.codename, "")
    return f"Debian:{version or 'sid'}"


def _alpine(distribution: Distribution) -> str:
    version = distribution.version
    if not version or "_alpha" in version or "edge" in version:
        return "Alpine:edge"
    return "Alpine:v" + ".".join(version.split(".")[:2])


def _ubuntu(distribution: Distribution, known: Collection[str]) -> Target:
    year, _, month = distribution.version.partition(".")
    is_long = month == "04" and year.isdecimal() and int(year) % 2 == 0
    release = f"{distribution.version}:LTS" if is_long else distribution.version
    base, pro = f"Ubuntu:{release}", f"Ubuntu:Pro:{release}"
    return Target(
        ecosystems=tuple(one for one in (pro, base) if one in known),
        wanted=base,
        subscription=(pro,),
    )


def _red_hat(note: str = "") -> Callable[[Distribution, Collection[str]], Target]:
    def make(distribution: Distribution, known: Collection[str]) -> Target:
        major, _, minor = distribution.version.partition(".")
        newest = int(minor) if minor.isdecimal() else None

        def is_ours(ecosystem: str) -> bool:
            match = _RED_HAT.match(ecosystem)
            if match is None or match[1] != major:
                return False
            return match[2] is None or newest is None or int(match[2]) <= newest

        return Target(
            ecosystems=tuple(sorted(filter(is_ours, known))),
            wanted=f"Red Hat:enterprise_linux:{major}",
            by_binary=True,
            note=note,
        )

    return make


def _suse(distribution: Distribution, known: Collection[str]) -> Target:
    """Server and modules of a service pack; its packages come from all of them."""
    major, _, pack = distribution.version.partition(".")
    release = f"{major} SP{pack}" if pack not in ("", "0") else major

    def is_ours(ecosystem: str) -> bool:
        match = _SUSE_MODULE.match(ecosystem)
        return match is not None and match[1] == release

    return Target(
        ecosystems=tuple(sorted(filter(is_ours, known))),
        wanted=f"SUSE:Linux Enterprise Server {release}",
        by_binary=True,
    )


def _openeuler(distribution: Distribution) -> str:
    match = _OPENEULER.search(distribution.name)
    return f"openEuler:{distribution.version}" + (f"-{match[1]}" if match else "")


def _versioned(name: str) -> Callable[[Distribution], str]:
    return lambda distribution: f"{name}:{distribution.version}"


def _by_major(name: str) -> Callable[[Distribution], str]:
    return lambda distribution: f"{name}:{_major(distribution)}"


def _rolling(name: str) -> Callable[[Distribution], str]:
    return lambda _distribution: name


_AS_RED_HAT: Final = (
    "advisories of Red Hat stand in for those of CentOS, whose rebuilds may come later"
)
_STREAMS_AHEAD: Final = (
    "advisories of Red Hat stand in for those of CentOS Stream, which is ahead of it"
)


def _centos(distribution: Distribution, known: Collection[str]) -> Target:
    is_stream = "Stream" in distribution.name
    return _red_hat(_STREAMS_AHEAD if is_stream else _AS_RED_HAT)(distribution, known)


_TARGETS: Final[dict[str, Callable[[Distribution, Collection[str]], Target]]] = {
    "debian": _one(_debian),
    "ubuntu": _ubuntu,
    "alpine": _one(_alpine),
    "wolfi": _one(_rolling("Wolfi"), by_binary=True),
    "chainguard": _one(_rolling("Chainguard"), by_binary=True),
    "minimos": _one(_rolling("MinimOS"), by_binary=True),
    "echo": _one(_rolling("Echo")),
    "rhel": _red_hat(),
    "centos": _centos,
    "almalinux": _one(_by_major("AlmaLinux"), by_source=False, by_binary=True),
    "rocky": _one(_by_major("Rocky Linux"), by_binary=True),
    "ol": _one(_by_major("Oracle Linux"), by_binary=True),
    "amzn": _one(_versioned("Amazon Linux"), by_binary=True),
    "fedora": _one(_versioned("Fedora"), by_binary=True),
    "sles": _suse,
    "sled": _suse,
    "opensuse-leap": _one(lambda d: f"openSUSE:Leap {d.version}", by_binary=True),
    "opensuse-tumbleweed": _one(_rolling("openSUSE:Tumbleweed"), by_binary=True),
    "openeuler": _one(_openeuler, by_binary=True),
    "mageia": _one(_by_major("Mageia"), by_binary=True),
    "photon": _one(_versioned("Photon OS"), by_binary=True),
    "azurelinux": _one(_by_major("Azure Linux"), by_binary=True),
    "mariner": _one(_by_major("Azure Linux"), by_binary=True),
    "alpaquita": _one(lambda d: f"Alpaquita:{d.version or 'stream'}"),
}
