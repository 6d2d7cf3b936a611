"""apk's database of installed packages."""

from __future__ import annotations

import pytest

from scanner.analyzers.packages.apk import ANALYZERS
from scanner.errors import MalformedFileError
from scanner.model import FileIssue, OwnedFiles, Package
from scanner.ports import LayerFile

(ANALYZER,) = ANALYZERS
PATH = "lib/apk/db/installed"

BUSYBOX = b"""C:Q1gB0gEJyB7Zp9h3oQm4kqv5mTxgY=
P:busybox
V:1.36.1-r29
A:x86_64
S:509600
I:962560
T:Size optimized toolbox: many applets
U:https://busybox.net/
L:GPL-2.0-only
o:busybox
m:Somebody <somebody@example.org>
t:1716563600
c:0000000000000000000000000000000000000000
D:so:libc.musl-x86_64.so.1
p:/bin/sh cmd:busybox=1.36.1-r29
F:bin
R:busybox
a:0:0:755
Z:Q1xjKqDmSLAlZc3Vp7bTqZOz0+0bU=
F:etc/network
M:0:0:755
R:if.up
F:
R:at-root
"""
SSL_CLIENT = (
    b"P:ssl_client\nV:1.36.1-r29\nA:x86_64\nL:GPL-2.0-only\no:busybox\nF:usr/bin\nR:ssl_client\n"
)
VIRTUAL = b"P:.build-deps\nV:20240101.101112\nA:noarch\nL:\nD:gcc make\n"


def parse(body: bytes, path: str = PATH):
    return list(ANALYZER.parse(LayerFile(path, body)))


def apk(name, version="1.36.1-r29", *, arch="x86_64", source="busybox", licenses=("GPL-2.0-only",)):
    return Package(
        purl_type="apk",
        name=name,
        version=version,
        path=PATH,
        qualifiers={"arch": arch} if arch else {},
        source_name=source,
        source_version=version if source else "",
        licenses=licenses,
        from_distribution=True,
    )


def owned(name, *paths):
    return OwnedFiles(package=name, path=PATH, paths="\n".join(paths))


BUSYBOX_OUT = [apk("busybox"), owned("busybox", "bin/busybox", "etc/network/if.up", "at-root")]
SSL_CLIENT_OUT = [apk("ssl_client"), owned("ssl_client", "usr/bin/ssl_client")]


@pytest.mark.parametrize(
    ("body", "want"),
    [
        pytest.param(b"", [], id="empty"),
        pytest.param(BUSYBOX, BUSYBOX_OUT, id="one"),
        pytest.param(
            BUSYBOX + b"\n" + SSL_CLIENT + b"\n\n",
            BUSYBOX_OUT + SSL_CLIENT_OUT,
            id="subpackage_shares_its_source",
        ),
        pytest.param(
            VIRTUAL,
            [
                apk(".build-deps", "20240101.101112", arch="noarch", source="", licenses=()),
                owned(".build-deps"),
            ],
            id="virtual_has_no_source",
        ),
        pytest.param(
            b"P:a\nV:1-r0",
            [apk("a", "1-r0", arch="", source="a", licenses=()), owned("a")],
            id="no_origin_no_newline",
        ),
        pytest.param(
            b"P:a\nV:1-r0\nv:2\np:b\n",
            [apk("a", "1-r0", arch="", source="a", licenses=()), owned("a")],
            id="keys_are_case_sensitive",
        ),
    ],
)
def test_parse(body, want):
    assert parse(body) == want


def test_merged_usr():
    path = "usr/lib/apk/db/installed"
    assert {o.path for o in parse(BUSYBOX, path)} == {path}


def test_another_root_is_told():
    (issue,) = parse(BUSYBOX, "srv/rootfs/lib/apk/db/installed")
    assert (issue.path, issue.code) == ("srv/rootfs/lib/apk/db/installed", "skipped")


@pytest.mark.parametrize("bad", [b"P:a\n", b"V:1\n", b"P:\nV:1\n", b"\0\0"])
def test_bad_record_is_counted_and_the_rest_kept(bad):
    reason = "1 records without P (name) or V (version)"
    issue = FileIssue(
        path=PATH, reason=reason, code="malformed-file", analyzer="alpine/apk-installed"
    )
    assert parse(bad + b"\n\n" + BUSYBOX) == [*BUSYBOX_OUT, issue]


@pytest.mark.parametrize(
    "body",
    [b"\0" * 4096, b"\xff\xfe\xfd", b"[" * 100_000, b"F:\n" * 100_000, b"ADB.pckg"],
    ids=["nul", "not_utf8", "brackets", "only_directories", "binary"],
)
def test_not_a_database(body):
    with pytest.raises(MalformedFileError):
        parse(body)
