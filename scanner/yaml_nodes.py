"""YAML with lines, bounded: what our readers need of it, and nothing that hostile documents live on.

No tags; no key twice. Anchors, aliases, merge keys and further documents only where :class:`Bounds` allows
them, and what an alias stands for counts each time. A plain scalar keeps its text, so that what reads it
decides what it is: ``no`` is a word where a word is expected.

Source: https://yaml.org/spec/1.2.2/
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import yaml

DOCUMENT_BYTES: Final = 4 * 1024 * 1024
_SEPARATOR: Final = re.compile(r"^---(?=[ \t\r\n]|\Z)", re.MULTILINE)
_CONTENT: Final = re.compile(r"^[ \t]*[^#%\s]", re.MULTILINE)
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


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is read, and whether a value may be named once and used again."""

    text_bytes: int = DOCUMENT_BYTES
    nodes_count: int = 200_000
    """Values and keys; for a stream those of all its documents."""
    depth: int = 24
    documents_count: int = 1
    aliases: bool = False
    """``&anchor``, ``*alias`` and ``<<: *alias`` are read, not refused."""


@dataclass(frozen=True, slots=True)
class Document:
    """One of several in a stream."""

    line: int
    """Of its first character, 1-based."""
    text: str
    root: Node | DocumentError
    """What stands in it, or why it could not be read: the others still can."""


def parse_stream(text: str, bounds: Bounds) -> Iterator[Document]:
    """Yield the documents of a stream in order, those without content left out.

    Raises:
        DocumentError: more text, documents or values than the bounds allow; nothing after it was read.
    """
    _check_size(text, bounds)
    starts = [0, *(m.start() for m in _SEPARATOR.finditer(text) if m.start())]
    left = bounds.nodes_count
    line = 1
    count = 0
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        part = text[start:end]
        if _CONTENT.search(part.removeprefix("---")):
            count += 1
            if count > bounds.documents_count:
                raise DocumentError(line, f"more than {bounds.documents_count:,} documents")
            composer = _Composer(part, bounds, line - 1, left)
            yield Document(line, part, _root_or_error(composer, part, line - 1))
            left = composer.left
            if left < 0:
                raise DocumentError(line, f"more than {bounds.nodes_count:,} values")
        line += part.count("\n")


def _root_or_error(composer: _Composer, text: str, before: int) -> Node | DocumentError:
    try:
        return _composed(composer, text, before)
    except DocumentError as error:
        return error


def _check_size(text: str, bounds: Bounds) -> None:
    if (
        len(text) > bounds.text_bytes
        or len(text.encode("utf-8", "surrogatepass")) > bounds.text_bytes
    ):
        raise DocumentError(1, f"longer than {bounds.text_bytes:,} bytes")


def parse_yaml(text: str) -> Node:
    """Return the document's root; an empty document is an empty mapping.

    Raises:
        DocumentError: not YAML, larger or deeper than the bounds, or with what we do not read.
    """
    bounds = Bounds()
    _check_size(text, bounds)
    return _composed(_Composer(text, bounds, 0, bounds.nodes_count), text, 0)


def _composed(composer: _Composer, text: str, before: int) -> Node:
    """Return the root; ``before`` lines stand before the text in its file."""
    try:
        return composer.root()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = before + (mark.line + 1 if mark else 1)
        raise DocumentError(line, f"not YAML: {error.problem or error.context}") from None
    except (yaml.YAMLError, UnicodeError, ValueError) as error:
        reason = getattr(error, "reason", "") or "characters that YAML does not allow"
        raise DocumentError(before + _line_of(text, error), f"not YAML: {reason}") from None


def _line_of(text: str, error: Exception) -> int:
    position = getattr(error, "position", 0)
    return text[: position if isinstance(position, int) else 0].count("\n") + 1


