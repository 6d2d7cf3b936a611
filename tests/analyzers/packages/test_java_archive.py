"""Java archives, whole and hostile. Bombs are made here, at run time."""

from __future__ import annotations

import mmap
import tracemalloc

import pytest
from support.analyzer_samples import archive, raw_archive

from scanner.analyzers.packages import java_archive
from scanner.analyzers.packages.java_archive import ANALYZERS, ARCHIVE_DEPTH
from scanner.errors import LimitExceededError, MalformedFileError
from scanner.model import Package
from scanner.model.report import FileIssue
from scanner.ports import LayerFile

(ANALYZER,) = ANALYZERS
PATH = "opt/app.jar"
MANIFEST = "META-INF/MANIFEST.MF"


def parse(body, path=PATH):
    return list(ANALYZER.parse(LayerFile(path, body)))


def maven(group, name, version, path=PATH, **qualifiers):
    return Package(
        purl_type="maven",
        namespace=group,
        name=name,
        version=version,
        path=path,
        qualifiers=qualifiers,
    )


def issue(path, code="malformed-file"):
    return (path, code)


def issues(found):
    return [(one.path, one.code) for one in found if isinstance(one, FileIssue)]


def packages(found):
    return [one for one in found if isinstance(one, Package)]


def properties(group, name, version):
    place = f"META-INF/maven/{group}/{name}/pom.properties"
    return {place: f"#Generated\nversion={version}\ngroupId={group}\nartifactId={name}\n"}


def library(name="lib", version="1.0"):
    return archive(properties("org.example", name, version))


@pytest.mark.parametrize(
    ("path", "entries", "want"),
    [
        pytest.param(
            "lib/guava-32.1.jar",
            properties("com.google.guava", "guava", "32.1"),
            [("com.google.guava", "guava", "32.1")],
            id="pom_properties",
        ),
        pytest.param(
            "app.jar",
            properties("a", "one", "1") | properties("b", "two", "2"),
            [("a", "one", "1"), ("b", "two", "2")],
            id="shaded_under_a_bare_name",
        ),
        pytest.param(
            "fat-3.0.jar",
            properties("a", "one", "1") | {MANIFEST: "Implementation-Vendor-Id: org.fat\n"},
            [("a", "one", "1"), ("org.fat", "fat", "3.0")],
            id="shaded_under_its_own_name",
        ),
        pytest.param(
            "fat-3.0.jar",
            properties("a", "one", "1") | properties("org.fat", "fat", "3.0"),
            [("a", "one", "1"), ("org.fat", "fat", "3.0")],
            id="shaded_with_its_own_properties",
        ),
        pytest.param(
            "x-1.0.jar",
            properties("a", "x", "1.0")
            | {"BOOT-INF/classes/" + p: b for p, b in properties("a", "x", "1.0").items()},
            [("a", "x", "1.0")],
            id="same_properties_twice",
        ),
        pytest.param(
            "x-2.0.jar",
            properties("a", "x", "${project.version}"),
            [("a", "x", "2.0")],
            id="version_of_the_file_name_for_a_placeholder",
        ),
        pytest.param(
            "x.jar",
            {"META-INF/maven/a/x/pom.properties": "version=1\n"},
            [("a", "x", "1")],
            id="group_and_name_of_the_directory",
        ),
        pytest.param(
            "x.jar",
            {
                "META-INF/maven/a/x/pom.xml": "<project xmlns='u'><parent><groupId>g</groupId>"
                "<artifactId>p</artifactId><version>7</version></parent><artifactId>x</artifactId>"
                "<dependencies><dependency><artifactId>no</artifactId></dependency></dependencies></project>"
            },
            [("g", "x", "7")],
            id="pom_xml_inherits",
        ),
        pytest.param(
            "x.jar",
            properties("a", "x", "1") | {"META-INF/maven/a/x/pom.xml": "not even XML"},
            [("a", "x", "1")],
            id="pom_xml_beside_properties_is_not_read",
        ),
        pytest.param(
            "tool.jar",
            {MANIFEST: "Implementation-Title: my-tool\r\nImplementation-Version: 4.5\r\n"},
            [("", "my-tool", "4.5")],
            id="manifest",
        ),
        pytest.param(
            "tool.jar",
            {MANIFEST: "Bundle-SymbolicName: org.x.tool;single\n ton:=true\nBundle-Version: 4.5\n"},
            [("", "org.x.tool", "4.5")],
            id="manifest_of_a_bundle",
        ),
        pytest.param(
            "commons-lang-2.6.jar",
            {MANIFEST: "Implementation-Title: Commons Lang\nBundle-Version: 2.6.0.x\n"},
            [("", "commons-lang", "2.6")],
            id="titles_for_people_are_no_names",
        ),
        pytest.param(
            "log4j-1.2.17.jar", {"a.class": ""}, [("", "log4j", "1.2.17")], id="file_name"
        ),
        pytest.param("app.war", {"a.class": ""}, [], id="packaging_of_its_own"),
        pytest.param("lib.jar", {"a.class": ""}, [("", "lib", "")], id="name_without_version"),
        pytest.param(
            "bcprov-jdk18on-1.77.jar",
            {MANIFEST: "Implementation-Version: 1.77.00.0\nBundle-Version: 1.77\n"},
            [("", "bcprov-jdk18on", "1.77")],
            id="file_name_before_manifest",
        ),
        pytest.param(
            "servlet-api-2.jar",
            {MANIFEST: "Implementation-Version: 2.5.1\n"},
            [("", "servlet-api", "2.5.1")],
            id="file_named_for_an_api",
        ),
        pytest.param("app.jar", {}, [("", "app", "")], id="empty_archive"),
    ],
)
def test_identity(path, entries, want):
    assert parse(archive(entries), path) == [maven(*one, path=path) for one in want]


