"""Lock files of Python, Rust and Ruby."""

from __future__ import annotations

import pytest

from scanner.analyzers.packages import cargo_lock, gem_lock, python_locks, python_requirements
from scanner.errors import MalformedFileError
from scanner.model import Package
from scanner.ports import LayerFile

TOML, PIPFILE = python_locks.ANALYZERS
(REQUIREMENTS,) = python_requirements.ANALYZERS
(CARGO,) = cargo_lock.ANALYZERS
(GEMS,) = gem_lock.ANALYZERS
PATH = "app/lock"


def parse(analyzer, body):
    body = body.encode() if isinstance(body, str) else body
    return list(analyzer.parse(LayerFile(PATH, body)))


def declared(purl_type, *found):
    return [
        Package(purl_type=purl_type, name=name, version=version, path=PATH, declared=True)
        for name, version in found
    ]


UV = """version = 1
[[package]]
name = "Flask_Login"
version = "0.6.3"
source = { registry = "https://pypi.org/simple" }
wheels = [{ url = "https://f.example/a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q.r.s.t-1.0.whl" }]

[[package]]
name = "app"
source = { editable = "." }
"""
PYLOCK = """lock-version = "1.0"
[[packages]]
name = "attrs"
version = "25.1.0"
[[packages]]
name = "near"
directory = { path = "../near" }
"""
PIPFILE_LOCK = """{"_meta": {}, "default": {"Flask": {"version": "==3.0.0"}, "git": {"ref": "0a"}},
"develop": {"pytest": {"version": "==8.0", "markers": "x"}}}"""
REQUIRED = """# comment
Flask==3.0.0
requests[security,socks] == 2.31.0 ; python_version < "4"
exact===1.0
hashed==1.2 \\
    --hash=sha256:00 \\
    --hash=sha256:11
noted==1.3  # why
range>=1,<2
both==1.0,<2
any==1.*
-r other.txt
-e .
git+https://example.org/x.git@v1==2
x @ https://example.org/x-1.0.whl
"""
GEMFILE_LOCK = """GIT
  remote: https://example.org/g.git
  revision: 0a1b
  specs:
    from-git (0.1.0)

PATH
  remote: .
  specs:
    local (1.0.0)
      rack (~> 3.0)

GEM
  remote: https://rubygems.org/
  specs:
    nokogiri (1.16.0-x86_64-linux)
      racc (~> 1.4)
    racc (1.7.3)
    pre (1.0.0.rc1)

PLATFORMS
  x86_64-linux

DEPENDENCIES
  nokogiri

BUNDLED WITH
   2.5.3
"""


@pytest.mark.parametrize(
    ("analyzer", "body", "want"),
    [
        pytest.param(TOML, UV, declared("pypi", ("flask-login", "0.6.3")), id="uv"),
        pytest.param(TOML, PYLOCK, declared("pypi", ("attrs", "25.1.0")), id="pylock"),
        pytest.param(
            PIPFILE,
            PIPFILE_LOCK,
            declared("pypi", ("flask", "3.0.0"), ("pytest", "8.0")),
            id="pipenv",
        ),
        pytest.param(
            REQUIREMENTS,
            REQUIRED,
            declared(
                "pypi",
                ("flask", "3.0.0"),
                ("requests", "2.31.0"),
                ("exact", "1.0"),
                ("hashed", "1.2"),
                ("noted", "1.3"),
            ),
            id="requirements",
        ),
        pytest.param(
            REQUIREMENTS, "\ufeffA_b==1\r\n", declared("pypi", ("a-b", "1")), id="requirements_crlf"
        ),
        pytest.param(
            CARGO,
            'version = 4\n[[package]]\nname = "addr2line"\nversion = "0.21.0"\n'
            '[[package]]\nname = "app"\nversion = "0.1.0"\n',
            declared("cargo", ("addr2line", "0.21.0"), ("app", "0.1.0")),
            id="cargo",
        ),
        pytest.param(CARGO, "version = 4\n", [], id="cargo_empty"),
    ],
)
def test_parse(analyzer, body, want):
    assert parse(analyzer, body) == want


def test_gems():
    assert [(p.name, p.version, p.qualifiers, p.declared) for p in parse(GEMS, GEMFILE_LOCK)] == [
        ("from-git", "0.1.0", {}, True),
        ("nokogiri", "1.16.0", {"platform": "x86_64-linux"}, True),
        ("racc", "1.7.3", {}, True),
        ("pre", "1.0.0.rc1", {}, True),
    ]


@pytest.mark.parametrize(
    ("analyzer", "body"),
    [
        pytest.param(TOML, "not toml", id="not_toml"),
        pytest.param(TOML, b"\xff\xfe", id="not_utf8"),
        pytest.param(TOML, "package = 3\n", id="no_list"),
        pytest.param(TOML, "package = [3]\n", id="no_table"),
        pytest.param(TOML, '[[package]]\nname = "x"\n', id="no_version_no_source"),
        pytest.param(TOML, '[[package]]\nversion = "1"\n', id="no_name"),
        pytest.param(TOML, '[[package]]\nname = "x"\nversion = 1\nsource = {}\n', id="number"),
        pytest.param(TOML, "a = " + "[" * 100_000, id="deep"),
        pytest.param(TOML, "a." * 50_000 + "b = 1\n", id="endless_key"),
        pytest.param(CARGO, '[[package]]\nname = "x"\n', id="cargo_no_version"),
        pytest.param(PIPFILE, "[]", id="pipenv_list"),
        pytest.param(PIPFILE, '{"default": []}', id="pipenv_group_list"),
        pytest.param(PIPFILE, '{"default": {"x": "==1"}}', id="pipenv_entry_text"),
        pytest.param(
            PIPFILE, '{"default": {"\\ud800": {"version": "==1"}}}', id="pipenv_surrogate"
        ),
        pytest.param(GEMS, "nothing here\n", id="gems_without_sections"),
        pytest.param(GEMS, b"GEM\n\xff", id="gems_not_utf8"),
    ],
)
def test_rejects(analyzer, body):
    with pytest.raises(MalformedFileError):
        parse(analyzer, body)
