"""The documentation names everything there is, its generated pages are today's, and its links lead somewhere."""

from __future__ import annotations

import importlib.util
import re
import subprocess
from pathlib import Path

import click
import pytest

from scanner import discovery, errors
from scanner.analyzers.secrets.engine import load_rules
from scanner.cli.exit_codes import ExitCode
from scanner.cli.main import cli
from scanner.config import explain_settings

REPOSITORY = Path(__file__).resolve().parents[2]
DOCS = REPOSITORY / "docs"
RULES = sorted((REPOSITORY / "scanner/analyzers/secrets/rules").glob("*.toml"))
PAGES = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_RULE_ID = re.compile(r"[\"']((?:config|crypto|privilege)/[a-z0-9-]+)[\"']")
_PLACES = re.compile(rb"(?<!\w)/wor[k]/|\.librar[y]")
"""Paths that exist on no machine but the one that something was written on."""


def page(name: str) -> str:
    return (DOCS / name).read_text()


def generator():
    spec = importlib.util.spec_from_file_location("docs_generator", REPOSITORY / "scripts/_docs.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("path", "content"), generator().pages().items(), ids=lambda v: v[:40])
def test_generated_pages_are_todays(path, content):
    assert (REPOSITORY / path).read_text() == content, "run scripts/docs"


def test_every_setting_and_limit():
    settings = page("settings.md")
    infos = explain_settings(None, {"XDG_CONFIG_HOME": "/nonexistent"})
    missing = [t for i in infos for t in (i.name, i.variable) if f"`{t}`" not in settings]
    assert missing == []


def commands() -> dict[str, click.Command]:
    context = click.Context(cli)
    return {name: cli.get_command(context, name) for name in cli.list_commands(context)}


def test_every_command_and_option():
    text = page("cli.md")
    missing = [name for name in commands() if f"`scanner {name}" not in text]
    for command in [cli, *commands().values()]:
        options = [p for p in command.params if isinstance(p, click.Option)]
        missing += [o for p in options for o in p.opts if not re.search(rf"[` ]{o}[ `]", text)]
    assert missing == []


@pytest.mark.parametrize("code", ExitCode, ids=lambda c: c.name)
def test_every_exit_code(code):
    assert re.search(rf"^\| {code.value} \| `{code.name}` \|", page("cli.md"), re.MULTILINE)


def test_every_error_code():
    codes = {
        kind.code
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.ScannerError)
    }
    text = page("cli.md")
    assert (
        sorted(c for c in codes | {"skipped", "analyzer-failed"} if f"| `{c}` |" not in text) == []
    )


def test_every_plug_in():
    text = page("plugins.md")
    names = [
        *(a.name for a in discovery.analyzers()),
        *(s.name for s in discovery.source_factories()),
        *discovery.report_formats(),
        *discovery.admission_protocols(),
    ]
    assert [n for n in names if f"`{n}`" not in text] == []


def test_every_rule():
    text = page("rules.md")
    secrets = {rule.id for path in RULES for rule in load_rules(path)}
    assert sorted(r for r in secrets if f"`{r}`" not in text) == []


def test_every_id_in_the_source_of_checks_is_a_rule_or_a_name():
    """The generator reads rule ids from the source: none may be written in a way that it cannot see."""
    listed = {rule.id for rule in generator().check_rules()}
    known = {a.name for a in discovery.analyzers()}
    known |= {p.id for a in discovery.analyzers() for p in getattr(a, "patterns", ())}
    unseen = set()
    for package in ("config", "crypto"):
        for path in (REPOSITORY / "scanner/analyzers" / package).glob("*.py"):
            unseen |= set(_RULE_ID.findall(path.read_text())) - listed - known
    assert unseen == set()


def test_every_rule_has_severity_and_title():
    incomplete = [r for r in generator().check_rules() if not r.severities or not r.titles]
    assert incomplete == []


@pytest.mark.parametrize("path", PAGES, ids=lambda p: str(p.relative_to(REPOSITORY)))
def test_links_lead_somewhere(path):
    broken = []
    for target in _LINK.findall(path.read_text()):
        name, _, anchor = target.partition("#")
        if target.startswith(("http://", "https://")):
            continue
        other = path.parent / name if name else path
        if not other.exists() or (anchor and anchor not in _anchors(other)):
            broken.append(target)
    assert broken == []


def _anchors(path: Path) -> set[str]:
    heads = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("path", PAGES, ids=lambda p: str(p.relative_to(REPOSITORY)))
def test_nothing_is_left_for_later(path):
    assert not re.search(r"\b(?:TODO|FIXME|XXX|TBD)\b", path.read_text())


def test_no_file_names_a_place_of_its_author():
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    found = []
    for name in filter(None, listed.stdout.split("\0")):
        path = REPOSITORY / name
        if path.is_file() and _PLACES.search(path.read_bytes()):
            found.append(name)
    assert found == []
