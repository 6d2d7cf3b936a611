"""Checked reads: what TOML keys may cost, and text that cannot be stored."""

from __future__ import annotations

import pytest

from scanner.analyzers._read import TOML_KEY_PARTS, optional_text, read_toml, text
from scanner.errors import MalformedFileError
from scanner.ports import LayerFile

LONG = "a." * 20_000 + "b=1"
PARTS = "a." * TOML_KEY_PARTS


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(LONG, id="plain"),
        pytest.param(f"[{LONG[:-2]}]", id="header"),
        pytest.param('"#".' + LONG, id="comment_sign_in_quotes"),
        pytest.param("'\"'." + LONG, id="quote_in_quotes"),
        pytest.param('"\\"" . ' + LONG, id="escaped_quote"),
        pytest.param('"=".' * 20_000 + "a=1", id="delimiters_in_quotes"),
        pytest.param("a . " * 20_000 + "b=1", id="spaces"),
        pytest.param('x = ["""\n don\'t """, {' + LONG + "}]", id="after_a_long_string"),
        pytest.param("x = ['''\n 12\" ''', {" + LONG + "}]", id="after_a_long_literal"),
        pytest.param('x = ["""y""""", {' + LONG + "}]", id="quotes_before_the_end"),
    ],
)
def test_endless_keys_are_refused_before_they_cost(body):
    with pytest.raises(MalformedFileError, match="a key of more than 16 parts"):
        read_toml(LayerFile("x", body.encode()))


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(f'x = "{PARTS}"', id="text"),
        pytest.param(f"# {PARTS}", id="comment"),
        pytest.param(f'x = """\n{PARTS}\n"""', id="long_text"),
        pytest.param("x = [" + "1.0, " * 40 + "]", id="numbers"),
        pytest.param("# " + "." * 80, id="dots"),
        pytest.param(PARTS[:-1] + " = 1", id="as_long_as_it_may_be"),
    ],
)
def test_dots_elsewhere_are_fine(body):
    assert isinstance(read_toml(LayerFile("x", body.encode())), dict)


@pytest.mark.parametrize("value", ["\ud800", "", 7, None, ["a"]])
def test_text_that_cannot_be_stored(value):
    assert optional_text({"a": value}, "a") == ""
    with pytest.raises(MalformedFileError):
        text({"a": value}, "a", path="x")
