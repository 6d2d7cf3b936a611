"""Decoding from any thread, and that nothing of ours decodes into a type in another way."""

from __future__ import annotations

import ast
from pathlib import Path

import msgspec
import pytest

import scanner
from scanner.decoding import convert, decode_json, decode_msgpack

PACKAGE = Path(scanner.__file__).parent


class Point(msgspec.Struct, frozen=True):
    x: int
    y: int = 0


POINT = Point(1, 2)


def test_values():
    assert decode_json(b'{"x":1,"y":2}', Point) == POINT
    assert decode_json("[1, 2]", tuple[int, ...]) == (1, 2)
    assert decode_msgpack(msgspec.msgpack.encode(POINT), Point) == POINT
    assert convert({"x": 1, "y": 2}, Point) == POINT
    assert convert({"x": "1", "y": "2"}, Point, strict=False) == POINT


@pytest.mark.parametrize("decode", [decode_json, decode_msgpack])
def test_what_is_none(decode):
    with pytest.raises(msgspec.DecodeError):
        decode(b"\xc1", Point)


def test_what_does_not_convert():
    with pytest.raises(msgspec.ValidationError):
        convert({"x": "1"}, Point)


def decodes_into_a_type(call: ast.Call) -> bool:
    name = ast.unparse(call.func)
    if not name.startswith("msgspec."):
        return False
    typed = name.endswith(".decode") and any(k.arg == "type" for k in call.keywords)
    return typed or name == "msgspec.convert" or name.endswith(".Decoder")


def test_nothing_decodes_into_a_type_in_another_way():
    found = [
        f"{path.relative_to(PACKAGE)}:{node.lineno}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.name != "decoding.py"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and decodes_into_a_type(node)
    ]
    assert found == []
