"""dpkg's status and file lists, and this machine's own database where it has one."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from scanner.analyzers.packages.dpkg import ANALYZERS
from scanner.errors import MalformedFileError
from scanner.model import FileIssue, OwnedFiles, Package
from scanner.ports import LayerFile

STATUS, FILES = ANALYZERS
PATH = "var/lib/dpkg/status"


def parse(body: bytes, path: str = PATH):
    return list(STATUS.parse(LayerFile(path, body)))


def deb(name, version, arch="amd64", *, source=None, source_version=None, path=PATH):
    return Package(
        purl_type="deb",
        name=name,
        version=version,
        path=path,
        qualifiers={"arch": arch} if arch else {},
        source_name=source or name,
        source_version=source_version or version,
        from_distribution=True,
    )


def stanza(name="a", version="1", status="install ok installed", extra=""):
    return (
        f"Package: {name}\nStatus: {status}\nArchitecture: amd64\nVersion: {version}\n{extra}\n"
    ).encode()


@pytest.mark.parametrize(
    ("body", "want"),
    [
        pytest.param(b"", [], id="empty"),
        pytest.param(b"\n\n \n", [], id="blank"),
        pytest.param(stanza(), [deb("a", "1")], id="one"),
        pytest.param(
            stanza("a") + b"\n\n" + stanza("b", "2:1.0-1+b2"),
            [deb("a", "1"), deb("b", "2:1.0-1+b2")],
            id="several_blank_lines",
        ),
        pytest.param(
            stanza(version="1-1+b1", extra="Source: src (1-1)\n"),
            [deb("a", "1-1+b1", source="src", source_version="1-1")],
            id="source_with_version",
        ),
        pytest.param(
            stanza(extra="Source: src\n"),
            [deb("a", "1", source="src")],
            id="source_without_version",
        ),
        pytest.param(
            stanza(status="hold ok installed")
            + stanza("b", status="deinstall ok config-files")
            + stanza("c", status="purge ok not-installed")
            + stanza("d", status="install reinstreq half-installed")
            + stanza("e", status="install ok unpacked")
            + stanza("f", status="deinstall ok installed")
            + stanza("g", status="install ok triggers-pending"),
            [deb(n, "1") for n in "adefg"],
            id="states",
        ),
        pytest.param(
            b"PACKAGE: a\nversion: 1\narchitecture: all\nsTATUS: install ok installed\n",
            [deb("a", "1", "all")],
            id="keys_in_any_case",
        ),
        pytest.param(
            stanza(
                extra="Description: x\n Package: not-me\n .\n\tVersion: 9\nConffiles:\n /etc/a 0\n"
            ),
            [deb("a", "1")],
            id="continuation_lines",
        ),
        pytest.param(
            stanza() + stanza().replace(b"amd64", b"i386"),
            [deb("a", "1"), deb("a", "1", "i386")],
            id="multi_arch",
        ),
        pytest.param(stanza() + stanza(version="2"), [deb("a", "2")], id="duplicate_last_wins"),
        pytest.param(stanza().replace(b"\n", b"\r\n"), [deb("a", "1")], id="crlf"),
        pytest.param(b"\xef\xbb\xbf" + stanza(), [deb("a", "1")], id="byte_order_mark"),
        pytest.param(
            stanza(
                extra="Description: \udcff".encode("utf-8", "surrogateescape").decode("latin-1")
            ),
            [deb("a", "1")],
            id="latin_1",
        ),
        pytest.param(
            b"Package: a\nVersion: 1", [deb("a", "1", "")], id="no_status_no_arch_no_newline"
        ),
        pytest.param(
            b"Package: gone\nStatus: purge ok not-installed\n", [], id="absent_without_version"
        ),
    ],
)
def test_parse(body, want):
    assert parse(body) == want


def test_status_d_has_no_status_line():
    path = "var/lib/dpkg/status.d/tzdata"
    body = b"Package: tzdata\nVersion: 2024a-0+deb12u1\nArchitecture: all\nMulti-Arch: foreign\n"
    assert parse(body, path) == [deb("tzdata", "2024a-0+deb12u1", "all", path=path)]
    assert parse(b"0123  usr/share/x\n", path + ".md5sums") == []


def test_another_root_is_told():
    (issue,) = parse(stanza(), "srv/chroot/var/lib/dpkg/status")
    assert (issue.path, issue.code) == ("srv/chroot/var/lib/dpkg/status", "skipped")


@pytest.mark.parametrize(
    "bad",
    [
        b"Package: b\nStatus: install ok installed\n",
        b"Version: 1\nStatus: install ok installed\n",
        b"Package: b\n \nPackage: c\nVersion: 1\n",
        b"Package:\nVersion: 1\n",
        b"\0\0\0\0",
    ],
    ids=["no_version", "no_name", "two_names", "empty_name", "nul"],
)
def test_bad_stanza_is_counted_and_the_rest_kept(bad):
    reason = "1 stanzas without Package or Version, or with one of them twice"
    issue = FileIssue(
        path=PATH, reason=reason, code="malformed-file", analyzer="debian/dpkg-status"
    )
    assert parse(bad + b"\n\n" + stanza()) == [deb("a", "1"), issue]


@pytest.mark.parametrize(
    "body",
    [b"\0" * 4096, b"\xff\xfe\xfd", b"[" * 100_000, b"x" * 1_000_000, b"SQLite format 3\0"],
    ids=["nul", "not_utf8", "brackets", "one_long_line", "sqlite"],
)
def test_not_a_status_file(body):
    with pytest.raises(MalformedFileError):
        parse(body)


@pytest.mark.parametrize(
    ("path", "body", "want"),
    [
        ("var/lib/dpkg/info/bash.list", b"/.\n/bin\n/bin/bash\n", ("bash", "bin\nbin/bash")),
        ("var/lib/dpkg/info/libc6:amd64.list", b"/.\n/lib/a.so\n", ("libc6", "lib/a.so")),
        ("var/lib/dpkg/info/python3.11.list", b"/usr/bin/x\n", ("python3.11", "usr/bin/x")),
        (
            "var/lib/dpkg/status.d/base-files.md5sums",
            b"0a  etc/issue\n0b  ./usr/a b\n",
            ("base-files", "etc/issue\nusr/a b"),
        ),
        ("var/lib/dpkg/info/empty.list", b"", ("empty", "")),
        ("var/lib/dpkg/info/odd.list", b"/a\xff\n", ("odd", "a\ufffd")),
    ],
)
def test_owned_files(path, body, want):
    assert list(FILES.parse(LayerFile(path, body))) == [
        OwnedFiles(package=want[0], path=path, paths=want[1])
    ]


@pytest.mark.skipif(shutil.which("dpkg-query") is None, reason="needs dpkg-query on this machine")
def test_same_as_dpkg_query():
    fields = "${db:Status-Status}|${Package}|${Version}|${Architecture}|${source:Package}|${source:Version}\n"
    listed = subprocess.run(
        ["dpkg-query", "-W", "-f", fields], check=True, capture_output=True, text=True
    ).stdout.splitlines()
    absent = ("not-installed|", "config-files|")
    want = sorted(s.partition("|")[2] for s in listed if not s.startswith(absent))
    packages = parse(Path("/var/lib/dpkg/status").read_bytes())
    have = sorted(
        "|".join((p.name, p.version, p.qualifiers["arch"], p.source_name, p.source_version))
        for p in packages
    )
    assert have == want


@pytest.mark.skipif(
    not Path("/var/lib/dpkg/info/dpkg.list").exists(), reason="needs dpkg on this machine"
)
def test_same_files_as_this_machine():
    path = Path("/var/lib/dpkg/info/dpkg.list")
    (owned,) = FILES.parse(LayerFile("var/lib/dpkg/info/dpkg.list", path.read_bytes()))
    want = [p.lstrip("/") for p in path.read_text().splitlines() if p != "/."]
    assert owned.paths.split("\n") == want
