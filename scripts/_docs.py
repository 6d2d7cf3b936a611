"""What stands in the generated pages of ``docs/``; run by ``scripts/docs``, checked by ``tests/docs``."""

from __future__ import annotations

import ast
import copy
import json
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from scanner import discovery
from scanner.analyzers.secrets.engine import load_rules
from scanner.attest.predicates import scan
from scanner.config import SettingInfo, explain_settings
from scanner.model import Severity
from scanner.pipeline.scan import SCHEMA_VERSION
from scanner.policy import cases, parse
from scanner.ports import EntryAnalyzer, FileAnalyzer, PatternAnalyzer
from scanner.ports.analyzer import Analyzer
from scanner.ports.control import Control, Level
from scanner.reports.json import schema

REPOSITORY: Final = Path(__file__).resolve().parent.parent
_ANALYZERS: Final = REPOSITORY / "scanner/analyzers"
_RULE_ID: Final = re.compile(r"(?:config|crypto|privilege)/[a-z0-9…-]+\Z")
_NOTE: Final = "<!-- Written by scripts/docs: do not edit. -->"


def pages() -> dict[str, str]:
    """Return path (below the repository) -> content of every generated page."""
    return {
        "docs/settings.md": settings_page(),
        "docs/rules.md": rules_page(),
        "docs/plugins.md": plugins_page(),
        "docs/pod-security.md": pod_security_page(),
        f"docs/schema/scan-report-{SCHEMA_VERSION}.json": json.dumps(schema(), indent=2) + "\n",
        f"docs/schema/attestation-scan-{scan.SCHEMA_VERSION}.json": (
            json.dumps(scan.schema(), indent=2) + "\n"
        ),
        "docs/schema/policy-v1.json": json.dumps(parse.schema(), indent=2) + "\n",
        "docs/schema/policy-test-v1.json": json.dumps(cases.schema(), indent=2) + "\n",
        "scanner/policy/rule_ids.txt": "".join(f"{rule}\n" for rule in rule_ids()),
    }


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    heads = list(heads)
    yield f"| {' | '.join(heads)} |"
    yield "|" + "---|" * len(heads)
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


# Settings


def settings_page() -> str:
    """Return the page that lists every setting with its default."""
    lines = [
        "# Settings",
        "",
        _NOTE,
        "",
        "Each setting can be given in three ways; a later one wins:",
        "",
        "1. a TOML file: `--config FILE`, else `$SCANNER_CONFIG`, else the first that exists of",
        "   `~/.config/scanner/scanner.toml` (below `$XDG_CONFIG_HOME` if that is set) and",
        "   `/etc/scanner/scanner.toml`. The setting `scan.fail_on` is `fail_on = …` in its section `[scan]`;",
        "2. the environment: `SCANNER_SCAN_FAIL_ON`. Lists are separated by commas;",
        "3. an option of the command, where there is one ([cli.md](cli.md)).",
        "",
        "`scanner settings` lists them with the values that count now and where those come from. An unknown",
        "name, a wrong type or a number that is not above 0 is an error that names file and setting; passwords",
        "are never shown.",
    ]
    infos = explain_settings(None, {"XDG_CONFIG_HOME": "/nonexistent"})
    for section in dict.fromkeys(i.name.partition(".")[0] for i in infos):
        lines += ["", f"## [{section}]", ""]
        if section == "limits":
            lines += [
                "Bounds that hold whatever an image holds. The unit is the end of the name. A limit that is hit is in the",
                "report's coverage block, and makes the scan `partial`; [security.md](security.md) says why they are there.",
                "",
            ]
        of_section = [i for i in infos if i.name.startswith(f"{section}.")]
        lines += _table(
            ("setting", "default", "meaning", "variable"), map(_setting_row, of_section)
        )
    return "\n".join(lines) + "\n"


def _setting_row(info: SettingInfo) -> tuple[str, ...]:
    description = info.description.replace("``", "`")
    return _code(info.name), _code(info.default), description, _code(info.variable)


# Rules


