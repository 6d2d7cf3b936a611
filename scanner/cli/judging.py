"""What a policy says of a report, for the commands: the policy is read before anything is scanned."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from scanner.model import ScanReport


def judge_of(file: str) -> Callable[[ScanReport], ScanReport]:
    """Return what adds the verdict of a policy file (``default``: the built-in one) to a report; nothing for no file.

    Raises:
        SettingsError: the policy, or an OpenVEX document that it names, is missing or wrong.
    """
    if not file:
        return lambda report: report
    # Here, because a scan without a policy needs neither YAML nor an expression engine.
    from scanner.app_policy import read_policy  # noqa: PLC0415
    from scanner.policy.evaluate import evaluate  # noqa: PLC0415
    from scanner.policy.subject import subject_of  # noqa: PLC0415

    policy = read_policy(file)

    def judge(report: ScanReport) -> ScanReport:
        verdict = evaluate(policy, subject_of(report), datetime.now(UTC))
        return msgspec.structs.replace(report, verdict=verdict)

    return judge
