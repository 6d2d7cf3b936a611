"""The distribution of an image, with the ways in which real ones name it badly."""

from __future__ import annotations

import pytest
from support.image_view import still_image

from scanner.analyzers.packages.distribution import ANALYZERS
from scanner.model import Distribution, FileIssue, Kept, Package
from scanner.ports import LayerFile

RELEASE_FILES, DISTRIBUTION = ANALYZERS


def package(purl_type: str) -> Package:
    path = {"deb": "var/lib/dpkg/status", "apk": "lib/apk/db/installed"}.get(purl_type, "x")
    return Package(purl_type=purl_type, name="a", version="1", path=path, from_distribution=True)


def inspect(files, *, packages=(), symlinks=None):
    bodies = {path: body.encode() for path, body in files.items()}
    view = still_image(bodies, key="os-release", packages=packages, symlinks=symlinks)
    return list(DISTRIBUTION.inspect(view))


DEBIAN_12 = """PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"
# a comment
VERSION_ID="12"
VERSION="12 (bookworm)"
VERSION_CODENAME=bookworm
ID=debian
"""

CASES = [
    pytest.param(
        {"etc/os-release": DEBIAN_12, "etc/debian_version": "12.5\n"},
        "deb",
        Distribution(
            id="debian",
            version="12",
            codename="bookworm",
            point_release="12.5",
            name="Debian GNU/Linux 12 (bookworm)",
            path="etc/os-release",
        ),
        id="debian",
    ),
    pytest.param(
        {
            "etc/os-release": 'ID=debian\nVERSION_CODENAME=trixie\nPRETTY_NAME="Debian trixie/sid"\n',
            "etc/debian_version": "trixie/sid\n",
        },
        "deb",
        Distribution(
            id="debian",
            codename="trixie",
            name="Debian trixie/sid",
            path="etc/os-release",
            notes=("no VERSION_ID: Debian testing or unstable (trixie/sid)",),
        ),
        id="debian_testing_has_no_version",
    ),
    pytest.param(
        {"etc/os-release": 'ID=debian\nVERSION_ID="7"\nVERSION="7 (wheezy)"\n'},
        "deb",
        Distribution(id="debian", version="7", codename="wheezy", path="etc/os-release"),
        id="old_debian_names_its_release_in_version",
    ),
    pytest.param(
        {"etc/os-release": DEBIAN_12, "etc/debian_version": "11.9\n"},
        "deb",
        Distribution(
            id="debian",
            version="12",
            codename="bookworm",
            name="Debian GNU/Linux 12 (bookworm)",
            path="etc/os-release",
            notes=("etc/os-release says 12, etc/debian_version says 11.9",),
        ),
        id="debian_version_contradicts",
    ),
    pytest.param(
        {
            "etc/os-release": 'ID=ubuntu\nID_LIKE=debian\nVERSION_ID="14.04"\n',
            "etc/lsb-release": "DISTRIB_ID=Ubuntu\nDISTRIB_CODENAME=trusty\n",
            "etc/debian_version": "jessie/sid\n",
        },
        "deb",
        Distribution(
            id="ubuntu",
            version="14.04",
            codename="trusty",
            id_like=("debian",),
            path="etc/os-release",
        ),
        id="ubuntu_code_name_from_lsb",
    ),
    pytest.param(
        {"usr/lib/os-release": "ID=alpine\nVERSION_ID=3.20.1\n"},
        "apk",
        Distribution(id="alpine", version="3.20.1", path="usr/lib/os-release"),
        id="alpine_in_usr_lib",
    ),
    pytest.param(
        {"etc/os-release": "ID=alpine\nVERSION_ID=3.21_alpha20240807\n"},
        "apk",
        Distribution(
            id="alpine",
            version="edge",
            path="etc/os-release",
            notes=("VERSION_ID 3.21_alpha20240807 is Alpine edge",),
        ),
        id="alpine_edge",
    ),
    pytest.param(
        {"etc/os-release": "ID=wolfi\nVERSION_ID=20230201\n"},
        "apk",
        Distribution(
            id="wolfi",
            path="etc/os-release",
            notes=("rolling release: VERSION_ID 20230201 ignored",),
        ),
        id="wolfi_is_rolling",
    ),
    pytest.param(
        {
            "etc/os-release": 'ID="centos"\nID_LIKE="rhel fedora"\nVERSION_ID="7"\n',
            "etc/centos-release": "CentOS Linux release 7.9.2009 (Core)\n",
        },
        "rpm",
        Distribution(
            id="centos",
            version="7",
            point_release="7.9.2009",
            id_like=("rhel", "fedora"),
            path="etc/os-release",
        ),
        id="centos_point_release",
    ),
    pytest.param(
        {"etc/os-release": "ID=kali\nID_LIKE=debian\nVERSION_ID=2024.1\n"},
        "deb",
        Distribution(
            id="kali",
            version="2024.1",
            id_like=("debian",),
            path="etc/os-release",
            notes=("derivative of debian, whose advisories may not hold for it",),
        ),
        id="derivative_keeps_its_id",
    ),
    pytest.param(
        {"etc/os-release": "ID=alpine\nVERSION_ID=3.20.1\n"},
        "deb",
        Distribution(
            id="alpine",
            version="3.20.1",
            path="etc/os-release",
            notes=(
                "etc/os-release says alpine, but var/lib/dpkg/status is a database of deb packages",
                "no apk packages were found",
            ),
        ),
        id="contradicts_the_package_database",
    ),
    pytest.param(
        {"etc/os-release": DEBIAN_12},
        None,
        Distribution(
            id="debian",
            version="12",
            codename="bookworm",
            name="Debian GNU/Linux 12 (bookworm)",
            path="etc/os-release",
            notes=("no package database was found",),
        ),
        id="no_package_database",
    ),
    pytest.param(
        {"etc/os-release": "NAME=x\n", "usr/lib/os-release": "ID=arch\n"},
        "rpm",
        Distribution(
            id="arch", path="usr/lib/os-release", notes=("etc/os-release has no valid ID",)
        ),
        id="os_release_without_id",
    ),
    pytest.param(
        {"etc/os-release": 'ID=\'ol\'\nPRETTY_NAME="A \\"b\\" \\$c"\nVERSION_ID=8.9 # x\n'},
        "rpm",
        Distribution(id="ol", version="8.9", name='A "b" $c', path="etc/os-release"),
        id="quotes_and_escapes",
    ),
]


