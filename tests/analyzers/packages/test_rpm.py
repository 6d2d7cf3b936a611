"""rpm's databases as rpm wrote them, compared with what rpm says of them, and ways to break them."""

from __future__ import annotations

import gzip
import random
import struct
from pathlib import Path

import pytest
from support.image_view import StillImage

from scanner.analyzers._rpm_header import parse_header
from scanner.analyzers.packages.rpm import ANALYZERS
from scanner.errors import MalformedFileError
from scanner.model import FileIssue, Kept, OwnedFiles, Package
from scanner.ports import LayerFile

FILES, PACKAGES = ANALYZERS
FIXTURES = Path(__file__).parents[2] / "fixtures" / "databases" / "rpm"
SQLITE = "var/lib/rpm/rpmdb.sqlite"
NDB = "usr/lib/sysimage/rpm/Packages.db"
BDB = "var/lib/rpm/Packages"
MANIFEST = "var/lib/rpmmanifest/container-manifest-2"


def fixture(name: str) -> bytes:
    return gzip.decompress((FIXTURES / f"{name}.gz").read_bytes())


def image(files: dict[str, bytes]) -> StillImage:
    kept = [out for path, data in files.items() for out in FILES.parse(LayerFile(path, data))]
    assert all(isinstance(k, Kept) for k in kept)
    return StillImage(files=kept)


def inspect(files: dict[str, bytes]):
    return list(PACKAGES.inspect(image(files)))


def as_rpm_says(outputs) -> list[str]:
    """Return lines in the form of ``expected.txt``."""
    lines = []
    for out in outputs:
        if isinstance(out, OwnedFiles):
            lines += [f"{out.package}:/{p}" for p in out.paths.split("\n") if p]
        else:
            asked = ("epoch", "arch", "upstream", "rpmmod")
            epoch, arch, source, module = (out.qualifiers.get(k, "(none)") for k in asked)
            parts = (out.name, epoch, out.version, arch, source, *out.licenses, module)
            lines.append("|".join(parts))
    return sorted(lines)


EXPECTED = sorted((FIXTURES / "expected.txt").read_text().splitlines())
DATABASES = {
    "sqlite_with_log": {
        SQLITE: fixture("rpmdb.sqlite"),
        f"{SQLITE}-wal": fixture("rpmdb.sqlite-wal"),
    },
    "ndb": {NDB: fixture("Packages.db")},
    "bdb_little_endian_overflow_pages": {BDB: fixture("Packages.little")},
    "bdb_big_endian_values_on_pages": {BDB: fixture("Packages.big")},
}


@pytest.mark.parametrize("files", DATABASES.values(), ids=DATABASES)
def test_same_as_rpm(files):
    assert as_rpm_says(inspect(files)) == EXPECTED


def test_whole_package():
    (path,) = DATABASES["ndb"]
    package, owned = inspect(DATABASES["ndb"])[:2]
    found = [
        o for o in inspect(DATABASES["ndb"]) if isinstance(o, Package) and o.name == "alpha-libs"
    ]
    assert found == [
        Package(
            purl_type="rpm",
            name="alpha-libs",
            version="1.2-3.el9",
            path=path,
            qualifiers={"arch": "noarch", "epoch": "2", "upstream": "alpha-1.2-3.el9.src.rpm"},
            source_name="alpha",
            source_version="1.2-3.el9",
            licenses=("MIT AND Apache-2.0",),
            from_distribution=True,
        )
    ]
    assert owned.package == package.name


def test_log_holds_packages_that_the_database_does_not():
    without = [o.name for o in inspect({SQLITE: fixture("rpmdb.sqlite")}) if isinstance(o, Package)]
    with_log = [o.name for o in inspect(DATABASES["sqlite_with_log"]) if isinstance(o, Package)]
    assert 0 < len(without) < len(with_log)
    assert set(without) < set(with_log)


def test_broken_log_is_told_and_the_database_read():
    log = b"\0\0\0\1" + fixture("rpmdb.sqlite-wal")[4:]
    outputs = inspect({SQLITE: fixture("rpmdb.sqlite"), f"{SQLITE}-wal": log})
    assert outputs[0] == FileIssue(
        path=f"{SQLITE}-wal",
        reason="write-ahead log without a valid header",
        code="malformed-file",
        analyzer="rpm/packages",
    )
    assert any(isinstance(o, Package) for o in outputs)


