"""Rules of the credentials analyzer: TOML files in, checked frozen values out.

Source: https://toml.io/en/v1.0.0
"""

from __future__ import annotations

import re
import tomllib
from functools import cache
from typing import Any, Literal

import msgspec

from scanner.analyzers.secrets._checks import CHECKS
from scanner.decoding import convert
from scanner.errors import SettingsError
from scanner.model import Severity

_CONTEXT_BYTES = 32_768
_RULE_ID = re.compile(r"secret/[a-z0-9]+(?:-[a-z0-9]+)*\Z")
_LITERAL = re.compile(r"(?:[A-Za-z0-9_=/ -](?![?*{]))*")
_LEFT = r"(?:(?<![A-Za-z0-9])|(?<=\\[nrt])|(?<=%[0-9A-Fa-f]{2}))"
"""Not in the middle of a word; an escape such as ``\\n`` or ``%3D`` before the token is no word."""
_RIGHT = r"(?![A-Za-z0-9_-])"
_ASSIGN = r"""[\w.-]{0,24}\\{0,2}["'`]?\]?\s{0,4}(?:=>|:=|[=:>,]|\s)\s{0,4}\\{0,2}["'`]?"""
"""What stands for ``%ASSIGN%`` in expressions: rest of a name, quotes, ``=`` or ``:``, quotes."""


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One kind of credential: how it looks, why it matters and what to do about it."""

    id: str
    title: str
    severity: Severity
    why: str
    remedy: str
    source: str
    """Where the format is documented."""
    anchor: str
    """What the stream engine looks for: hyperscan syntax, bounded, reported once."""
    confirm: str
    """Python ``re`` over the bytes around the anchor; the group ``secret`` (or all) is the secret."""
    check: tuple[str, ...] = ()
    """Names in ``_checks.CHECKS`` that must all agree."""
    before: int = 256
    """Context before the anchor's end, in bytes (at most 32,768); covers the anchor."""
    after: int = 512
    """Context after the anchor's end, in bytes (at most 32,768)."""
    caseless: bool = False
    boundary: Literal["both", "right", "none"] = "both"
    """Where the match must not go on as a longer word."""
    near: bool = False
    """The secret may be anywhere in the window, not only around the anchor."""
    confidence: Literal["high", "low", "generic"] = "high"
    """``low``: not looked for where look-alikes breed (documentation, tests, lock files, binaries);
    ``generic``: also gives way to every other rule that knows the value."""
    entropy: float = 3.0
    """Least Shannon entropy of the secret, in bits per byte; 0 switches every look-alike filter off."""
    keywords: tuple[str, ...] = ()
    """At least one must be in the window or the path (lower case)."""
    unless: tuple[str, ...] = ()
    """None may be in the window (lower case): another rule reports it."""
    paths: tuple[str, ...] = ()
    """Regular expressions (any case); where given, one must be found in the path."""

    @property
    def is_password(self) -> bool:
        """Whether the secret is a password that a person chose: documentation is full of examples."""
        return any("password" in name for name in self.check)


def confirm_of(rule: Rule) -> re.Pattern[bytes]:
    """Return the compiled ``confirm`` of ``rule``; compiled at its first hit."""
    left = _LEFT if rule.boundary == "both" else ""
    body = f"{left}(?:{rule.confirm}){'' if rule.boundary == 'none' else _RIGHT}"
    return _compiled(body, caseless=rule.caseless)


@cache
def _compiled(expression: str, *, caseless: bool) -> re.Pattern[bytes]:
    return re.compile(expression.encode(), re.DOTALL | (re.IGNORECASE if caseless else 0))


@cache
def paths_of(paths: tuple[str, ...]) -> re.Pattern[str]:
    """Return one expression for all ``paths`` of a rule."""
    return re.compile("|".join(f"(?:{p})" for p in paths), re.IGNORECASE)


