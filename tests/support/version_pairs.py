"""Pairs of versions, generated and real, in the shapes that an ecosystem knows."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

Draw = Callable[[random.Random], str]

_NUMBERS = ("0", "0", "1", "1", "2", "3", "9", "10", "11", "20", "100", "2024")


def numbers(low: int, high: int, *, zeros: bool = False) -> Draw:
    """Draw ``low`` to ``high`` numbers between dots; ``zeros``: some with zeros in front."""

    def draw(rng: random.Random) -> str:
        many = [rng.choice(_NUMBERS) for _ in range(rng.randint(low, high))]
        return ".".join("0" * (zeros and rng.random() < 0.1) + one for one in many)

    return draw


def one_of(*texts: str | Draw) -> Draw:
    """Draw one of the texts."""

    def draw(rng: random.Random) -> str:
        chosen = rng.choice(texts)
        return chosen if isinstance(chosen, str) else chosen(rng)

    return draw


def row(*parts: str | Draw) -> Draw:
    """Draw each part, one after the other."""
    return lambda rng: "".join(one if isinstance(one, str) else one(rng) for one in parts)


def maybe(part: str | Draw, chance: float = 0.5) -> Draw:
    """Draw a part, or nothing."""
    return lambda rng: row(part)(rng) if rng.random() < chance else ""


def many(part: Draw, most: int) -> Draw:
    """Draw none to ``most`` of a part."""
    return lambda rng: "".join(part(rng) for _ in range(rng.randint(0, most)))


NUMBER = numbers(1, 1)
_IDENTIFIER = one_of("alpha", "beta", "rc", "x-y", "A", "dev", NUMBER, row("rc", NUMBER))
_SEMVER_PRE = row("-", _IDENTIFIER, many(row(".", _IDENTIFIER), 2))
_SEMVER = row(numbers(3, 3), maybe(_SEMVER_PRE), maybe("+build.5", 0.1))
_RPM_PART = row(
    numbers(1, 3, zeros=True),
    many(one_of("~rc1", "^20240101", "a", ".el9", "_4", "b2", "+", "~", ".x", "^git"), 2),
)
_MAVEN_WORD = one_of(
    "alpha",
    "a",
    "beta",
    "b",
    "m",
    "milestone",
    "rc",
    "cr",
    "snapshot",
    "SNAPSHOT",
    "ga",
    "final",
    "release",
    "sp",
    "jre",
    "xyz",
    "Final",
)

SHAPES: dict[str, Draw] = {
    "deb": row(
        maybe(row(one_of("0", "1", "2"), ":"), 0.2), numbers(1, 3, zeros=True),
        many(one_of("~rc1", "~", "+dfsg", "a", "+b2", ".x", "~~", "-1", "+git2024"), 2),
        maybe(row("-", NUMBER, maybe(one_of("+deb12u1", "~bpo11+1", "ubuntu0.22.04.1", "+b1", ".1", "~", "a")))),
    ),
    "rpm": row(maybe(row(NUMBER, ":"), 0.2), _RPM_PART, "-", NUMBER, maybe(one_of(".el9", ".el9_4.1", ".fc40", ".module_el8.6.0+2741+01592ae8", "~1", "^2"))),
    "pypi": row(
        maybe("1!", 0.1), maybe("v", 0.1), numbers(1, 4),
        maybe(row(one_of("", ".", "-", "_"), one_of("a", "b", "rc", "c", "alpha", "beta", "preview", "RC"), one_of("", ".", "-"), maybe(NUMBER)), 0.4),
        maybe(one_of(row(".post", maybe(NUMBER)), row("-", NUMBER), row("r", NUMBER)), 0.2),
        maybe(row(one_of(".", "-", ""), "dev", maybe(NUMBER)), 0.2), maybe(row("+", one_of("abc", "5", "abc.5", "1-2")), 0.1),
    ),
    "npm": _SEMVER,
    "cargo": _SEMVER,
    "hex": _SEMVER,
    "swift": _SEMVER,
    "golang": row("v", one_of(_SEMVER, row(numbers(3, 3), "+incompatible"), row("0.0.0-2024", NUMBER, "-abcdef"), numbers(1, 3))),
    "gem": row(numbers(1, 4), many(row(".", one_of("a", "b1", "beta", "pre", "rc1", "x2y", NUMBER)), 2), maybe(row("-", one_of("java", "1", "x86")), 0.1)),
    "maven": row(numbers(1, 4), many(row(one_of("-", ".", "_", ""), one_of(_MAVEN_WORD, _MAVEN_WORD, NUMBER)), 3)),
    "conan": row(numbers(1, 4), maybe(one_of("a", "k", "w")), maybe(row("-", one_of("alpha", "beta.2", "pre.1", "0", "rc1"))), maybe(row("+", one_of("1", "b", "2.0")), 0.2)),
    "composer": row(
        maybe("v", 0.1), numbers(1, 4),
        maybe(row(one_of("", "-", ".", "_"), one_of("alpha", "a", "beta", "b", "RC", "rc", "pl", "p", "patch", "stable"), maybe(row(one_of("", ".", "-"), NUMBER)))), maybe("-dev", 0.1),
    ),
    "composer_normalised": row(
        numbers(4, 4), maybe(row("-", one_of("alpha", "beta", "RC", "patch"), maybe(numbers(1, 1)))), maybe("-dev", 0.1),
    ),
    "go_toolchain": row("go1.", one_of("9", "19.3", "20", "20.1", "21.0", "22.1", "22.10", row("2", NUMBER, ".", NUMBER), row("1", NUMBER)), maybe(row(one_of("rc", "beta"), numbers(1, 1)), 0.3)),
}  # fmt: skip


def pairs(shape: str, count: int, real: Sequence[str] = ()) -> list[tuple[str, str]]:
    """Return ``count`` pairs: near relatives and strangers, real ones among them; the same every time."""
    rng = random.Random(shape)
    draw = SHAPES[shape]
    found: list[tuple[str, str]] = []
    while len(found) < count:
        left = rng.choice(real) if real and rng.random() < 0.4 else draw(rng)
        right = rng.choice(real) if real and rng.random() < 0.2 else draw(rng)
        if rng.random() < 0.5:
            right = _relative(left, right, rng)
        if right:
            found.append((left, right))
    return found


def _relative(left: str, other: str, rng: random.Random) -> str:
    """Return ``left`` with its end taken from another version, or one number changed."""
    at = rng.randint(0, len(left))
    if rng.random() < 0.5:
        return left[:at] + other[rng.randint(0, len(other)) :]
    digits = [n for n, one in enumerate(left) if one.isdecimal()]
    if not digits:
        return left
    at = rng.choice(digits)
    return left[:at] + rng.choice(("0", "1", "9", "10")) + left[at + 1 :]