def test_classifier():
    path = "x-1.0-sources.jar"
    assert parse(archive({}), path) == [maven("", "x", "1.0", path, classifier="sources")]


def test_archives_in_archives():
    inner = archive(properties("g", "deep", "3") | {"lib/leaf-1.0.jar": archive({})}, stored=True)
    war = archive({"WEB-INF/lib/deep-3.jar": inner} | properties("g", "web", "2"))
    body = archive({"web.war": war} | properties("g", "app", "1"), stored=True)
    assert parse(body, "app.ear") == [
        maven("g", "app", "1", "app.ear"),
        maven("g", "web", "2", "app.ear!/web.war"),
        maven("g", "deep", "3", "app.ear!/web.war!/WEB-INF/lib/deep-3.jar"),
        maven("", "leaf", "1.0", "app.ear!/web.war!/WEB-INF/lib/deep-3.jar!/lib/leaf-1.0.jar"),
    ]


def test_script_in_front():
    script = b"#!/bin/sh\nexec java -jar $0\n"
    want = [maven("org.example", "lib", "1.0")]
    assert parse(archive(properties("org.example", "lib", "1.0"), before=script)) == want


def test_file_on_disk(tmp_path):
    path = tmp_path / "x.jar"
    path.write_bytes(archive({"BOOT-INF/lib/lib-1.0.jar": library()}))
    with path.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as data:
        assert [p.name for p in parse(data)] == ["app", "lib"]


@pytest.mark.parametrize("path", ["x.rar", "x.kar", "var/log/sa.sar"])
def test_other_formats_of_the_same_suffix(path):
    assert parse(b"Rar!\x1a\x07\x00" + bytes(64), path) == []


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"not a zip", id="not_zip"),
        pytest.param(library()[:-10], id="end_cut_off"),
        pytest.param(library()[-30:], id="start_cut_off"),
        pytest.param(library().replace(b"PK\x01\x02", b"PK\x01\x03"), id="broken_directory"),
        pytest.param(
            b"PK\x06\x07" + bytes(16) + b"PK\x05\x06" + bytes(18), id="zip64_without_record"
        ),
    ],
)
def test_rejects(body):
    with pytest.raises(MalformedFileError):
        parse(body)


def flagged(body, offset, value):
    """Return the archive with a byte of its last directory entry changed."""
    at = body.rfind(b"PK\x01\x02") + offset
    return body[:at] + bytes([value]) + body[at + 1 :]


@pytest.mark.parametrize(
    "inner",
    [
        pytest.param(b"garbage", id="not_zip"),
        pytest.param(library()[:60], id="cut_off"),
    ],
)
def test_broken_inner_archive_spares_the_rest(inner):
    found = parse(archive({"a.jar": library("a"), "b.jar": inner, "c.jar": library("c")}))
    assert [p.name for p in packages(found)] == ["app", "a", "c"]
    assert issues(found) == [issue(f"{PATH}!/b.jar")]