@pytest.mark.parametrize(
    ("stale", "fixture_name"),
    [(BDB, "Packages.little"), ("usr/share/rpm/Packages.db", "Packages.db")],
)
def test_newer_format_counts_and_the_other_is_told(stale, fixture_name):
    outputs = inspect(DATABASES["sqlite_with_log"] | {stale: fixture(fixture_name)})
    assert as_rpm_says(outputs[:-1]) == EXPECTED
    assert outputs[-1] == FileIssue(
        path=stale,
        reason=f"not read: {SQLITE} is the database that counts",
        code="skipped",
        analyzer="rpm/packages",
    )


def test_next_database_is_read_when_the_first_holds_nothing():
    outputs = inspect({SQLITE: b"junk", BDB: fixture("Packages.little")})
    assert (outputs[0].path, outputs[0].code) == (SQLITE, "malformed-file")
    assert as_rpm_says(outputs[1:]) == EXPECTED


def test_log_alone_is_told():
    (issue,) = inspect({f"{SQLITE}-wal": fixture("rpmdb.sqlite-wal")})
    assert (issue.path, issue.reason) == (f"{SQLITE}-wal", "write-ahead log without its database")


def test_another_root_is_told():
    (issue,) = FILES.parse(LayerFile("srv/root/var/lib/rpm/Packages", fixture("Packages.little")))
    assert (issue.path, issue.code) == ("srv/root/var/lib/rpm/Packages", "skipped")


def test_manifest_of_distroless():
    lines = (
        "bash\t5.1.8-4.cm2\t1700000000\t1690000000\tMicrosoft Corporation\t(none)\t123\tx86_64\t0\tbash-5.1.8-4.cm2.src.rpm\n"
        "shadow-libs\t4.9-12\t1\t1\tMicrosoft\t2\t1\tx86_64\t2\tshadow-utils-4.9-12.src.rpm\n"
        "gpg-pubkey\t3135ce90-5e6fda74\t1\t1\t(none)\t(none)\t0\t(none)\t0\t(none)\n"
        "cut off\t1\n"
    )
    outputs = inspect({MANIFEST: lines.encode()})
    seen = [(p.purl, p.source_name, p.source_version) for p in outputs if isinstance(p, Package)]
    assert seen == [
        (
            "pkg:rpm/bash@5.1.8-4.cm2?arch=x86_64&upstream=bash-5.1.8-4.cm2.src.rpm",
            "bash",
            "5.1.8-4.cm2",
        ),
        (
            "pkg:rpm/shadow-libs@4.9-12?arch=x86_64&epoch=2&upstream=shadow-utils-4.9-12.src.rpm",
            "shadow-utils",
            "4.9-12",
        ),
    ]
    assert outputs[-1] == FileIssue(
        path=MANIFEST,
        reason="1 packages cannot be read; the first: a line that is no package",
        code="malformed-file",
        analyzer="rpm/packages",
    )


@pytest.mark.parametrize("path", [SQLITE, NDB, BDB, MANIFEST])
@pytest.mark.parametrize(
    "body",
    [b"", b"\0" * 5000, b"\xff" * 5000, b"[" * 100_000, b"SQLite format 3\0", b"RpmP" + b"\0" * 28],
    ids=["empty", "nul", "ones", "brackets", "only_sqlite_magic", "only_ndb_magic"],
)
def test_no_database_is_an_issue(path, body):
    (issue,) = inspect({path: body})
    assert (issue.path, issue.code) == (path, "malformed-file")


@pytest.mark.parametrize("files", DATABASES.values(), ids=DATABASES)
def test_damage_is_never_silent_about_nothing(files):
    """Cut or flipped databases give packages or an issue, and no other exception."""
    chance = random.Random(8)
    for path, whole in files.items():
        for _ in range(25):
            data = bytearray(whole[: chance.randrange(len(whole))])
            assert_told(inspect(files | {path: bytes(data)}))
            data = bytearray(whole)
            for _ in range(chance.randrange(1, 200)):
                data[chance.randrange(len(data))] = chance.randrange(256)
            assert_told(inspect(files | {path: bytes(data)}))