def parse_rules(text: str, where: str) -> tuple[Rule, ...]:
    """Return the rules of one TOML file; ``[defaults]`` fills fields that a rule leaves out.

    Raises:
        SettingsError: not TOML, or a rule with a missing, unknown or wrong field; names file and rule.
    """
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise SettingsError(where, f"not TOML: {error}"[:200]) from error
    tables, defaults = document.get("rule"), document.get("defaults", {})
    if not isinstance(tables, list) or not isinstance(defaults, dict):
        raise SettingsError(where, "expected [[rule]] tables and at most one [defaults] table")
    return tuple(_rule(table, defaults, where) for table in tables)


def _rule(table: Any, defaults: dict[str, Any], where: str) -> Rule:
    if not isinstance(table, dict):
        raise SettingsError(where, "expected [[rule]] tables")
    values = {**defaults, **table}
    if isinstance(values.get("check"), str):
        values["check"] = (values["check"],)
    for field in ("anchor", "confirm"):
        if isinstance(values.get(field), str):
            values[field] = values[field].replace("%ASSIGN%", _ASSIGN)
    try:
        return convert(values, Rule)
    except msgspec.ValidationError as error:
        raise SettingsError(where, f"rule {table.get('id', '(no id)')}: {error}") from error


def verify_rule(rule: Rule, where: str) -> None:
    """Check what parsing alone cannot: identifiers, expressions, bounds.

    Raises:
        SettingsError: names the file, the rule and the reason.
    """
    reason = _fault(rule)
    if reason:
        raise SettingsError(where, f"rule {rule.id}: {reason}")


def _fault(rule: Rule) -> str:
    if not _RULE_ID.match(rule.id):
        return "id: expected secret/words-joined-by-hyphens"
    if not rule.source.startswith("https://"):
        return "source: expected an https:// address"
    if not (0 < rule.before <= _CONTEXT_BYTES and 0 <= rule.after <= _CONTEXT_BYTES):
        return f"before, after: expected at most {_CONTEXT_BYTES} bytes"
    unknown = [name for name in rule.check if name not in CHECKS]
    if unknown:
        return f"check: no check is called {unknown[0]!r}; there are {', '.join(sorted(CHECKS))}"
    return _expression_fault(rule)


def _expression_fault(rule: Rule) -> str:
    for field, expression in (("anchor", rule.anchor), ("confirm", rule.confirm)):
        if is_unbounded(expression):
            return f"{field}: every repeat needs an upper bound ({{0,64}}, not *, + or {{3,}})"
    try:
        re.compile(rule.anchor.encode())
        confirm_of(rule)
        paths_of(rule.paths)
    except (re.error, RecursionError, OverflowError) as error:
        return f"not a regular expression: {error}"
    return _hyperscan_fault(rule)


def _hyperscan_fault(rule: Rule) -> str:
    import hyperscan  # noqa: PLC0415 - only a user's rules are compiled here, the engine does its own

    database = hyperscan.Database(mode=hyperscan.HS_MODE_STREAM)
    flags = hyperscan.HS_FLAG_DOTALL | (hyperscan.HS_FLAG_CASELESS if rule.caseless else 0)
    try:
        database.compile(expressions=[rule.anchor.encode()], ids=[0], flags=[flags])
    except hyperscan.error as error:
        return f"anchor: {error}"
    return ""


def _skeleton(expression: str) -> str:
    """Return ``expression`` with escapes and character classes replaced by ``_``."""
    plain = re.sub(r"\\.", "_", expression, flags=re.DOTALL)
    return re.sub(r"\[\^?\]?[^\]]*\]", "_", plain)


def is_unbounded(expression: str) -> bool:
    """Say whether a regular expression holds ``*``, ``+`` or ``{n,}`` as a repeat."""
    plain = re.sub(r"\(\?[^)]?", "(", _skeleton(expression))
    return bool(re.search(r"[*+]|\{\d*,\}", plain))


@cache
def prefix_of(expression: str) -> bytes:
    """Return the literal text that every match starts with (empty where there is a choice)."""
    depth = 0
    for char in _skeleton(expression):
        depth += (char == "(") - (char == ")")
        if char == "|" and depth == 0:
            return b""
    match = _LITERAL.match(expression)
    return match[0].encode() if match else b""
