"""``scanner verify``: what the registry proves of an image, and why the rest does not count."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from scanner.cli.exit_codes import ExitCode
from scanner.cli.options import config_option
from scanner.config import load_settings
from scanner.errors import NotFoundError
from scanner.model import Decision, ScanState, parse_reference

if TYPE_CHECKING:
    from scanner.attest.fetch import Refused, Verification
    from scanner.attest.predicates.scan import ScanPredicate
    from scanner.attest.verify import Proof

_SPAN: Final = re.compile(r"([1-9][0-9]{0,4})([mhdw])\Z")
_UNITS: Final = {
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
_REASONS_SHOWN: Final = 20


@click.command("verify", short_help="Prove from the registry alone what was seen of an image.")
@click.argument("reference", metavar="REF")
@click.option(
    "--key", "keys", multiple=True, metavar="FILE",
    help="Public key whose signatures count (repeatable; attest.trusted_keys).",
)  # fmt: skip
@click.option(
    "--revoked-key", "revoked", multiple=True, metavar="ID",
    help="Id of a key that does not count any more (repeatable; attest.revoked_keys).",
)  # fmt: skip
@click.option(
    "--type", "types", multiple=True, default=("scan",), show_default=True, metavar="NAME|URI",
    help="What must be proven (repeatable): a predicate's name, or its type.",
)  # fmt: skip
@click.option("--max-age", metavar="SPAN", help="Oldest scan that counts: 90m, 12h, 7d, 2w.")
@click.option("--json", "as_json", is_flag=True, help="Print the proven statements, one a line.")
@click.option(
    "--insecure-registry", multiple=True, metavar="HOST[:PORT]",
    help="Speak plain http to this registry (repeatable).",
)  # fmt: skip
@config_option
def COMMAND(  # noqa: N802 - what every command module exports
    reference: str,
    config: Path | None,
    *,
    types: tuple[str, ...],
    max_age: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Look beside REF for signed statements, and tell what they prove and why others do not count.

    Nothing but the registry and the public keys is asked: no database, no server.

    Exit codes: 0 proven, 1 proven, and the verdict is deny, 2 usage or key, 3 proven, but the scan was not complete
    and no policy has judged it, 4 the registry does not answer, 5 there is no such statement, 6 there are some, but
    none counts, 7 what would prove it is out of date.
    """
    from scanner import app_attest, discovery  # noqa: PLC0415 - `scanner --help` imports every command
    from scanner.attest.fetch import verify_from_registry  # noqa: PLC0415
    from scanner.attest.verify import Demand  # noqa: PLC0415

    settings = load_settings(config, _as_settings(options))
    chosen = parse_reference(reference.removeprefix("docker://").removeprefix("registry:"))
    keys = app_attest.trusted_keys(settings)
    wanted = app_attest.predicate_types(types)
    with app_attest.open_repository(settings, chosen) as repository:
        stored = repository.manifest(chosen.digest or chosen.tag)
        if stored is None:
            raise NotFoundError(repository.host, "resolve", f"there is no {chosen}")
        demand = Demand(
            digest=stored.digest,
            keys=keys,
            types=wanted,
            now=datetime.now(UTC),
            revoked=app_attest.revoked_keys(settings),
            max_age=_span(max_age) if max_age else None,
            default_age=app_attest.validity(settings),
        )
        known = {p.type: p for p in discovery.predicates().values()}
        found = verify_from_registry(repository, demand, known)
    if as_json:
        _write_json(found)
    else:
        _tell(
            f"{chosen.name}@{stored.digest}", found, wanted, {t: p.name for t, p in known.items()}
        )
    raise click.exceptions.Exit(exit_code(found, wanted))