@pytest.mark.parametrize(
    ("offset", "value"),
    [
        pytest.param(8, 1, id="encrypted"),
        pytest.param(10, 99, id="unknown_method"),
        pytest.param(16, 0xAA, id="wrong_crc"),
        pytest.param(20, 1, id="wrong_compressed_size"),
        pytest.param(24, 1, id="wrong_size"),
        pytest.param(44, 0x40, id="wrong_offset"),
    ],
)
def test_broken_entry_is_an_issue(offset, value):
    body = flagged(archive({"a.jar": library("a"), "b.jar": library("b")}), offset, value)
    found = parse(body)
    assert [p.name for p in packages(found)] == ["app", "a"]
    assert issues(found) == [issue(f"{PATH}!/b.jar")]


@pytest.mark.parametrize(
    "xml",
    [
        pytest.param("<project><artifactId>x", id="cut_off"),
        pytest.param("<!DOCTYPE p [<!ENTITY a 'b'>]><project/>", id="document_type"),
        pytest.param("<a>" * 100_000, id="deep"),
        pytest.param("", id="empty"),
    ],
)
def test_broken_pom_is_an_issue(xml):
    place = "META-INF/maven/a/x/pom.xml"
    found = parse(archive({place: xml}))
    assert packages(found) == [maven("", "app", "")]
    assert issues(found) == [issue(f"{PATH}!/{place}")]


def test_nesting_is_bounded():
    body = library("level-9")
    for level in range(8, 0, -1):
        body = archive({f"{level}.jar": body})
    found = parse(body)
    assert len(packages(found)) == ARCHIVE_DEPTH + 1
    assert [code for _, code in issues(found)] == ["limit-exceeded"]


def test_archive_that_holds_itself():
    """All entries lead to the same bytes, each claims to be an archive: 20 ways at every level."""
    body = raw_archive([(b"x.jar", b"PK\x05\x06" + bytes(18), 22)])
    for _ in range(4):
        body = raw_archive([(b"%d.jar" % i, body, len(body)) for i in range(20)], same_body=True)
    found = parse(body)
    assert len(found) < 25_000
    assert issues(found)[-1] == issue(found[-1].path, "limit-exceeded")


def test_bombs_are_refused_before_they_inflate():
    zeros = bytes(48 * 1024 * 1024)
    body = archive({f"{i}.jar": zeros for i in range(3)})
    tracemalloc.start()
    try:
        found = parse(body)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert issues(found) == [issue(f"{PATH}!/{i}.jar", "limit-exceeded") for i in range(3)]
    assert peak_bytes < 1024 * 1024


def test_bomb_that_lies_about_its_size():
    body = raw_archive([(b"a.jar", bytes(8 * 1024 * 1024), 1000)])
    assert issues(parse(body)) == [issue(f"{PATH}!/a.jar")]


def test_inner_archive_larger_than_memory_allows(monkeypatch):
    monkeypatch.setattr(java_archive, "NESTED_BYTES", 100)
    assert issues(parse(archive({"a.jar": library()}))) == [
        issue(f"{PATH}!/a.jar", "limit-exceeded")
    ]


def test_many_entries():
    names = {f"com/example/C{i}.class": b"" for i in range(100_000)}
    assert parse(archive(names | properties("g", "a", "1"), stored=True)) == [maven("g", "a", "1")]


def test_more_entries_than_the_budget():
    entry = (b"", b"", 0)
    body = raw_archive([entry] * 10)
    start = body.find(b"PK\x01\x02")
    directory = body[start : start + 46]
    many = directory * 1_000_001
    end = b"PK\x05\x06" + bytes(8) + len(many).to_bytes(4, "little") + bytes(6)
    with pytest.raises(LimitExceededError) as caught:
        parse(many + end)
    assert caught.value.limit == "archive_entries_count"


def test_more_inner_archives_than_can_be_listed():
    with pytest.raises(LimitExceededError) as caught:
        parse(raw_archive([(b"%d.jar" % i, b"", 0) for i in range(20_001)], same_body=True))
    assert caught.value.limit == "archive_members_count"


def test_duplicate_entries_count_once():
    first = (b"a.jar", library("one"), len(library("one")))
    other = (b"a.jar", library("two"), len(library("two")))
    assert [p.name for p in parse(raw_archive([first, other]))] == ["app", "one"]
