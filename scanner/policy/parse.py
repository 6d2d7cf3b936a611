"""The form of a policy document: every key once, for the reader and for the published JSON schema."""

from __future__ import annotations

import dataclasses
from typing import Any, Final

from scanner.errors import SettingsError
from scanner.model import Kind, Severity, digest_of
from scanner.policy import _expressions
from scanner.policy import document as d
from scanner.policy._shape import (
    BAD,
    GLOB,
    Choice,
    Exactly,
    Flag,
    Key,
    Many,
    Moment,
    Number,
    Object,
    Problem,
    Problems,
    Text,
)
from scanner.yaml_nodes import DOCUMENT_BYTES, DocumentError, Scalar, parse_yaml
from scanner.yaml_nodes import Mapping as MappingNode

__all__ = ["DOCUMENT_BYTES", "parse_document", "read_document", "schema"]

_NAME: Final = Text(
    most=64, pattern="[a-z0-9](?:[a-z0-9-]*[a-z0-9])?", form="lower-case letters, digits and -"
)
_GLOBS: Final = Many(GLOB, most=1_000, or_one=True)
_ACTION: Final = Choice(d.Action)
_DAYS: Final = Number(0, 36_500)
_SENTENCE: Final = Text(most=2_000)


def _check_where(node: MappingNode, where: str, problems: Problems) -> None:
    if not node.values:
        problems.expected(node, where, "image, namespace or both")


_WHERE: Final = Object(
    {
        "image": Key(_GLOBS, "Globs of registry/repository, like registry.example/shop/**.", "images"),
        "namespace": Key(_GLOBS, "Globs of the cluster's namespace.", "namespaces"),
    },
    d.Where,
    check=_check_where,
    extra_schema={"minProperties": 1},
)  # fmt: skip

_MATCH: Final = Object(
    {
        "kind": Key(Many(Choice(Kind), most=len(Kind), or_one=True), "Kinds of finding.", "kinds"),
        "severity": Key(Choice(Severity), "At least this severe."),
        "rule": Key(_GLOBS, "Globs of rule ids, like secret/*.", "rules"),
        "id": Key(_GLOBS, "Globs of a vulnerability's ids, aliases included.", "ids"),
        "package": Key(_GLOBS, "Globs of purls; version and qualifiers may be left out.", "packages"),
        "path": Key(_GLOBS, "Globs of paths in the image, without leading slash.", "paths"),
        "layer": Key(Choice(d.LayerOrigin), "Whether the base image brought it along, or what was built on it."),
        "deleted": Key(Flag(), "Whether a newer layer deletes the file (it can still be pulled)."),
        "fix_available": Key(Flag(), "Whether some version of the package is fixed."),
        "fix_age_days": Key(_DAYS, "Fixed at least so many days ago; since the advisory, if the fix has no date."),
        "known_exploited": Key(Flag(), "Whether a catalogue lists it as exploited."),
        "exploit_probability": Key(Number(0, 1), "EPSS at least; an unknown one is not."),
    },
    d.Match,
)  # fmt: skip


def _check_rule(node: MappingNode, where: str, problems: Problems) -> None:
    """Tell rules that say nothing, or two things at once, and expressions that are wrong."""
    keys = node.values.keys()
    if keys & {"when", "except"} and "match" not in keys:
        problems.bad(node.line, f"{where}: when and except narrow match: the key match is missing")
    for name, about in (("when", _expressions.About.FINDING), ("expression", _expressions.About.REPORT)):  # fmt: skip
        text = node.values.get(name)
        if isinstance(text, Scalar) and text.text:
            reason = _expressions.defect_of(text.text, about)
            if reason:
                problems.bad(text.line, f"{name}: {reason}")
    action = node.values.get("action")
    ignored = isinstance(action, Scalar) and action.text == d.Action.IGNORE
    if not keys & {"match", "expression"} and not ignored:
        problems.bad(node.line, f"{where}: expected match or expression: what it applies to")


_EXPRESSION: Final = Text(most=_expressions.EXPRESSION_LENGTH)

_RULE: Final = Object(
    {
        "name": Key(_NAME, "What verdicts call it; in a scope, the same name replaces the rule.", required=True),
        "action": Key(_ACTION, "What it does where it applies.", required=True),
        "message": Key(_SENTENCE, "Told with every reason that it gives."),
        "match": Key(_MATCH, "The findings that it applies to; {} is all of them."),
        "except": Key(Many(_MATCH, most=100, or_one=True), "Findings that it does not apply to.", "excepts"),
        "when": Key(_EXPRESSION, "CEL over finding, image and now: must be true as well."),
        "expression": Key(_EXPRESSION, "CEL over image, findings (those matched), packages, coverage and now: applies where it is true."),
    },
    d.Rule,
    check=_check_rule,
    extra_schema={
        "anyOf": [
            {"required": ["match"]},
            {"required": ["expression"]},
            {"properties": {"action": {"const": "ignore"}}},
        ],
        "dependentRequired": {"when": ["match"], "except": ["match"]},
    },
)  # fmt: skip