def exit_code(found: Verification, wanted: Iterable[str]) -> ExitCode:
    """Return what the findings mean: everything that was asked for must be proven."""
    from scanner.attest.verify import Refusal  # noqa: PLC0415 - as above

    proven = {proof.statement.predicate_type for proof in found.proofs}
    if not set(wanted) <= proven:
        refusals = {r.refusal for r in found.refused} - {Refusal.OTHER_TYPE}
        if not refusals:
            return ExitCode.UNKNOWN
        return ExitCode.STALE if refusals == {Refusal.STALE} else ExitCode.UNVERIFIED
    scans = [proof.scan for proof in found.proofs if proof.scan]
    if any(s.verdict and s.verdict.decision is Decision.DENY for s in scans):
        return ExitCode.DENIED
    if any(s.verdict is None and s.state is not ScanState.COMPLETE for s in scans):
        return ExitCode.INCOMPLETE
    return ExitCode.CLEAN


def _as_settings(options: dict[str, Any]) -> dict[str, Any]:
    names = {
        "keys": "attest.trusted_keys",
        "revoked": "attest.revoked_keys",
        "insecure_registry": "registry.insecure",
    }
    return {names[o]: list(options[o]) for o in names if options[o]}


def _span(text: str) -> timedelta:
    match = _SPAN.match(text)
    if match is None:
        raise click.BadParameter("expected a span as 90m, 12h, 7d or 2w", param_hint="--max-age")
    return int(match[1]) * _UNITS[match[2]]


def _write_json(found: Verification) -> None:
    import msgspec  # noqa: PLC0415 - as above

    for proof in found.proofs:
        click.echo(msgspec.json.encode(proof.statement).decode())
    _tell_refused(found.refused, err=True)


def _tell(image: str, found: Verification, wanted: Iterable[str], names: dict[str, str]) -> None:
    click.echo(image)
    for proof in found.proofs:
        _tell_proof(proof, names)
    proven = {proof.statement.predicate_type for proof in found.proofs}
    for missing in sorted(set(wanted) - proven):
        click.secho(f"not proven: {names.get(missing, missing)}", fg="red")
    _tell_refused(found.refused)


def _tell_proof(proof: Proof, names: dict[str, str]) -> None:
    kind = proof.statement.predicate_type
    click.secho(f"proven: {names.get(kind, kind)}", fg="green")
    click.echo(f"  by      {proof.where}, key {proof.key.id[:16]}… ({proof.key.algorithm})")
    if proof.made_at:
        until = f", counts until {_shown(proof.expires_at)}" if proof.expires_at else ""
        click.echo(f"  made    {_shown(proof.made_at)}{until}")
    if proof.scan:
        _tell_scan(proof.scan)


def _tell_scan(scan: ScanPredicate) -> None:
    platforms = ", ".join(f"{i.platform} {i.state}" for i in scan.images)
    click.echo(_printable(f"  state   {scan.state} ({platforms})"))
    counts: dict[str, int] = {}
    for image in scan.images:
        for severity, count in image.findings_count.items():
            counts[severity] = counts.get(severity, 0) + count
    shown = ", ".join(f"{count} {severity}" for severity, count in counts.items() if count)
    click.echo(_printable(f"  found   {shown or 'nothing'}"))
    unseen = sorted({kind for i in scan.images for kind in i.coverage.not_looked_for})
    if unseen:
        click.echo(_printable(f"  not looked for: {', '.join(unseen)}"))
    if scan.verdict is None:
        return
    click.echo(_printable(f"  verdict {scan.verdict.decision} (policy {scan.verdict.policy})"))
    for reason in scan.verdict.reasons[:_REASONS_SHOWN]:
        click.echo(_printable(f"    - {reason.message}"))
    if len(scan.verdict.reasons) > _REASONS_SHOWN:
        click.echo(f"    and {len(scan.verdict.reasons) - _REASONS_SHOWN} more")


def _tell_refused(refused: Iterable[Refused], *, err: bool = False) -> None:
    shown = [r for r in refused if r.refusal != "other-type"]
    if shown:
        click.echo("not accepted:", err=err)
    for one in shown:
        click.echo(_printable(f"  {one.where}: {one.refusal}: {one.reason}"), err=err)


def _printable(text: str) -> str:
    from scanner.reports.table import printable  # noqa: PLC0415 - as above

    return printable(text)


def _shown(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
