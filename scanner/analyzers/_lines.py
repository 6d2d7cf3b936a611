"""Checks of settings that stand on lines of their own: one look at each line that is not a comment."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from scanner.model import Finding, Kind, Severity
from scanner.ports import LayerFile

_LINE_CHARS = 4_096
_SHOWN_CHARS = 200
_EXAMPLES = ("usr/share/doc/", "usr/share/man/")


@dataclass(frozen=True, slots=True, eq=False)
class LineCheck:
    """One setting that should not be.

    ``matches`` is given a line without comment and outer white space and returns what is wrong as
    written, or None. It is asked only where one of ``words`` is in the line, in any case: most lines of
    most files then cost next to nothing.
    """

    rule_id: str
    severity: Severity
    title: str
    why: str
    remedy: str
    matches: Callable[[str], str | None]
    words: tuple[str, ...]
    """In lower case."""
    kind: Kind = Kind.CRYPTO


def setting_lines(text: str, comments: str = "#;") -> Iterator[tuple[int, str]]:
    """Yield (1-based number, line) of every line that is neither empty nor a comment, stripped."""
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()[:_LINE_CHARS]
        if line and line[0] not in comments:
            yield number, line.split(" #", 1)[0].rstrip()


def lenient_text(file: LayerFile) -> str:
    """Return the file as text; what is not UTF-8 is replaced, as programs read such files bytewise."""
    return file.data[:].decode("utf-8", "replace")


def check_lines(
    file: LayerFile, checks: Iterable[LineCheck], comments: str = "#;"
) -> Iterator[Finding]:
    """Yield a finding for every check and line that match, in order of line; the same thing once.

    Examples below ``usr/share/doc`` are in force nowhere: they have none.
    """
    if file.path.startswith(_EXAMPLES):
        return
    text = lenient_text(file)
    wanted = _with_word(checks, text.lower())
    seen: set[tuple[LineCheck, str]] = set()
    for number, line in setting_lines(text, comments) if wanted else ():
        for check in _with_word(wanted, line.lower()):
            wrong = check.matches(line)
            if wrong is None:
                continue
            identity = " ".join(wrong.split())[:_SHOWN_CHARS].lower()
            if (check, identity) in seen:
                continue
            seen.add((check, identity))
            yield Finding(
                rule_id=check.rule_id,
                kind=check.kind,
                severity=check.severity,
                title=check.title,
                why=check.why,
                remedy=check.remedy,
                path=file.path,
                line=number,
                evidence={"setting": wrong[:_SHOWN_CHARS]},
                identity=identity,
            )


def _with_word(checks: Iterable[LineCheck], lowered: str) -> list[LineCheck]:
    return [c for c in checks if any(word in lowered for word in c.words)]
