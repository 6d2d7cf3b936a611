"""YAML with lines, bounded: what a policy needs of it, and nothing that hostile documents live on.

No anchors, aliases, tags, merge keys or second documents; no key twice. A plain scalar keeps its text, so
that what reads it decides what it is: ``no`` is a word where a word is expected.

Source: https://yaml.org/spec/1.2.2/
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import yaml

DOCUMENT_BYTES: Final = 4 * 1024 * 1024
_DEPTH: Final = 24
_NODES: Final = 200_000
_INTEGER: Final = re.compile(r"[-+]?[0-9]{1,18}\Z")
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]{1,30}|[0-9]{1,30}(?:\.[0-9]{0,30})?)(?:[eE][-+]?[0-9]{1,3})?\Z")  # fmt: skip
_WORDS: Final[dict[str, bool | None]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


class DocumentError(Exception):
    """The document is not YAML as we read it: 1-based line, and why."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}")
        self.line = line
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Scalar:
    """A text, a number, a word; ``plain`` if it is neither quoted nor a block."""

    line: int
    text: str
    plain: bool


@dataclass(frozen=True, slots=True)
class Sequence:
    """Items in order."""

    line: int
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Mapping:
    """Values by key; ``lines`` are those of the keys."""

    line: int
    values: dict[str, Node]
    lines: dict[str, int]


Node = Scalar | Sequence | Mapping


def parse_yaml(text: str) -> Node:
    """Return the document's root; an empty document is an empty mapping.

    Raises:
        DocumentError: not YAML, larger or deeper than the bounds, or with what we do not read.
    """
    if len(text) > DOCUMENT_BYTES or len(text.encode("utf-8", "replace")) > DOCUMENT_BYTES:
        raise DocumentError(1, f"longer than {DOCUMENT_BYTES:,} bytes")
    try:
        return _Composer(text).root()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise DocumentError(
            mark.line + 1 if mark else 1, f"not YAML: {error.problem or error.context}"
        ) from None
    except (yaml.YAMLError, UnicodeError, ValueError) as error:
        reason = getattr(error, "reason", "") or "characters that YAML does not allow"
        raise DocumentError(_line_of(text, error), f"not YAML: {reason}") from None


def _line_of(text: str, error: Exception) -> int:
    position = getattr(error, "position", 0)
    return text[: position if isinstance(position, int) else 0].count("\n") + 1


class _Composer:
    """Builds nodes from the parser's events, counting what it builds."""

    def __init__(self, text: str) -> None:
        self._events: Iterator[Any] = yaml.parse(text, Loader=yaml.CSafeLoader)
        self._nodes = 0

    def root(self) -> Node:
        next(self._events)  # the stream
        event = next(self._events)
        if isinstance(event, yaml.StreamEndEvent):
            return Mapping(1, {}, {})
        node = self._node(next(self._events), 0)
        next(self._events)  # the document's end
        event = next(self._events)
        if not isinstance(event, yaml.StreamEndEvent):
            raise DocumentError(event.start_mark.line + 1, "a second document: one is expected")
        return node

    def _node(self, event: Any, depth: int) -> Node:
        line = event.start_mark.line + 1
        self._nodes += 1
        if self._nodes > _NODES:
            raise DocumentError(line, f"more than {_NODES:,} values")
        if depth > _DEPTH:
            raise DocumentError(line, f"nested deeper than {_DEPTH} levels")
        if isinstance(event, yaml.AliasEvent):
            raise DocumentError(line, "an alias (*): write the value out")
        if event.anchor:
            raise DocumentError(line, "an anchor (&): write the value out where it is needed")
        if event.tag not in (None, "!"):
            raise DocumentError(line, "a tag (!): write the value without it")
        if isinstance(event, yaml.ScalarEvent):
            return Scalar(line, event.value, event.style is None or event.style == "")
        if isinstance(event, yaml.SequenceStartEvent):
            return Sequence(line, tuple(self._items(depth)))
        return self._mapping(line, depth)

    def _items(self, depth: int) -> Iterator[Node]:
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            yield self._node(event, depth + 1)

    def _mapping(self, line: int, depth: int) -> Mapping:
        values: dict[str, Node] = {}
        lines: dict[str, int] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._node(event, depth + 1)
            if not isinstance(key, Scalar):
                raise DocumentError(key.line, "a key must be a word")
            if key.text == "<<" and key.plain:
                raise DocumentError(key.line, "a merge key (<<): write the values out")
            if key.text in values:
                first = lines[key.text]
                raise DocumentError(key.line, f"{key.text[:60]!r} a second time: it is in line {first}")  # fmt: skip
            lines[key.text] = key.line
            values[key.text] = self._node(next(self._events), depth + 1)
        return Mapping(line, values, lines)


def plain_value(node: Node) -> Any:
    """Return a node as JSON would have it: plain scalars are null, true, false and numbers where they look so."""
    if isinstance(node, Mapping):
        return {key: plain_value(value) for key, value in node.values.items()}
    if isinstance(node, Sequence):
        return [plain_value(item) for item in node.items]
    if not node.plain:
        return node.text
    if node.text in _WORDS:
        return _WORDS[node.text]
    return number_of(node.text) if number_of(node.text) is not None else node.text


def number_of(text: str) -> int | float | None:
    """Return the number that a plain scalar is, or None."""
    if _INTEGER.match(text):
        return int(text)
    return float(text) if _FLOAT.match(text) else None
