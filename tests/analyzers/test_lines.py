"""Checks of settings, line by line: which lines are looked at, and what is told of them."""

from __future__ import annotations

import pytest

from scanner.analyzers._lines import LineCheck, check_lines
from scanner.model import Severity
from scanner.ports import LayerFile


def check_of(asked: list[str]) -> LineCheck:
    """Return a check that notes the lines it is asked about and finds every one wrong."""

    def matches(line: str) -> str | None:
        asked.append(line)
        return line

    return LineCheck(
        rule_id="crypto/example",
        severity=Severity.LOW,
        title="t",
        why="w",
        remedy="r",
        matches=matches,
        words=("weak", "old"),
    )


@pytest.mark.parametrize(
    ("text", "want"),
    [
        pytest.param("# weak\n\nfine\n weak  # why\nVery Old\n", ["weak", "Very Old"], id="lines"),
        pytest.param("fine\n" * 50_000, [], id="no_word_in_the_file"),
        pytest.param("fine\n" * 50_000 + "weak", ["weak"], id="one_line_of_many"),
        pytest.param("", [], id="empty"),
    ],
)
def test_only_lines_with_a_word_are_looked_at(text, want):
    asked: list[str] = []
    found = list(check_lines(LayerFile("etc/x", text.encode()), [check_of(asked)]))
    assert asked == want
    assert [f.evidence["setting"] for f in found] == want


def test_the_same_thing_is_told_once():
    text = "weak a\n" * 5_000 + "WEAK  A\nweak b\n"
    found = list(check_lines(LayerFile("etc/x", text.encode()), [check_of([])]))
    assert [(f.line, f.identity) for f in found] == [(1, "weak a"), (5_002, "weak b")]
