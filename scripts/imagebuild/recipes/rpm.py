"""A root made of our own packages, installed by rpm; the newest rows are still in the database's log."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from imagebuild.build import Build, run
from imagebuild.recipe import Recipe

_PACKAGES = (
    # name, epoch, version, release
    ("alpha", "", "1.0", "1.el9"),
    ("alpha-libs", "", "1.0", "1.el9"),
    ("beta", "2", "3.4.5~rc1", "7.fc40"),
    ("gamma", "0", "2024a", "3"),
    ("kernel-core", "", "6.1.0", "10.el9"),
    ("kernel-core", "", "6.1.0", "11.el9"),
)
_LATER = (("delta", "", "1.0^git5", "1.el9"),)
_SPEC = """Name: {name}
{epoch}Version: {version}
Release: {release}
Summary: A package
License: MIT
BuildArch: noarch
%description
A package.
%install
mkdir -p %{{buildroot}}/usr/share/{name}
echo {name} > %{{buildroot}}/usr/share/{name}/{name}-{version}-{release}
%files
/usr/share/{name}
"""
_OS_RELEASE = 'NAME="Ours"\nID=ours\nID_LIKE="rhel fedora"\nVERSION_ID="9"\nPRETTY_NAME="Ours 9"\n'


def build(build: Build) -> None:
    build.file("usr/lib/os-release", _OS_RELEASE)
    (build.root / "etc").mkdir()
    (build.root / "etc/os-release").symlink_to("../usr/lib/os-release")
    _install(build, _PACKAGES)
    build.commit("RUN rpm -i …")
    _leave_a_journal(build)
    build.commit("RUN rpm -i delta")
    build.config = {"Cmd": ["sh"]}
    build.expected = {"deb": [], "rpm": _query(build)}


def _leave_a_journal(build: Build) -> None:
    """Install once more while a reader holds the database, so that the rows stay in the write-ahead log."""
    database = build.root / "var/lib/rpm/rpmdb.sqlite"
    kept = build.work / "journal"
    with closing(sqlite3.connect(database)) as reader:
        reader.execute("PRAGMA journal_mode=WAL")
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM Packages").fetchone()
        _install(build, _LATER)
        shutil.copytree(database.parent, kept)
        reader.rollback()
    shutil.rmtree(database.parent)
    kept.rename(database.parent)


def _install(build: Build, packages: tuple[tuple[str, ...], ...]) -> None:
    top = build.work / "rpmbuild"
    files = [str(_pack(top, *package)) for package in packages]
    # One file of two kernels' directory differs by name only, as with real kernels.
    run(
        *_rpm(build.root),
        "--install",
        "--nodeps",
        "--noscripts",
        "--replacefiles",
        "--oldpackage",
        *files,
    )


def _pack(top: Path, name: str, epoch: str, version: str, release: str) -> Path:
    spec = top / f"{name}.spec"
    top.mkdir(exist_ok=True)
    spec.write_text(
        _SPEC.format(
            name=name, version=version, release=release, epoch=f"Epoch: {epoch}\n" if epoch else ""
        )
    )
    run(
        "rpmbuild",
        "--quiet",
        "-bb",
        f"--define=_topdir {top}",
        "--define=_build_id_links none",
        str(spec),
    )
    return top / "RPMS/noarch" / f"{name}-{version}-{release}.noarch.rpm"


def _rpm(root: Path) -> tuple[str, ...]:
    return ("rpm", f"--root={root}", "--dbpath=/var/lib/rpm", "--define=_db_backend sqlite")


def _query(build: Build) -> list[list[str]]:
    """Return what ``rpm -qa`` says of a copy: opening the database would fold its log into it."""
    copy = build.work / "copy"
    shutil.copytree(build.root / "var/lib/rpm", copy / "var/lib/rpm")
    form = "%{NAME} %|EPOCH?{%{EPOCH}:}|%{VERSION}-%{RELEASE}\n"
    lines = run(*_rpm(copy), "--query", "--all", f"--queryformat={form}").splitlines()
    return sorted(line.split() for line in lines)


RECIPES = (
    Recipe("rpm", "rpm packages, rows left in sqlite's log", build, needs=("rpm", "rpmbuild")),
)
