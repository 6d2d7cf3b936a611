"""Declared interests: the look-up says what the globs say."""

from __future__ import annotations

import pytest

from scanner.layers.interest import InterestTable, compile_glob
from scanner.ports import FileAnalyzer, Interest


def analyzer(name: str, *globs: str, magics: tuple[bytes, ...] = ()) -> FileAnalyzer:
    return FileAnalyzer(name, 1, Interest(globs, magics), lambda _: ())


TABLE = InterestTable(
    [
        analyzer("status", "var/lib/dpkg/status"),
        analyzer("jar", "**/*.jar", "**/*.war"),
        analyzer("metadata", "**/*.dist-info/METADATA"),
        analyzer("status-d", "**/dpkg/status.d/*"),
        analyzer("specs", "**/specifications/**/*.gemspec"),
        analyzer("pins", "**/requirements*.txt"),
        analyzer("any-jar", "**/*.jar"),
        analyzer("elf", magics=(b"\x7fELF",)),
    ]
)


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("var/lib/dpkg/status", ["status"]),
        ("x/var/lib/dpkg/status", []),
        ("app.jar", ["jar", "any-jar"]),
        ("opt/a/b.war", ["jar"]),
        ("opt/a/b.jar.txt", []),
        ("opt/jar", []),
        ("usr/lib/python3/x-1.0.dist-info/METADATA", ["metadata"]),
        ("usr/lib/python3/x/METADATA", []),
        ("var/lib/dpkg/status.d/base", ["status-d"]),
        ("var/lib/dpkg/status.d/sub/base", []),
        ("g/specifications/a.gemspec", ["specs"]),
        ("g/specifications/default/a.gemspec", ["specs"]),
        ("g/a.gemspec", []),
        ("requirements.txt", ["pins"]),
        ("a/requirements-dev.txt", ["pins"]),
        ("a/other.txt", []),
        ("new\nline/app.jar", ["jar", "any-jar"]),
    ],
)
def test_wanted(path, names):
    raw = path.encode()
    directory, _, name = raw.rpartition(b"/")
    assert [a.name for a in TABLE.wanted(raw, directory, name)] == names
    assert TABLE.matches(path) == bool(names)


def test_magics_are_looked_up_by_four_bytes():
    assert [a.name for a in TABLE.magics[b"\x7fELF"]] == ["elf"]


@pytest.mark.parametrize("glob", ["**/*", "*/*", "a*", "**/a.*"])
def test_refuses_globs_without_a_key(glob):
    with pytest.raises(ValueError, match="cannot be looked up"):
        InterestTable([analyzer("x", glob)])


def test_refuses_other_magics():
    with pytest.raises(ValueError, match="four bytes"):
        InterestTable([analyzer("x", magics=(b"PK",))])


@pytest.mark.parametrize(
    ("glob", "path", "fits"),
    [
        ("a/*.x", "a/b.x", True),
        ("a/*.x", "a/b/c.x", False),
        ("a/**/b", "a/b", True),
        ("a/**/b", "a/c/d/b", True),
        ("a.b", "axb", False),
        ("a?b", "a/b", False),
    ],
)
def test_globs(glob, path, fits):
    assert bool(compile_glob(glob).match(path.encode())) == fits
