"""Which form of an answer a client wants, and whether it has it already."""

from __future__ import annotations

import pytest

from scanner.web._negotiate import choose, etag_of, is_known

OFFERS = ("application/json", "text/plain", "application/sarif+json")


@pytest.mark.parametrize(
    ("accept", "want"),
    [
        ("", OFFERS[0]),
        ("*/*", OFFERS[0]),
        ("text/plain", OFFERS[1]),
        ("TEXT/Plain; charset=utf-8", OFFERS[1]),
        ("text/*", OFFERS[1]),
        ("application/*", OFFERS[0]),
        ("application/json;q=0.5, text/plain;q=0.9", OFFERS[1]),
        ("application/json;q=0, */*", OFFERS[1]),
        ("text/html, application/xhtml+xml, */*;q=0.8", OFFERS[0]),
        ("application/sarif+json, application/json;q=0.9", OFFERS[2]),
        ("image/png", None),
        ("application/json;q=x", None),
        ("application/json;q=2", None),
        ("application/json;q=nan", None),
        (",;q=1,", None),
        ("x/y," * 1_000 + "text/plain", None),
    ],
)
def test_choose(accept, want):
    assert choose(accept, OFFERS) == want


@pytest.mark.parametrize(
    ("shown", "want"),
    [
        ("", False),
        ("*", True),
        (etag_of("a"), True),
        ("W/" + etag_of("a"), True),
        (f'"x" , {etag_of(b"a")}', True),
        (etag_of("a", ""), False),
        (etag_of("b"), False),
    ],
)
def test_is_known(shown, want):
    assert is_known(shown, etag_of("a")) is want
