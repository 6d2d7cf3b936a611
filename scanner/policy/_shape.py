"""Shapes: each says once what a value must be, and both the reader and the JSON schema come from it.

A shape reads a node and returns the value, or tells the problem with its line and returns ``BAD``; so that one
reading finds every defect of a document.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final, Protocol

from scanner.policy import _globs
from scanner.yaml_nodes import Mapping as MappingNode
from scanner.yaml_nodes import Node, Scalar, Sequence, number_of, plain_value

BAD: Final = object()
_SHOWN: Final = 40


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, or odd, in a 1-based line."""

    line: int
    message: str


class Problems:
    """Collects what a reading finds."""

    def __init__(self) -> None:
        self.found: list[Problem] = []

    def bad(self, line: int, message: str) -> object:
        """Note a problem; return ``BAD``."""
        self.found.append(Problem(line, message))
        return BAD

    def expected(self, node: Node, where: str, what: str) -> object:
        """Note that something else was expected; return ``BAD``."""
        return self.bad(node.line, f"{where}: expected {what}, found {_shown(node)}")


class Shape(Protocol):
    """What a value must be."""

    def read(self, node: Node, where: str, problems: Problems) -> Any:
        """Return the value or ``BAD``; ``where`` is the key's name, for messages."""

    def schema(self) -> dict[str, Any]:
        """Return the JSON schema of the values that are read."""


def _shown(node: Node) -> str:
    if isinstance(node, Sequence):
        return "a list"
    if isinstance(node, MappingNode):
        return "keys and values"
    if node.plain and plain_value(node) is None:
        return "nothing"
    short = node.text if len(node.text) <= _SHOWN else node.text[:_SHOWN] + "…"
    return repr(short)


@dataclass(frozen=True, slots=True)
class Text:
    """A text of 1 to ``most`` characters, perhaps of a form."""

    most: int = 1_024
    pattern: str = ""
    """The whole text; in the common part of Python's and JavaScript's expressions."""
    form: str = ""
    """The pattern, for people."""
    check: Callable[[str], str] | None = None
    """Returns what is wrong, or an empty text."""

    def read(self, node: Node, where: str, problems: Problems) -> Any:
        """Return the text. Numbers and words are texts as they stand."""
        if not isinstance(node, Scalar) or not node.text:
            return problems.expected(node, where, self.form or "a text")
        if len(node.text) > self.most:
            return problems.bad(node.line, f"{where}: longer than {self.most:,} characters")
        if self.pattern and not re.match(rf"(?:{self.pattern})\Z", node.text):
            return problems.expected(node, where, self.form)
        if self.check and (reason := self.check(node.text)):
            return problems.bad(node.line, f"{where}: {reason}")
        return node.text

    def schema(self) -> dict[str, Any]:
        """Return a schema of strings."""
        found: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": self.most}
        return found | ({"pattern": f"^(?:{self.pattern})$"} if self.pattern else {})


GLOB: Final = Text(most=_globs.GLOB_LENGTH, check=_globs.defect_of)


@dataclass(frozen=True, slots=True)
class Choice:
    """One word of several."""

    kind: type[StrEnum]

    def read(self, node: Node, where: str, problems: Problems) -> Any:
        """Return the member."""
        if isinstance(node, Scalar) and node.text in set(self.kind):
            return self.kind(node.text)
        return problems.expected(node, where, f"one of {', '.join(self.kind)}")

    def schema(self) -> dict[str, Any]:
        """Return an enumeration."""
        return {"enum": [str(member) for member in self.kind]}


@dataclass(frozen=True, slots=True)
class Flag:
    """``true`` or ``false``."""

    def read(self, node: Node, where: str, problems: Problems) -> Any:
        """Return the boolean."""
        value = plain_value(node)
        return value if isinstance(value, bool) else problems.expected(node, where, "true or false")

    def schema(self) -> dict[str, Any]:
        """Return a boolean."""
        return {"type": "boolean"}


@dataclass(frozen=True, slots=True)
class Number:
    """A number within bounds."""

    least: float
    most: float

    def read(self, node: Node, where: str, problems: Problems) -> Any:
        """Return the number."""
        value = number_of(node.text) if isinstance(node, Scalar) and node.plain else None
        if value is None or not self.least <= value <= self.most:
            return problems.expected(
                node, where, f"a number from {self.least:g} to {self.most:,.15g}"
            )
        return value

    def schema(self) -> dict[str, Any]:
        """Return a number."""
        return {"type": "number", "minimum": self.least, "maximum": self.most}


@dataclass(frozen=True, slots=True)
class Exactly:
    """One integer."""

    value: int

    def read(self, node: Node, where: str, problems: Problems) -> Any:
        """Return it."""
        if isinstance(node, Scalar) and node.plain and node.text == str(self.value):
            return self.value
        return problems.expected(node, where, str(self.value))

    def schema(self) -> dict[str, Any]:
        """Return the constant."""
        return {"const": self.value}


