"""``scanner policy``: check, test, explain and show what images are judged by."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
import msgspec

from scanner.cli.exit_codes import ExitCode
from scanner.cli.options import config_option
from scanner.config import load_settings
from scanner.errors import SettingsError
from scanner.model import parse_digest, parse_reference

if TYPE_CHECKING:
    from scanner.config import Settings
    from scanner.model import Reference, ScanReport
    from scanner.policy.cases import Cases, Outcome
    from scanner.policy.compiled import Policy

_DIGESTS: Final = ("sha256:", "sha512:")
_CASE_FILES: Final = ("*test.yaml", "*test.yml")
_CASE_FILES_COUNT: Final = 1_000


@click.group("policy", short_help="Check, test and explain what images are judged by.")
def COMMAND() -> None:  # noqa: N802 - what every command module exports
    """Check, test and explain policies: what denies an image, and what warns of it."""


@COMMAND.command("show", short_help="Print the built-in policy.")
def show() -> None:
    """Print the built-in policy: a good begin for one of your own."""
    from scanner.app_policy import default_policy_text  # noqa: PLC0415 - see scanner.cli.judging

    click.echo(default_policy_text(), nl=False)


@COMMAND.command("check", short_help="Tell what is wrong, or odd, in a policy file.")
@click.argument("file", metavar="FILE")
def check(file: str) -> None:
    """Tell every defect of a policy FILE with its line; if there is none, what is odd in it.

    Odd are rules that can never match and waivers that have expired or end within 14 days.

    Exit codes: 0 right, perhaps with warnings; 2 wrong.
    """
    from scanner import app_policy  # noqa: PLC0415
    from scanner.policy.check import oddities  # noqa: PLC0415
    from scanner.policy.parse import read_document  # noqa: PLC0415

    document, problems = read_document(app_policy.policy_text(file))
    for problem in problems:
        _say(f"{file}:{problem.line}: error: {problem.message}")
    if document is None:
        raise click.exceptions.Exit(ExitCode.USAGE)
    app_policy.read_vex(document, Path(file).expanduser().parent)
    odd = oddities(document, datetime.now(UTC), app_policy.rule_ids())
    for problem in odd:
        _say(f"{file}:{problem.line}: warning: {problem.message}")
    rules = len(document.rules) + sum(len(scope.rules) for scope in document.scopes)
    _say(
        f"{file}: policy {document.name} is right: {rules} rules, {len(document.scopes)} scopes, "
        f"{len(document.waivers)} waivers, {len(odd)} warnings"
    )


@COMMAND.command("test", short_help="Run the tests of a policy.")
@click.argument("path", metavar="DIR|FILE", type=click.Path(exists=True, path_type=Path))
@click.option("--policy", "policy_file", metavar="FILE", help="Policy of files that name none.")
@config_option
def test(path: Path, policy_file: str | None, config: Path | None) -> None:
    """Run the cases of FILE, or of every file below DIR whose name ends in test.yaml.

    A file names its policy; else it is --policy, policy.file, or the built-in one.

    Exit codes: 0 all pass, 1 some fail, 2 a file is wrong, or there is no case.
    """
    fallback = policy_file or load_settings(config, {}).policy.file
    outcomes: list[Outcome] = []
    for file in _case_files(path):
        for outcome in _outcomes(file, fallback):
            outcomes.append(outcome)
            _say(f"{'FAIL' if outcome.failure else 'PASS'}  {file}:{outcome.case.line}  {outcome.case.name}")  # fmt: skip
            if outcome.failure:
                _say(f"        {outcome.failure}")
    failed = sum(bool(outcome.failure) for outcome in outcomes)
    _say(f"{len(outcomes)} tests, {len(outcomes) - failed} passed, {failed} failed")
    if not outcomes:
        raise SettingsError(str(path), "there is no case")
    raise click.exceptions.Exit(ExitCode.DENIED if failed else ExitCode.CLEAN)


def _case_files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = sorted({f for glob in _CASE_FILES for f in path.rglob(glob) if f.is_file()})
    if not found or len(found) > _CASE_FILES_COUNT:
        raise SettingsError(str(path), f"expected 1 to {_CASE_FILES_COUNT:,} files that end in test.yaml, found {len(found)}")  # fmt: skip
    return found


def _outcomes(file: Path, fallback: str) -> Iterator[Outcome]:
    from scanner.policy.cases import run_case  # noqa: PLC0415

    cases = _cases(file)
    policy = _policy_of(cases, file, fallback)
    now = cases.now or datetime.now(UTC)
    for case in cases.cases:
        yield run_case(policy, case, now)


def _cases(file: Path) -> Cases:
    from scanner.app_policy import policy_text  # noqa: PLC0415
    from scanner.policy.cases import read_cases  # noqa: PLC0415

    cases, problems = read_cases(policy_text(str(file)))
    if cases is None:
        raise SettingsError(f"{file}:{problems[0].line}", problems[0].message)
    return cases


def _policy_of(cases: Cases, file: Path, fallback: str) -> Policy:
    from scanner.app_policy import DEFAULT_POLICY, read_policy  # noqa: PLC0415

    if cases.policy and cases.policy != DEFAULT_POLICY:
        return read_policy(str(file.parent / cases.policy))
    return read_policy(cases.policy or fallback)


@COMMAND.command("explain", short_help="Tell what a policy says of a scanned image, and why.")
@click.argument("image", metavar="DIGEST|REF")
@click.option("--policy", "policy_file", metavar="FILE", help="Policy, if not policy.file.")
@click.option("--namespace", default="", help="Namespace of the cluster that would ask.")
@click.option(
    "--format",
    "format_name",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="For people, or for programs.",
)
@config_option
def explain(
    image: str, policy_file: str | None, namespace: str, format_name: str, config: Path | None
) -> None:
    """Tell what a policy says of an image that was scanned, which rules matched, what was waived and why.

    The report is the one in the database here, or that of the server client.url.

    Exit codes: 0 allowed, perhaps with warnings; 1 denied, also if the image was never scanned; 2 usage.
    """
    from scanner.app_policy import read_policy  # noqa: PLC0415
    from scanner.cli.policy_text import explanation_lines  # noqa: PLC0415
    from scanner.policy.explain import explain as explained  # noqa: PLC0415
    from scanner.policy.subject import Subject, subject_of  # noqa: PLC0415

    settings = load_settings(config, {})
    policy = read_policy(policy_file or settings.policy.file)
    reference = None if image.startswith(_DIGESTS) else parse_reference(image)
    digest, report, scanned_at = _report(settings, image, reference)
    if report is not None:
        subject = subject_of(report, namespace=namespace, scanned_at=scanned_at)
    else:
        subject = Subject(digest=digest, namespace=namespace)
    if (
        reference is not None
    ):  # scopes are about what was asked for, not about who else has the image
        named = {"name": reference.name, "tag": reference.tag}
        subject = msgspec.structs.replace(subject, **named)
    explanation = explained(policy, subject, datetime.now(UTC))
    if format_name == "json":
        # Only ASCII: titles and paths come from images, and must not drive the terminal.
        click.echo(json.dumps(msgspec.to_builtins(explanation), indent=2))
    else:
        for line in explanation_lines(explanation, subject, image):
            _say(line)
    denied = explanation.verdict.decision == "deny"
    raise click.exceptions.Exit(ExitCode.DENIED if denied else ExitCode.CLEAN)


def _report(
    settings: Settings, image: str, reference: Reference | None
) -> tuple[str, ScanReport | None, datetime | None]:
    """Return the digest (empty if nobody knows what the tag leads to), its report if there is one, and since when."""
    from scanner.cli.asking import opened_asker  # noqa: PLC0415

    with opened_asker(settings) as asker:
        if reference is None:
            digest = str(parse_digest(image))
        else:
            digest = reference.digest or asker.digest_of_tag(reference)
        if not digest:
            return "", None, None
        return digest, asker.report(digest), asker.image(digest).scanned_at


def _say(text: str) -> None:
    """Write a line; what comes from files must not drive the terminal."""
    from scanner.reports.table import printable  # noqa: PLC0415

    click.echo(printable(text))
