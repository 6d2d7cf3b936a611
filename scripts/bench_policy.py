"""How long a policy takes: reading it, and judging a large report by it."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable
from datetime import timedelta

from support.policies import NOW, image, subject, vulnerability

from scanner.app_policy import default_policy_text
from scanner.model import Finding, Severity
from scanner.model.finding import fingerprint_of
from scanner.policy.compiled import Policy, load_policy
from scanner.policy.evaluate import evaluate
from scanner.policy.explain import explain

_RULES = """\
version: 1
name: bench
rules:
  - {name: secrets, action: deny, match: {kind: secret, severity: high}}
  - {name: exploited, action: deny, match: {known_exploited: true, fix_available: true}}
  - {name: old-fixes, action: deny, match: {severity: critical, fix_age_days: 30}}
  - {name: packages, action: warn, match: {severity: high, package: ["pkg:deb/**", "pkg:npm/**"]}}
  - {name: likely, action: warn, match: {exploit_probability: 0.5}}
  - {name: paths, action: warn, match: {rule: [config/root-user, privilege/*], path: ["usr/**"]}}
  - {name: application, action: warn, match: {severity: medium, layer: application}}
"""


def bench_policies(say: Callable[[str], None], *, findings_count: int, waivers_count: int) -> None:
    """Print the median of repeated runs, in milliseconds of CPU time."""
    found = _findings(findings_count)
    text = _RULES + "waivers:\n" + _waivers(found, waivers_count)
    load_policy(text, "bench")  # the expression engine is loaded
    say(f"{findings_count:,} findings, 7 rules, {waivers_count} waivers")
    _row(say, "read and compile the policy", lambda: load_policy(text, "bench"))
    judged = subject(images=(image(*found),))
    policy = load_policy(text, "bench")
    verdict = evaluate(policy, judged, NOW)
    note = f"{verdict.decision}: {len(verdict.reasons):,} reasons, {len(verdict.waived)} waived"
    _row(say, "evaluate", lambda: evaluate(policy, judged, NOW), note)
    _row(say, "evaluate, all matched by one rule", _everything(judged))
    _row(say, "evaluate, the built-in policy", _by(default_policy_text(), judged))
    _row(say, "explain", lambda: explain(policy, judged, NOW))
    when = "rules: [{name: r, action: warn, match: {}, when: finding.path.startsWith('usr/')}]\n"
    _row(say, "when, asked of every finding", _by(_head() + when, judged))
    whole = "rules: [{name: r, action: warn, expression: \"findings.exists(f, f.path == 'x')\"}]\n"
    _row(say, "one expression over the report", _by(_head() + whole, judged))


def _head() -> str:
    return "version: 1\nname: bench\n"


def _by(text: str, judged: object) -> Callable[[], object]:
    policy: Policy = load_policy(text, "bench")
    return lambda: evaluate(policy, judged, NOW)


def _everything(judged: object) -> Callable[[], object]:
    return _by(_head() + "rules: [{name: all, action: deny, match: {}}]\n", judged)


def _row(say: Callable[[str], None], name: str, work: Callable[[], object], note: str = "") -> None:
    work()
    times = []
    for _ in range(15):
        began = time.process_time()
        work()
        times.append((time.process_time() - began) * 1000)
    say(f"  {name:<36} {statistics.median(times):7.1f} ms (best {min(times):.1f})  {note}")


def _findings(count: int) -> list[Finding]:
    """Return vulnerabilities as an image full of them has: some ids many times, half of them fixed."""
    chosen = random.Random(3)
    made = []
    for number in range(count):
        evidence = {
            "aliases": f"GHSA-{number % 1_500:04d}",
            "fixed_version": "2.0" if number % 2 else "",
            "fixed_at": (NOW - timedelta(days=number % 90)).isoformat(),
            "exploit_probability": f"{chosen.random():.5f}",
            "known_exploited": "true" if number % 50 == 0 else "false",
        }
        found = vulnerability(
            f"CVE-2026-{number % 1_500}",
            severity=chosen.choice(list(Severity)),
            package=f"pkg:deb/debian/package{number % 700}@1.{number}?arch=amd64",
            evidence=evidence,
            layer_index=number % 3,
            identity=str(number),
        )
        made.append(found)
    return made


def _waivers(found: list[Finding], count: int) -> str:
    lines = []
    for number in range(count):
        one = found[number * len(found) // count]
        what = f"finding: {fingerprint_of(one)}" if number % 2 else f"id: CVE-2026-{number * 7}"
        lines.append(f"  - {{{what}, reason: bench, owner: bench, expires: 2027-01-01}}\n")
    return "".join(lines)