class CheckRule(NamedTuple):
    """One rule id that the code of an analyzer gives, with every severity and title it can have."""

    id: str
    severities: tuple[Severity, ...]
    titles: tuple[str, ...]


def rules_page() -> str:
    """Return the page that lists every rule id with its severity."""
    lines = [
        "# Rules",
        "",
        _NOTE,
        "",
        "Every `rule_id` that a finding can have. Where several severities stand, the case decides (the number of bits",
        "of a key, whether others may write a setuid file). Why it matters and what to do is in each finding.",
        "",
        "## Weak cryptography, dangerous settings, privileges",
        "",
    ]
    lines += _table(
        ("rule", "severity", "what was found"),
        ((_code(r.id), ", ".join(r.severities), "; ".join(r.titles)) for r in check_rules()),
    )
    lines += ["", "## Pods", "", "What each looks at: [pod security](pod-security.md).", ""]
    lines += _table(
        ("rule", "severity", "what was found"),
        sorted((_code(c.rule_id), str(c.severity), c.title) for c in discovery.pod_controls()),
    )
    lines += [
        "",
        "## Credentials",
        "",
        "Looked for in every byte of every layer, deleted files included, and in the texts of the image config. They are",
        "data: [how-to/add-a-secret-rule.md](how-to/add-a-secret-rule.md).",
    ]
    for path in sorted((_ANALYZERS / "secrets/rules").glob("*.toml")):
        lines += ["", f"### {path.stem.replace('_', ' ')}", ""]
        rows = ((_code(r.id), str(r.severity), r.title) for r in load_rules(path))
        lines += _table(("rule", "severity", "what was found"), rows)
    return "\n".join(lines) + "\n"


def rule_ids() -> list[str]:
    """Return the ids of all rules, sorted."""
    secrets = {r.id for p in (_ANALYZERS / "secrets/rules").glob("*.toml") for r in load_rules(p)}
    pods = {control.rule_id for control in discovery.pod_controls()}
    return sorted(secrets | pods | {rule.id for rule in check_rules()})


def check_rules() -> list[CheckRule]:
    """Return the rules that are code, by id: read from the source, where each is written out."""
    found: dict[str, tuple[set[Severity], dict[str, None]]] = {}
    for package in ("config", "crypto"):
        for path in sorted((_ANALYZERS / package).glob("[a-z]*.py")):
            for rule_id, severities, title in _Module(path).rules():
                known, titles = found.setdefault(rule_id, (set(), {}))
                known |= severities
                titles |= {title: None} if title else {}
    return [
        CheckRule(name, tuple(s for s in Severity if s in severities), tuple(titles))
        for name, (severities, titles) in sorted(found.items())
    ]


class _Module:
    """The source of one analyzer."""

    def __init__(self, path: Path) -> None:
        self._tree = _parsed(path)
        self._functions = {
            node.name: node for node in ast.walk(self._tree) if isinstance(node, ast.FunctionDef)
        }

    def rules(self) -> Iterator[tuple[str, set[Severity], str]]:
        """Yield rule id, severities and title of every call that is given a rule id."""
        for scope in self._tree.body:
            for call in (n for n in ast.walk(scope) if isinstance(n, ast.Call)):
                for case in _cases(call):
                    values = [*case.args, *(k.value for k in case.keywords if k.arg == "rule_id")]
                    for rule_id in (t for v in values for t in _texts(v, scope)):
                        if _RULE_ID.match(rule_id):
                            yield rule_id, self._severities(case, scope), self._title(case)

    def _severities(self, call: ast.Call, scope: ast.stmt) -> set[Severity]:
        """Return what the call names; else what its helpers or its function do; else what its data can be."""
        helpers = self._helpers(call)
        return (
            _named(call)
            or {s for helper in helpers for s in _named(helper)}
            or _named(scope)
            or {s for constant in self._constants(scope) for s in _named(constant)}
            or {s for path in self._imported() for s in _named(_parsed(path))}
        )

    def _title(self, call: ast.Call) -> str:
        """Return the title that the call or the function it calls gives, or the first argument that reads like one."""
        for tree in (call, *self._helpers(call)):
            keywords = [n for n in ast.walk(tree) if isinstance(n, ast.keyword)]
            for title in (k.value for k in keywords if k.arg == "title"):
                if texts := _texts(title, None):
                    return texts[0]
        texts = [t for value in call.args for t in _texts(value, None)]
        return next((t for t in texts if " " in t), "")

    def _helpers(self, call: ast.Call) -> list[ast.FunctionDef]:
        return [self._functions[n] for n in sorted(_names(call) & self._functions.keys())]

    def _constants(self, scope: ast.stmt) -> list[ast.stmt]:
        """Return the constants that use a name of ``scope``, or are used there."""
        names = _names(scope) - {"Final", "Severity", "str"}
        return [n for n in self._tree.body if isinstance(n, ast.AnnAssign) and names & _names(n)]

    def _imported(self) -> Iterator[Path]:
        for node in ast.walk(self._tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
                "scanner.analyz"
            ):
                yield REPOSITORY / f"{(node.module or '').replace('.', '/')}.py"


