"""CEL, for what keys cannot say: compiled once, typed, bounded by the engine; what fails is never an allow.

The engine (Google's own) bounds the nesting of an expression and the steps of all its loops together, and its regular
expressions take linear time. Checked types refuse unknown variables and what is no condition when it is compiled.
It does not bound memory: what makes texts and lists grow (``filter``, ``map``, adding them) is refused here.

Source: https://github.com/google/cel-spec/blob/master/doc/langdef.md
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import cache, lru_cache
from typing import Any, Final

from cel_expr_python import cel

EXPRESSION_LENGTH: Final = 4_096
_REASON_LENGTH: Final = 300
_CODE: Final = re.compile(r"\s*\[[A-Z_]+\]\s*\Z")
_PLACE: Final = re.compile(r"ERROR: <input>:-?\d+:(-?\d+): ")
_LITERAL: Final = re.compile(
    r"""//[^\n]*"""
    r'''|[bB]?[rR][bB]?(?:"""(?:.*?)"""|"[^"\n]*")'''
    r"""|[bB]?[rR][bB]?(?:'''(?:.*?)'''|'[^'\n]*')"""
    r'''|"""(?:[^\\]|\\.)*?"""|"(?:[^"\\\n]|\\.)*"'''
    r"""|'''(?:[^\\]|\\.)*?'''|'(?:[^'\\\n]|\\.)*'""",
    re.DOTALL,
)
"""A comment, or a text: raw ones first, in which a backslash is itself."""
_COPIES: Final = re.compile(r"\.\s*(map|filter)\s*\(")
_ADDS: Final = re.compile(r"\+(?!\s*(?:\.?[0-9]|(?:size|int|uint|double|duration|timestamp)\s*\())")
"""An addition whose right side may be something else than a number or a time."""
_WITHOUT_CONCATENATION: Final = """\
name: policy
stdlib:
  exclude_functions:
    - name: "_+_"
      overloads: [{id: add_list}, {id: add_string}, {id: add_bytes}]
"""
_FINDING: Final = re.compile(r"\bfinding\.([A-Za-z_]\w*)")


class About(StrEnum):
    """What an expression is about: which variables it has."""

    FINDING = "finding"
    REPORT = "report"


class ExpressionError(Exception):
    """An expression could not be evaluated: why. Never says what the values were."""


FINDING_KEYS: Final = (
    "rule", "kind", "severity", "title", "path", "line", "offset", "package", "evidence", "layer",
    "layer_index", "build_step", "deleted", "fingerprint", "ids",
)  # fmt: skip
"""What ``finding`` and each of ``findings`` have, always."""


@cache
def _environment(about: About) -> Any:
    kind = cel.Type
    thing = kind.Map(kind.STRING, kind.DYN)
    variables = {"image": thing, "now": kind.TIMESTAMP}
    if about is About.FINDING:
        variables["finding"] = thing
    else:
        variables |= {"findings": kind.List(thing), "packages": kind.List(thing), "coverage": thing}
    config = cel.NewEnvConfigFromYaml(_WITHOUT_CONCATENATION)
    return cel.NewEnv(config=config, variables=variables)


def defect_of(expression: str, about: About) -> str:
    """Return what is wrong with an expression, or an empty text."""
    if len(expression) > EXPRESSION_LENGTH:
        return f"longer than {EXPRESSION_LENGTH:,} characters"
    if reason := _growth(expression):
        return reason
    try:
        compiled = _environment(about).compile(expression)
        found = compiled.return_type()
    except RuntimeError as error:
        return _told(error)
    if found not in (cel.Type.BOOL, cel.Type.DYN):
        return f"expected a condition, found {str(found.name()).lower()}"
    unknown = sorted(set(_FINDING.findall(expression)) - set(FINDING_KEYS))
    if unknown:
        return f"a finding has no {unknown[0]!r}, expected one of {', '.join(FINDING_KEYS)}"
    return ""


def _growth(expression: str) -> str:
    """Return why an expression could use memory without bound, or an empty text."""
    code = _LITERAL.sub(lambda m: " " if m[0].startswith("/") else "''", expression)
    if copies := _COPIES.search(code):
        return f"{copies[1]} copies lists: narrow findings by match, or ask with exists or all"
    if _ADDS.search(code):
        return "+ adds numbers and times only: write a number, size(…), int(…) or duration(…) on its right"
    return ""


def _told(error: RuntimeError) -> str:
    """Return the engine's message in one line, without its drawing of the place."""
    first = str(error).removeprefix("INVALID_ARGUMENT: ").split("\n", 1)[0]
    text = _PLACE.sub(lambda m: f"column {m[1]}: " if int(m[1]) > 0 else "", first)
    return _CODE.sub("", text)[:_REASON_LENGTH] or "not an expression"


def compiled(expression: str, about: About) -> Callable[[Mapping[str, Any]], bool]:
    """Return the condition, to be given the values of its variables (more do not harm).

    The condition raises ExpressionError: a key is missing, types do not fit, the budget is used up.
    """
    program = _environment(about).compile(expression)

    def is_true(values: Mapping[str, Any]) -> bool:
        try:
            result = program.eval(data=values)
            kind, plain = result.type(), result.plain_value()
        except (RuntimeError, ValueError, TypeError, OverflowError) as error:
            raise ExpressionError(_evaluated(str(error))) from None
        if kind != cel.Type.BOOL:
            what = (
                str(plain) if kind == cel.Type.ERROR else f"INVALID: not a condition: {kind.name()}"
            )
            raise ExpressionError(_evaluated(what))
        return bool(plain)

    return is_true


def _evaluated(message: str) -> str:
    """Return why an evaluation failed: ``Key not found in map : "x"``."""
    text = re.sub(r"\A[A-Z_]+: ", "", message.split("\n", 1)[0])
    return _CODE.sub("", text)[:_REASON_LENGTH]


@lru_cache(maxsize=1_024)
def names_in(expression: str) -> frozenset[str]:
    """Return the words of an expression: a variable that is not among them need not be made."""
    return frozenset(re.findall(r"[A-Za-z_]\w*", expression))