def assert_told(outputs):
    assert outputs
    assert all(isinstance(o, Package | OwnedFiles | FileIssue) for o in outputs)


def test_berkeley_overflow_cycle_ends():
    data = bytearray(fixture("Packages.little"))
    for start in range(0, len(data), 4096):
        if data[start + 25] == 7:
            data[start + 16 : start + 20] = struct.pack("<I", start // 4096)  # next is itself
            data[start + 22 : start + 24] = struct.pack("<H", 1)
    *_, issue = inspect({BDB: bytes(data)})
    assert (issue.path, issue.code) == (BDB, "malformed-file")


def test_berkeley_encrypted_is_an_issue():
    data = bytearray(fixture("Packages.little"))
    data[24] = 1
    (issue,) = inspect({BDB: bytes(data)})
    assert issue.reason == "Berkeley DB: encrypted"


def header(*entries: tuple[int, int, int, bytes], counts: tuple[int, int] | None = None) -> bytes:
    """Return a header of (tag, type, count, data) entries; ``counts`` overrides il and dl."""
    index, data = b"", b""
    for tag, kind, count, body in entries:
        data += b"\0" * (-len(data) % 4)
        index += struct.pack(">iIiI", tag, kind, len(data), count)
        data += body
    return struct.pack(">II", *(counts or (len(entries), len(data)))) + index + data


NAME = (1000, 6, 1, b"a\0")
VERSION = (1001, 6, 1, b"1\0")
RELEASE = (1002, 6, 1, b"2\0")


def test_later_entry_of_a_tag_wins():
    found = parse_header(header(NAME, VERSION, RELEASE, (1002, 6, 1, b"3\0")), BDB)
    assert found.release == "3"


@pytest.mark.parametrize(
    "blob",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\0" * 8, id="no_tags"),
        pytest.param(header(NAME), id="no_version"),
        pytest.param(header((1000, 6, 1, b"\0"), VERSION), id="empty_name"),
        pytest.param(header((1000, 4, 1, b"\0\0\0\1"), VERSION), id="name_is_a_number"),
        pytest.param(header(VERSION, (1000, 6, 1, b"abc")), id="name_without_end"),
        pytest.param(header(NAME, VERSION, counts=(0x10000, 4)), id="too_many_tags"),
        pytest.param(header(NAME, VERSION, counts=(2, 0xFFFFFFFF)), id="too_much_data"),
        pytest.param(header(NAME, VERSION, counts=(3, 6)), id="tags_beyond_the_end"),
        pytest.param(
            header(NAME, VERSION, (1003, 4, 0xFFFFFFFF, b"\0\0\0\1")), id="epochs_beyond_the_end"
        ),
        pytest.param(
            header(NAME, VERSION, (1117, 8, 0xFFFFFFFF, b"x\0")), id="names_beyond_the_end"
        ),
        pytest.param(header(NAME, VERSION, (1117, 8, 1, b"x\0")), id="files_without_directories"),
        pytest.param(
            header(
                NAME,
                VERSION,
                (1116, 4, 1, b"\0\0\0\1"),
                (1117, 8, 1, b"x\0"),
                (1118, 8, 1, b"/usr/\0"),
            ),
            id="directory_index_beyond_the_end",
        ),
        pytest.param(
            header(
                NAME,
                VERSION,
                (1116, 4, 50_000, bytes(200_000)),
                (1117, 8, 50_000, b"x\0" * 50_000),
                (1118, 8, 1, b"/" + b"d" * 50_000 + b"\0"),
            ),
            id="paths_of_gigabytes",
        ),
    ],
)
def test_header_rejects(blob):
    with pytest.raises(MalformedFileError):
        parse_header(blob, BDB)


def test_header_offsets_may_not_be_negative():
    blob = bytearray(header(NAME, VERSION))
    blob[16:20] = struct.pack(">i", -4)
    with pytest.raises(MalformedFileError):
        parse_header(bytes(blob), BDB)
