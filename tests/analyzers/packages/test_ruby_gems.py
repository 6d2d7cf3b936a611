"""Installed Ruby gems."""

from __future__ import annotations

import pytest

from scanner.analyzers.packages.ruby_gems import ANALYZERS
from scanner.errors import MalformedFileError
from scanner.model import Package
from scanner.ports import LayerFile

(ANALYZER,) = ANALYZERS
PATH = "usr/lib/ruby/gems/3.1.0/specifications/x-1.0.gemspec"
STUB = b"# -*- encoding: utf-8 -*-\n# stub: rake 13.0.6 ruby lib\n# stub: ext/x.rb\n\n"


def parse(body: bytes, path: str = PATH):
    return list(ANALYZER.parse(LayerFile(path, body)))


def gem(name, version, platform="", licenses=(), path=PATH):
    return Package(
        purl_type="gem",
        name=name,
        version=version,
        path=path,
        qualifiers={"platform": platform} if platform else {},
        licenses=licenses,
    )


@pytest.mark.parametrize(
    ("body", "want"),
    [
        pytest.param(STUB, gem("rake", "13.0.6"), id="stub_line"),
        pytest.param(
            b"# stub: nokogiri 1.16.0 x86_64-linux lib\n",
            gem("nokogiri", "1.16.0", "x86_64-linux"),
            id="stub_line_with_platform",
        ),
        pytest.param(
            STUB + b'Gem::Specification.new do |s|\n  s.name = "other"\n  s.version = "2"\n'
            b"  s.licenses = [\"MIT\".freeze, 'Ruby']\nend\n",
            gem("rake", "13.0.6", licenses=("MIT", "Ruby")),
            id="stub_line_before_code",
        ),
        pytest.param(
            b'Gem::Specification.new do |s|\n  s.name = "date".freeze\n'
            b'  s.version = Gem::Version.new("3.2.2")\n  s.platform = "java"\n  s.license = "BSD"\n',
            gem("date", "3.2.2", "java", ("BSD",)),
            id="code",
        ),
        pytest.param(
            b"spec.name = File.basename(__FILE__)\nspec.version = X::VERSION\n",
            gem("x", "1.0"),
            id="file_name_for_what_is_computed",
        ),
        pytest.param(b"# caf\xe9\n# stub: a 1 ruby lib\n", gem("a", "1"), id="not_utf8"),
    ],
)
def test_parse(body, want):
    assert parse(body) == [want]


def test_platform_of_the_file_name():
    path = "gems/specifications/sqlite3-1.6.0-x86_64-linux.gemspec"
    assert parse(b"", path) == [gem("sqlite3", "1.6.0", "x86_64-linux", path=path)]


def test_nothing_to_go_by():
    with pytest.raises(MalformedFileError):
        parse(b"puts 1\n", "srv/specifications/foo.gemspec")