def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _cases(call: ast.Call) -> Iterator[ast.Call]:
    """Yield the call; twice, each branch taken everywhere, if its rule id depends on a condition."""
    ids = [k.value for k in call.keywords if k.arg == "rule_id"]
    chosen = [value for value in ids if isinstance(value, ast.IfExp)]
    if not chosen:
        yield call
        return
    for branch in ("body", "orelse"):
        yield _Choose(ast.dump(chosen[0].test), branch).visit(copy.deepcopy(call))


class _Choose(ast.NodeTransformer):
    """Replaces ``x if condition else y`` by one of the two."""

    def __init__(self, condition: str, branch: str) -> None:
        self._condition = condition
        self._branch = branch

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        same = ast.dump(node.test) == self._condition
        chosen: ast.AST = self.visit(getattr(node, self._branch)) if same else node
        return chosen


def _names(tree: ast.AST) -> set[str]:
    return {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}


def _named(tree: ast.AST) -> set[Severity]:
    return {
        Severity[node.attr]
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "Severity"
        and node.attr in Severity.__members__
    }


def _texts(value: ast.expr, scope: ast.stmt | None) -> list[str]:
    """Return the texts an expression can have; names are looked up in ``scope``, the rest is ``…``."""
    if isinstance(value, ast.Constant):
        return [value.value] if isinstance(value.value, str) else []
    if isinstance(value, ast.Name) and scope is not None:
        return [t for v in _assigned(value.id, scope) for t in _texts(v, scope)]
    if isinstance(value, ast.IfExp) and scope is not None:
        return [*_texts(value.body, scope), *_texts(value.orelse, scope)]
    if isinstance(value, ast.JoinedStr):
        whole = [""]
        for part in value.values:
            inner = part.value if isinstance(part, ast.FormattedValue) else part
            choices = _texts(inner, scope) or ["…"]
            whole = [f"{before}{text}" for before in whole for text in choices]
        return whole
    return []


def _assigned(name: str, scope: ast.stmt) -> list[ast.expr]:
    return [
        node.value
        for node in ast.walk(scope)
        if isinstance(node, ast.Assign)
        and any(isinstance(t, ast.Name) and t.id == name for t in node.targets)
    ]


# Pod security


def pod_security_page() -> str:
    """Return the page on pod security as it is, with today's controls in its tables."""
    page = (REPOSITORY / "docs/pod-security.md").read_text(encoding="utf-8")
    tables = {
        "standards": _table(
            ("level", "control", "rule", "asks for", "since"),
            (_standard_row(c) for c in pod_controls() if c.level is not Level.PRIVILEGED),
        ),
        "beyond": _table(
            ("rule", "severity", "asks for"),
            (
                (_code(c.rule_id), str(c.severity), c.fields)
                for c in pod_controls()
                if c.level is Level.PRIVILEGED
            ),
        ),
    }
    for name, lines in tables.items():
        head, _, rest = page.partition(f"<!-- {name}: written by scripts/docs -->\n")
        tail = rest[rest.index("<!-- end -->") :]
        table = "\n".join(lines)
        page = f"{head}<!-- {name}: written by scripts/docs -->\n\n{table}\n\n{tail}"
    return page