_REQUIRE: Final = Object(
    {
        "scanned": Key(
            Object(
                {
                    "action": Key(_ACTION, "Default: deny."),
                    "within_days": Key(_DAYS, "Longest time since the scan."),
                },
                d.Scanned,
            ),
            "The image was scanned.",
        ),
        "coverage": Key(
            Object({"action": Key(_ACTION, "Default: warn.")}, d.Covered),
            "Everything was looked at, and everything looked for that rules speak of.",
        ),
        "advisories": Key(
            Object(
                {
                    "action": Key(_ACTION, "Default: warn."),
                    "within_hours": Key(Number(0, 876_000), "Greatest age.", required=True),
                },
                d.Advised,
            ),
            "The advisories that packages were compared with are fresh.",
        ),
        "signed": Key(
            Object(
                {
                    "action": Key(_ACTION, "Default: deny."),
                    "by": Key(
                        Many(Text(most=256), most=100, or_one=True),
                        "Key ids, one of which must have signed.",
                        required=True,
                    ),
                },
                d.Signed,
            ),
            "The image carries a verified signature.",
        ),
    },
    d.Require,
)

_RULES: Final = Many(_RULE, most=1_000)

_SCOPE: Final = Object(
    {
        "name": Key(_NAME, "What explanations call it.", required=True),
        "match": Key(_WHERE, "The images that it holds for.", "where", required=True),
        "require": Key(_REQUIRE, "Required states; each replaces the one said for all."),
        "rules": Key(_RULES, "Further rules; one with the name of an earlier one replaces it."),
    },
    d.Scope,
)


def _check_waiver(node: MappingNode, where: str, problems: Problems) -> None:
    if not node.values.keys() & {"finding", "id", "rule"}:
        problems.bad(node.line, f"{where}: expected finding, id or rule: what is waived")


_WAIVER: Final = Object(
    {
        "finding": Key(
            Text(most=32, pattern="[0-9a-f]{32}", form="a finding's fingerprint (32 hex digits)"),
            "Fingerprint of one finding.",
        ),
        "id": Key(Text(most=128), "Id of a vulnerability, or an alias: CVE-2027-1234."),
        "rule": Key(Text(most=128), "Rule id: config/root-user."),
        "package": Key(_GLOBS, "Only for these purls.", "packages"),
        "path": Key(_GLOBS, "Only for these paths.", "paths"),
        "scope": Key(_WHERE, "Only for these images; for all of them without.", "where"),
        "reason": Key(_SENTENCE, "Why it may be so.", required=True),
        "owner": Key(Text(most=256), "Who answers for it.", required=True),
        "expires": Key(Moment(end_of_day=True), "Last day (UTC), or the moment, of its effect.", "expires_at", required=True),
    },
    d.Waiver,
    check=_check_waiver,
    extra_schema={"anyOf": [{"required": [name]} for name in ("finding", "id", "rule")]},
)  # fmt: skip

_VEX: Final = Object(
    {
        "file": Key(Text(most=1_024), "Path of the document, from the policy's directory.", required=True),
        "author": Key(Text(most=256), "The author that it must name."),
    },
    d.VexFile,
)  # fmt: skip

_DOCUMENT: Final = Object(
    {
        "version": Key(Exactly(1), "Version of this form.", required=True),
        "name": Key(_NAME, "What verdicts call the policy.", required=True),
        "description": Key(_SENTENCE, "What it is for."),
        "require": Key(_REQUIRE, "What must be so before findings count."),
        "rules": Key(_RULES, "Rules for all images."),
        "scopes": Key(Many(_SCOPE, most=1_000), "Rules for some images; later ones win over earlier ones."),
        "waivers": Key(Many(_WAIVER, most=10_000), "Findings that somebody answers for."),
        "vex": Key(Many(_VEX, most=100), "OpenVEX documents to believe."),
    },
    d.Document,
)  # fmt: skip


def schema() -> dict[str, Any]:
    """Return the JSON schema of a policy document."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "scanner policy",
        **_DOCUMENT.schema(),
    }


def read_document(text: str) -> tuple[d.Document | None, list[Problem]]:
    """Return the document, or None and all that is wrong with it, in order of lines."""
    problems = Problems()
    try:
        root = parse_yaml(text)
    except DocumentError as error:
        return None, [Problem(error.line, error.reason)]
    document = _DOCUMENT.read(root, "policy", problems)
    if document is not BAD:
        _check_names(document, problems)
    if problems.found:
        return None, sorted(problems.found, key=lambda p: (p.line, p.message))
    digest = digest_of(text.encode("utf-8", "replace"))
    return dataclasses.replace(document, digest=digest), []


def parse_document(text: str, where: str) -> d.Document:
    """Return the document; ``where`` names it in errors.

    Raises:
        SettingsError: it is wrong; the first defect with its line, and how many there are.
    """
    document, problems = read_document(text)
    if document is None:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise SettingsError(f"{where}:{problems[0].line}", problems[0].message + more)
    return document


def _check_names(document: d.Document, problems: Problems) -> None:
    """Tell names that are there twice: verdicts could not say which was meant."""
    for rules in (document.rules, *(scope.rules for scope in document.scopes)):
        _unique("rule", rules, problems)
    _unique("scope", document.scopes, problems)


def _unique(what: str, named: tuple[Any, ...], problems: Problems) -> None:
    first: dict[str, int] = {}
    for one in named:
        if one.name in first:
            problems.bad(one.line, f"{what} {one.name} a second time: it is in line {first[one.name]}")  # fmt: skip
        first.setdefault(one.name, one.line)