_DATE: Final = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_MOMENT: Final = (
    rf"{_DATE}(?:T[0-9]{{2}}:[0-9]{{2}}(?::[0-9]{{2}})?(?:Z|[-+][0-9]{{2}}:[0-9]{{2}}))?"
)


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment with its offset, or a day: its begin in UTC is meant, or its end."""

    end_of_day: bool = False

    def read(self, node: Node, where: str, problems: Problems) -> Any:
        """Return the moment in UTC."""
        wanted = "a day like 2027-01-31, or a moment like 2027-01-31T12:00:00Z"
        if not isinstance(node, Scalar) or not re.match(rf"{_MOMENT}\Z", node.text):
            return problems.expected(node, where, wanted)
        try:
            moment = datetime.fromisoformat(node.text)
            if moment.tzinfo is None:
                day = moment.replace(tzinfo=UTC)
                return _end_of(day) if self.end_of_day else day
            return moment.astimezone(UTC)
        except (ValueError, OverflowError):
            return problems.expected(node, where, wanted)

    def schema(self) -> dict[str, Any]:
        """Return a string of that form."""
        return {"type": "string", "pattern": f"^{_MOMENT}$"}


def _end_of(day: datetime) -> datetime:
    try:
        return day + timedelta(days=1)
    except OverflowError:  # 9999-12-31 stands for never
        return datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Many:
    """A list; with ``or_one`` one item may stand without it."""

    item: Shape
    most: int
    or_one: bool = False

    def read(self, node: Node, where: str, problems: Problems) -> Any:
        """Return a tuple."""
        if not isinstance(node, Sequence):
            if not self.or_one:
                return problems.expected(node, where, "a list")
            only = self.item.read(node, where, problems)
            return BAD if only is BAD else (only,)
        if self.or_one and not node.items:
            return problems.expected(node, where, "at least one item")
        if len(node.items) > self.most:
            return problems.bad(node.line, f"{where}: more than {self.most:,} items")
        items = [self.item.read(item, where, problems) for item in node.items]
        return BAD if any(item is BAD for item in items) else tuple(items)

    def schema(self) -> dict[str, Any]:
        """Return a list, or either."""
        item = self.item.schema()
        array: dict[str, Any] = {"type": "array", "items": item, "maxItems": self.most}
        return {"anyOf": [item, array | {"minItems": 1}]} if self.or_one else array


@dataclass(frozen=True, slots=True)
class WordMap:
    """Texts by any key."""

    most: int = 1_000

    def read(self, node: Node, where: str, problems: Problems) -> Any:
        """Return a dictionary."""
        if not isinstance(node, MappingNode) or len(node.values) > self.most:
            return problems.expected(node, where, f"at most {self.most:,} keys with texts")
        item = Text(most=10_000)
        values = {k: item.read(value, f"{where}.{k}", problems) for k, value in node.values.items()}
        return BAD if any(value is BAD for value in values.values()) else values

    def schema(self) -> dict[str, Any]:
        """Return an object of strings."""
        return {
            "type": "object",
            "additionalProperties": {"type": ["string", "number", "boolean"]},
            "maxProperties": self.most,
        }


@dataclass(frozen=True, slots=True)
class Key:
    """One key of an object."""

    shape: Shape
    about: str
    name: str = ""
    """Of the value that is built; the key's own if empty."""
    required: bool = False


@dataclass(frozen=True, slots=True)
class Object:
    """Keys and values. ``build`` is given those there are, and ``line``; it may tell problems of its own."""

    keys: Mapping[str, Key]
    build: Callable[..., Any]
    check: Callable[[MappingNode, str, Problems], None] | None = None
    """Tells what no single key can be blamed for."""
    extra_schema: dict[str, Any] = field(default_factory=dict)
    """What ``check`` says, for the schema."""

    def read(self, node: Node, where: str, problems: Problems) -> Any:
        """Return what ``build`` makes of the values."""
        if not isinstance(node, MappingNode):
            return problems.expected(node, where, f"keys: {', '.join(self.keys)}")
        before = len(problems.found)
        for name in node.values.keys() - self.keys.keys():
            problems.bad(
                node.lines[name],
                f"{where}: unknown key {name[:_SHOWN]!r}, expected one of {', '.join(self.keys)}",
            )
        values: dict[str, Any] = {}
        for name, key in self.keys.items():
            if name in node.values:
                values[key.name or name] = key.shape.read(node.values[name], name, problems)
            elif key.required:
                problems.bad(node.line, f"{where}: the key {name} is missing")
        if self.check:
            self.check(node, where, problems)
        if len(problems.found) > before:
            return BAD
        return self.build(line=node.line, **values)

    def schema(self) -> dict[str, Any]:
        """Return an object without further keys."""
        properties = {n: {"description": k.about, **k.shape.schema()} for n, k in self.keys.items()}
        found: dict[str, Any] = {
            "type": "object",
            "additionalProperties": False,
            "properties": properties,
        }
        required = [name for name, key in self.keys.items() if key.required]
        return found | ({"required": required} if required else {}) | self.extra_schema