class _Composer:
    """Builds nodes from the parser's events, counting what it builds."""

    def __init__(self, text: str, bounds: Bounds, before: int, nodes_count: int) -> None:
        self._events: Iterator[Any] = yaml.parse(text, Loader=yaml.CSafeLoader)
        self._bounds = bounds
        self._before = before + 1
        self.left = nodes_count
        """How many nodes may still come; below zero if there were too many."""
        self._anchors: dict[str, tuple[Node, int, int]] = {}
        """Anchored nodes that are complete, how many nodes each is, and how deep."""
        self._deepest = 0

    def root(self) -> Node:
        next(self._events)  # the stream
        event = next(self._events)
        if isinstance(event, yaml.StreamEndEvent):
            return Mapping(self._before, {}, {})
        node = self._node(next(self._events), 0)
        next(self._events)  # the document's end
        event = next(self._events)
        if not isinstance(event, yaml.StreamEndEvent):
            raise DocumentError(self._line(event), "a second document: one is expected")
        return node

    def _line(self, event: Any) -> int:
        return int(event.start_mark.line) + self._before

    def _count(self, line: int, count: int, depth: int) -> None:
        self.left -= count
        self._deepest = max(self._deepest, depth)
        if self.left < 0:
            raise DocumentError(line, f"more than {self._bounds.nodes_count:,} values")
        if depth > self._bounds.depth:
            raise DocumentError(line, f"nested deeper than {self._bounds.depth} levels")

    def _node(self, event: Any, depth: int) -> Node:
        line = self._line(event)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(str(event.anchor), line, depth)
        self._count(line, 1, depth)
        if event.tag not in (None, "!"):
            raise DocumentError(line, "a tag (!): write the value without it")
        if event.anchor:
            return self._anchored(event, line, depth)
        return self._plain_node(event, line, depth)

    def _plain_node(self, event: Any, line: int, depth: int) -> Node:
        if isinstance(event, yaml.ScalarEvent):
            return Scalar(line, event.value, event.style is None or event.style == "")
        if isinstance(event, yaml.SequenceStartEvent):
            return Sequence(line, tuple(self._items(depth)))
        return self._mapping(line, depth)

    def _anchored(self, event: Any, line: int, depth: int) -> Node:
        if not self._bounds.aliases:
            raise DocumentError(line, "an anchor (&): write the value out where it is needed")
        above, self._deepest, left = self._deepest, depth, self.left
        node = self._plain_node(event, line, depth)
        self._anchors[event.anchor] = (node, left - self.left + 1, self._deepest - depth)
        self._deepest = max(above, self._deepest)
        return node

    def _alias(self, name: str, line: int, depth: int) -> Node:
        if not self._bounds.aliases:
            raise DocumentError(line, "an alias (*): write the value out")
        if name not in self._anchors:
            raise DocumentError(line, f"the alias *{name[:60]} stands for nothing that is complete")
        node, count, levels = self._anchors[name]
        self._count(line, count, depth + levels)
        return node

    def _items(self, depth: int) -> Iterator[Node]:
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            yield self._node(event, depth + 1)

    def _mapping(self, line: int, depth: int) -> Mapping:
        values: dict[str, Node] = {}
        lines: dict[str, int] = {}
        merged: list[Node] = []
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._node(event, depth + 1)
            if not isinstance(key, Scalar):
                raise DocumentError(key.line, "a key must be a word")
            if key.text == "<<" and key.plain:
                merged.append(self._merge_value(key.line, depth))
                continue
            if key.text in values:
                first = lines[key.text]
                raise DocumentError(key.line, f"{key.text[:60]!r} a second time: it is in line {first}")  # fmt: skip
            lines[key.text] = self._line(event)
            values[key.text] = self._node(next(self._events), depth + 1)
        for node in merged:
            _merge(node, values, lines)
        return Mapping(line, values, lines)

    def _merge_value(self, line: int, depth: int) -> Node:
        if not self._bounds.aliases:
            raise DocumentError(line, "a merge key (<<): write the values out")
        return self._node(next(self._events), depth + 1)


def _merge(node: Node, values: dict[str, Node], lines: dict[str, int]) -> None:
    """Add what a merge key brings: what is written out, or came before, wins."""
    for one in node.items if isinstance(node, Sequence) else (node,):
        if not isinstance(one, Mapping):
            raise DocumentError(one.line, "a merge key (<<) takes a mapping")
        for key, value in one.values.items():
            if key not in values:
                values[key] = value
                lines[key] = one.lines[key]


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
