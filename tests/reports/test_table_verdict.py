"""The verdict below the table: worst first, each rule once, safe to show on a terminal."""

from __future__ import annotations

import io

import msgspec
import pytest
from support.sample_report import HOSTILE, sample_report

from scanner.model import Decision, Reason, ReasonCode, Verdict, Waived
from scanner.reports.table import FORMAT


def reason(decision: str, rule: str, message: str, line: int, path: str = "") -> Reason:
    return Reason(
        code=ReasonCode.FINDING,
        decision=Decision(decision),
        message=message,
        rule=rule,
        line=line,
        path=path,
    )


def below(verdict: Verdict, *, width: int = 80, colour: bool = False) -> str:
    """Return what stands below the report's last line."""
    report = msgspec.structs.replace(sample_report(), verdict=verdict)
    plain, judged = io.StringIO(), io.StringIO()
    FORMAT.write(sample_report(), plain, colour, width)
    FORMAT.write(report, judged, colour, width)
    assert judged.getvalue().startswith(plain.getvalue())
    return judged.getvalue().removeprefix(plain.getvalue())


def verdict(decision: str, *reasons: Reason, waived: tuple[Waived, ...] = ()) -> Verdict:
    return Verdict(
        decision=Decision(decision),
        digest="sha256:" + "1" * 64,
        policy="shop",
        policy_digest="sha256:" + "2" * 64,
        evaluated_at="2026-06-01T00:00:00Z",
        reasons=reasons,
        waived=waived,
    )


def test_whole():
    waived = Waived(rule="root-user", decision=Decision.WARN, by="waiver")
    made = verdict(
        "deny",
        *(reason("deny", "credentials", "Private key", 4, f"srv/{n}.pem") for n in range(5)),
        reason("warn", "coverage", "not everything could be looked at", 2),
        reason("warn", "ports", "Port 80", 9, "config:a"),
        reason("warn", "ports", "Port 81", 9, "config:b"),
        waived=(waived,),
    )
    assert below(made).splitlines() == [
        "",
        " DENY  by policy shop",
        "  deny: Private key (×5)                                     credentials, line 4",  # noqa: RUF001
        "    where     srv/0.pem, srv/1.pem, srv/2.pem and 2 more",
        "  warn: not everything could be looked at                       coverage, line 2",
        "  warn: Port 80, and alike (×2)                                    ports, line 9",  # noqa: RUF001
        "    where     config:a, config:b",
        "  waived    1 finding of root-user",
    ]


def test_allowed():
    assert below(verdict("allow")) == "\n ALLOW  by policy shop\n"


@pytest.mark.parametrize("width", [40, 80, 200])
def test_hostile_texts_reach_nobody(width):
    made = verdict("warn", reason("warn", "r", f"Title {HOSTILE}" * 9, 1, f"srv/{HOSTILE}"))
    text = below(made, width=width)
    assert all(c.isprintable() or c == "\n" for c in text)
    assert max(map(len, text.splitlines())) <= width


def test_colour():
    assert "\x1b[1;37;41m DENY \x1b[0m by policy shop" in below(verdict("deny"), colour=True)