@pytest.mark.parametrize(("files", "kind", "want"), CASES)
def test_os_release(files, kind, want):
    packages = [package(kind)] if kind else []
    assert inspect(files, packages=packages) == [want]


@pytest.mark.parametrize(
    ("path", "body", "kind", "want"),
    [
        ("etc/alpine-release", "3.9.6\n", "apk", ("alpine", "3.9.6", "", "")),
        ("etc/debian_version", "10.13\n", "deb", ("debian", "10", "", "10.13")),
        ("etc/debian_version", "trixie/sid\n", "deb", ("debian", "", "trixie", "")),
        (
            "etc/lsb-release",
            "DISTRIB_ID=Ubuntu\nDISTRIB_RELEASE=22.04\nDISTRIB_CODENAME=jammy\n",
            "deb",
            ("ubuntu", "22.04", "jammy", ""),
        ),
        (
            "etc/redhat-release",
            "Red Hat Enterprise Linux Server release 6.10 (Santiago)\n",
            "rpm",
            ("rhel", "6.10", "", ""),
        ),
        (
            "etc/redhat-release",
            "CentOS release 6.10 (Final)\n",
            "rpm",
            ("centos", "6", "", "6.10"),
        ),
        (
            "etc/system-release",
            "Amazon Linux AMI release 2018.03\n",
            "rpm",
            ("amzn", "2018.03", "", ""),
        ),
        (
            "etc/fedora-release",
            "Fedora release 39 (Thirty Nine)\n",
            "rpm",
            ("fedora", "39", "", ""),
        ),
        ("etc/photon-release", "VMware Photon OS 5.0\nX=1\n", "rpm", ("photon", "5.0", "", "")),
        ("etc/mariner-release", "CBL-Mariner 2.0.2023\n", "rpm", ("mariner", "2.0.2023", "", "")),
    ],
)
def test_fallbacks(path, body, kind, want):
    (found,) = inspect({path: body}, packages=[package(kind)])
    assert (found.id, found.version, found.codename, found.point_release) == want
    assert found.notes == (f"no usable os-release; recognised by {path}",)


