"""Globs: against a slow matcher that is surely right, and against patterns that others choke on."""

from __future__ import annotations

import random
from functools import cache

import pytest

from scanner.policy._globs import defect_of, matcher

CASES = [
    ("secret/*", "secret/private-key", True),
    ("secret/*", "secret/", True),
    ("secret/*", "secret/a/b", False),
    ("secret/**", "secret/a/b", True),
    ("secret/**", "secret", True),
    ("secret/**", "secrets", False),
    ("**", "", True),
    ("**/id_rsa", "id_rsa", True),
    ("**/id_rsa", "root/.ssh/id_rsa", True),
    ("**/id_rsa", "root/.ssh/old_id_rsa", False),
    ("usr/**/*.pem", "usr/a.pem", True),
    ("usr/**/*.pem", "usr/lib/x/a.pem", True),
    ("usr/**/*.pem", "usr/lib/x/a.pem/b", False),
    ("a?c", "abc", True),
    ("a?c", "a/c", False),
    ("a.c", "abc", False),
    ("[ab]", "a", False),
    ("[ab]", "[ab]", True),
    ("registry.example/**", "registry.example/shop/web", True),
    ("registry.example/*", "registry.example/shop/web", False),
    ("*-prod", "shop-prod", True),
    ("a*b*a", "aba", True),
    ("a*ba", "ababa", True),
    ("line*", "line\nbreak", True),
    ("", "", True),
]


@pytest.mark.parametrize(("glob", "text", "want"), CASES, ids=lambda v: repr(v)[:24])
def test_match(glob, text, want):
    assert matcher([glob])(text) is want


def test_any_of_several():
    assert [matcher(["a", "b/*"])(t) for t in ("a", "b/c", "c", "ab/c")] == [True, True, False, False]  # fmt: skip


def surely(glob: str, text: str) -> bool:
    """Return the answer by trying everything."""
    globs, parts = glob.split("/"), text.split("/")

    def part(pattern: str, of: str) -> bool:
        if not pattern:
            return not of
        if pattern[0] == "*":
            return any(part(pattern[1:], of[n:]) for n in range(len(of) + 1))
        return bool(of) and pattern[0] in ("?", of[0]) and part(pattern[1:], of[1:])

    @cache
    def whole(i: int, j: int) -> bool:
        if i == len(globs):
            return j == len(parts)
        if globs[i] == "**":
            return whole(i + 1, j) or (j < len(parts) and whole(i, j + 1))
        return j < len(parts) and part(globs[i], parts[j]) and whole(i + 1, j + 1)

    return whole(0, 0)


def test_as_a_slow_matcher_says():
    chosen = random.Random(20)
    pieces = ["**", "*", "a", "b", "a*", "*b", "?", "a*b*a", "*a*", "*a*b", "", "a?*b"]
    wrong = []
    for _ in range(4_000):
        glob = "/".join(chosen.choices(pieces, k=chosen.randint(1, 5)))
        text = "".join(chosen.choices("ab/", k=chosen.randint(0, 8)))
        if matcher([glob])(text) is not surely(glob, text):
            wrong.append((glob, text))
    assert wrong == []


@pytest.mark.parametrize(
    "glob",
    [
        "*a" * 250 + "b",
        "**/" * 160 + "b",
        "*a*/" * 100 + "b",
        "**/*a*a*a*a*a*a*a*a*a*a/**/a*a*a*a*a*a*/**/b",
        "?*" * 250 + "b",
    ],
    ids=["stars", "double_stars", "parts", "mixed", "questions"],
)
@pytest.mark.parametrize("text", ["a" * 4_000, "a/" * 2_000, "aaaa/" * 800], ids=["long", "deep", "both"])  # fmt: skip
def test_ends_at_once_on_what_makes_others_backtrack(glob, text):
    assert matcher([glob])(text) is False


@pytest.mark.parametrize("glob", ["a**", "**a/b", "a/b**c", "***"])
def test_double_star_stands_alone(glob):
    assert "stands alone" in defect_of(glob)