def pod_controls() -> list[Control]:
    """Return the controls, those of the lower level first."""
    return sorted(discovery.pod_controls(), key=lambda c: (c.level.rank, c.rule_id))


def _standard_row(control: Control) -> tuple[str, ...]:
    changes = [f"v1.{minor}: {what}" for minor, what in control.changed]
    since = [f"v1.{control.since}"] if control.since else []
    texts = (control.fields, "; ".join(since + changes))
    return str(control.level), _code(control.name), _code(control.rule_id), *texts


# Plug-ins


def plugins_page() -> str:
    """Return the page that lists analyzers, sources, report formats, predicates, admission protocols and webhooks."""
    lines = [
        "# Plug-ins",
        "",
        _NOTE,
        "",
        "Everything here is found by walking its package; `scanner plugins` prints the same with versions. Adding one:",
        "[package format](how-to/add-a-package-format.md), [secret rule](how-to/add-a-secret-rule.md),",
        "[crypto or config check](how-to/add-a-crypto-or-config-check.md), [source](how-to/add-a-source.md),",
        "[report format](how-to/add-a-report-format.md), [predicate](how-to/add-a-predicate.md), [pod control](how-to/add-a-pod-control.md),",
        "[admission protocol](how-to/add-an-admission-protocol.md), [webhook](how-to/add-a-webhook.md).",
        "",
        "## Analyzers",
        "",
    ]
    lines += _table(
        ("analyzer", "is shown", "finds"),
        ((_code(a.name), _shown(a), a.summary) for a in discovery.analyzers()),
    )
    lines += ["", "## Sources", ""]
    lines += _table(
        ("source", "schemes", "reads"),
        (
            (_code(s.name), ", ".join(_code(f"{n}:") for n in s.schemes), s.summary)
            for s in discovery.source_factories()
        ),
    )
    lines += ["", "## Report formats", ""]
    lines += _table(
        ("format", "media type", "for"),
        ((_code(f.name), f.media_type, f.summary) for f in discovery.report_formats().values()),
    )
    lines += ["", "## Predicates", "", "What is attested: [attestations](attestations.md).", ""]
    lines += _table(
        ("predicate", "type", "states"),
        ((_code(p.name), _code(p.type), p.summary) for p in discovery.predicates().values()),
    )
    lines += ["", "## Admission", "", "How to have them asked: [admission](admission.md).", ""]
    lines += _table(
        ("protocol", "for"),
        ((_code(p.name), p.summary) for p in discovery.admission_protocols().values()),
    )
    lines += ["", "## Webhooks", "", "How to have them sent: [webhooks](webhooks.md).", ""]
    lines += _table(
        ("webhook", "signed in", "from"),
        (
            (_code(w.name), _code(w.signature.header) if w.signature else "", w.summary)
            for w in discovery.webhook_sources().values()
        ),
    )
    return "\n".join(lines) + "\n"


def _shown(analyzer: Analyzer) -> str:
    if isinstance(analyzer, FileAnalyzer):
        wanted = [_code(g) for g in analyzer.interest.globs]
        wanted += [
            f"content that begins with {_code(m.hex(' '))}" for m in analyzer.interest.magics
        ]
        return ", ".join(wanted)
    if isinstance(analyzer, PatternAnalyzer):
        return f"every byte ({len(analyzer.patterns)} patterns)"
    return "entries, by mode" if isinstance(analyzer, EntryAnalyzer) else "the merged image"


def main(arguments: list[str]) -> int:
    """Write the pages, or with ``--check`` name those that are not as they should be."""
    stale = 0
    for name, content in pages().items():
        path = REPOSITORY / name
        if path.is_file() and path.read_text(encoding="utf-8") == content:
            continue
        stale = 1
        print(name)
        if arguments != ["--check"]:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
    return stale if arguments == ["--check"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