def test_follows_symlinks():
    found = inspect(
        {"nix/store/x/os-release": "ID=nixos\nVERSION_ID=24.05\n"},
        symlinks={"etc/os-release": "/etc/static/os-release", "etc/static": "/nix/store/x"},
    )
    assert found == [
        Distribution(
            id="nixos",
            version="24.05",
            path="etc/os-release",
            notes=("no package database was found",),
        )
    ]


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"opt/app/etc/os-release": DEBIAN_12},
        {"etc/os-release": "ID=../../etc\n"},
        {"etc/os-release": "ID=" + "a" * 5000},
        {"etc/redhat-release": "Some Firewall release 3\n"},
        {"etc/lsb-release": "DISTRIB_ID=\n"},
    ],
    ids=["nothing", "another_root", "id_is_a_path", "endless_id", "unknown_product", "empty_id"],
)
def test_packages_of_an_unnamed_distribution_are_an_issue(files):
    assert inspect(files, packages=[package("deb")]) == [
        FileIssue(
            path="var/lib/dpkg/status",
            reason="distribution not recognised: deb packages, but no file names a distribution",
            code="unsupported",
            analyzer="os/distribution",
        )
    ]


def test_rpm_database_counts_as_evidence():
    view = still_image({"var/lib/rpm/rpmdb.sqlite": b""}, key="rpmdb")
    (found,) = DISTRIBUTION.inspect(view)
    assert (found.path, found.code) == ("var/lib/rpm/rpmdb.sqlite", "unsupported")


def test_scratch_image_says_nothing():
    assert inspect({}) == []


@pytest.mark.parametrize(
    "body",
    [b"", b"\xff\xfe\x00ID=debian", b"ID=\n", b"=" * 60_000, b'ID="debian', b"\0" * 1000, b"\n"],
)
def test_bad_release_files_never_raise(body):
    paths = ["etc/os-release", "etc/debian_version", "etc/alpine-release", "etc/redhat-release"]
    view = still_image(dict.fromkeys(paths, body), key="os-release")
    assert all(isinstance(o, Distribution | FileIssue) for o in DISTRIBUTION.inspect(view))


@pytest.mark.parametrize(
    ("body", "want"),
    [
        (DEBIAN_12, DEBIAN_12.replace("# a comment\n", "")),
        ("12.5\n", "12.5\n"),
        ("CentOS Linux release 7.9.2009 (Core)\n", "CentOS Linux release 7.9.2009 (Core)\n"),
        (
            "\ufeffID=a\n VERSION_ID=1\nBUILD_TOKEN=x\nDISTRIB_ID=b\n",
            "\ufeffID=a\n VERSION_ID=1\nDISTRIB_ID=b\n",
        ),
    ],
    ids=["os_release", "debian_version", "one_line", "other_keys"],
)
def test_only_what_is_read_later_is_kept(body, want):
    file = LayerFile("etc/os-release", body.encode())
    kept = Kept(key="os-release", path="etc/os-release", data=want.rstrip("\n").encode())
    assert list(RELEASE_FILES.parse(file)) == [kept]
