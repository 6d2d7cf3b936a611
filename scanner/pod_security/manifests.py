"""Text of manifests: YAML or JSON, one object or many, with the line of everything.

Source: https://kubernetes.io/docs/concepts/overview/working-with-objects/
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from scanner.errors import MalformedFileError
from scanner.ports.control import FieldPath
from scanner.yaml_nodes import Bounds, DocumentError, Mapping, Node, Scalar, Sequence, parse_stream

MANIFESTS_BYTES: Final = 16 * 1024 * 1024
_BOUNDS: Final = Bounds(
    text_bytes=MANIFESTS_BYTES,
    nodes_count=1_000_000,
    depth=100,
    documents_count=10_000,
    aliases=True,
)
_LIST: Final = "List"
_HELM_SOURCE: Final = re.compile(r"^# Source: (\S{1,500})$", re.MULTILINE)
_SURROGATES: Final = re.compile(
    r"(?<!\\)((?:\\\\)*)\\u(d[89ab][0-9a-f]{2})\\u(d[c-f][0-9a-f]{2})", re.IGNORECASE
)
_WORDS: Final[dict[str, bool | None]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(
        ["y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"], True
    ),
    **dict.fromkeys(
        ["n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"], False
    ),
}
"""Kubernetes reads YAML 1.1: ``privileged: yes`` is true."""
_INTEGER: Final = re.compile(r"([-+]?)(0[xX]|0[bB]|0[oO]?)?([0-9a-fA-F]{1,64})\Z")
_BASES: Final = {"": 10, "0x": 16, "0o": 8, "0": 8, "0b": 2}
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]{1,30}|[0-9]{1,30}(?:\.[0-9]{0,30})?)(?:[eE][-+]?[0-9]{1,2})?\Z")  # fmt: skip


@dataclass(frozen=True, slots=True)
class KubernetesObject:
    """One object; those of a list by themselves."""

    api_version: str
    kind: str
    namespace: str
    name: str
    node: Mapping
    root: Node
    """Of the document it stands in."""
    path: FieldPath
    """Where in the document: ``("items", 3)`` in a list."""
    line: int
    template: str
    """The Helm template that made it, if its output says so."""

    @property
    def label(self) -> str:
        """``Deployment/shop/web``: kind, namespace if it has one, name."""
        return "/".join(part for part in (self.kind, self.namespace, self.name) if part)

    @property
    def group(self) -> str:
        """The API group; empty for the core one."""
        return self.api_version.rpartition("/")[0]


@dataclass(frozen=True, slots=True)
class Unread:
    """A document, or a part of one, that is no object: where, and why."""

    line: int
    reason: str
    is_broken: bool
    """Whether something may be hidden in it; else it is plainly something else, as a file of values."""


def read_objects(text: str) -> Iterator[KubernetesObject | Unread]:
    """Yield the objects of a text in order, and what could not be read as one.

    Never raises: a text that is too large, or no YAML, is :class:`Unread` too.
    """
    try:
        for document in parse_stream(_with_whole_characters(text), _BOUNDS):
            template = _HELM_SOURCE.search(document.text)
            if isinstance(document.root, DocumentError):
                yield Unread(
                    document.root.line, _reason(document.root, document.text), is_broken=True
                )
            elif not _is_null(document.root):
                yield from _objects(document.root, document.root, (), "", template[1] if template else "")  # fmt: skip
    except DocumentError as error:
        yield Unread(error.line, error.reason, is_broken=True)


def _is_null(node: Node) -> bool:
    return isinstance(node, Scalar) and node.plain and _WORDS.get(node.text, node) is None


def _reason(error: DocumentError, text: str) -> str:
    if "{{" in text:
        return "a template of Helm: check what `helm template` prints instead"
    return error.reason


def _with_whole_characters(text: str) -> str:
    r"""Return JSON with ``\ud83d\ude00`` as the one character that it means; YAML has no such halves."""
    if not text.lstrip().startswith(("{", "[")):
        return text
    return _SURROGATES.sub(_whole, text)


def _whole(match: re.Match[str]) -> str:
    high, low = int(match[2], 16), int(match[3], 16)
    return f"{match[1]}\\U{0x10000 + ((high & 0x3FF) << 10) + (low & 0x3FF):08x}"


def _objects(
    node: Node, root: Node, path: FieldPath, kind_of_list: str, template: str
) -> Iterator[KubernetesObject | Unread]:
    if not isinstance(node, Mapping):
        yield Unread(
            node.line, "no object: a mapping with apiVersion and kind is expected", is_broken=True
        )
        return
    kind = _word(node, "kind") or kind_of_list
    items = node.values.get("items")
    if kind.endswith(_LIST) and isinstance(items, Sequence):
        for number, item in enumerate(items.items):
            inner = (*path, "items", number)
            yield from _objects(item, root, inner, kind.removesuffix(_LIST), template)
        return
    if not kind:
        yield Unread(node.line, "no manifest: it has no kind", is_broken=False)
        return
    metadata = node.values.get("metadata")
    about = metadata if isinstance(metadata, Mapping) else Mapping(node.line, {}, {})
    yield KubernetesObject(
        api_version=_word(node, "apiVersion"),
        kind=kind,
        namespace=_word(about, "namespace"),
        name=_word(about, "name") or _word(about, "generateName"),
        node=node,
        root=root,
        path=path,
        line=node.line,
        template=template,
    )


def _word(node: Mapping, key: str) -> str:
    value = node.values.get(key)
    return value.text[:253] if isinstance(value, Scalar) else ""


def value_of(node: Node) -> Any:
    """Return plain values as Kubernetes reads them."""
    if isinstance(node, Mapping):
        return {key: value_of(inner) for key, inner in node.values.items()}
    if isinstance(node, Sequence):
        return [value_of(inner) for inner in node.items]
    if not node.plain:
        return node.text
    if node.text in _WORDS:
        return _WORDS[node.text]
    return _number(node.text)


def _number(text: str) -> int | float | str:
    """Return the number that Kubernetes takes a plain scalar for: ``0x0``, ``0_0`` and ``0.0`` are all 0."""
    digits = text.replace("_", "") if text[:1].isdigit() or text[:1] in "+-" else text
    if match := _INTEGER.match(digits):
        base = _BASES[(match[2] or "").lower()]
        try:
            return int(match[1] + match[3], base)
        except ValueError:
            pass
    if not _FLOAT.match(digits):
        return text
    number = float(digits)
    return int(number) if number.is_integer() else number


def node_at(node: Node, path: FieldPath) -> Node | None:
    """Return the node at a path, or None."""
    for step in path:
        found = _step(node, step)
        if found is None:
            return None
        node = found
    return node


def line_at(node: Node, path: FieldPath) -> int:
    """Return the line of a field; of what it belongs to, if it is not there itself."""
    line = node.line
    for step in path:
        found = _step(node, step)
        if found is None:
            break
        line = node.lines[step] if isinstance(node, Mapping) and isinstance(step, str) else found.line  # fmt: skip
        node = found
    return line


def _step(node: Node, step: str | int) -> Node | None:
    if isinstance(node, Mapping) and isinstance(step, str):
        return node.values.get(step)
    if isinstance(node, Sequence) and isinstance(step, int):
        return node.items[step] if 0 <= step < len(node.items) else None
    return None


def decode(data: bytes, path: str) -> str:
    """Return a file's text.

    Raises:
        MalformedFileError: not UTF-8.
    """
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MalformedFileError(path, f"not UTF-8 at byte {error.start}") from None
