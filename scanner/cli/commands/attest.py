"""``scanner attest``: scan an image, sign what was seen, and publish it beside the image."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scanner.cli.exit_codes import exit_code_of
from scanner.cli.judging import judge_of
from scanner.cli.options import config_option
from scanner.cli.passphrase import passphrase_of
from scanner.config import Settings, load_settings
from scanner.errors import InvalidReferenceError, SettingsError
from scanner.model import ScanReport, Verdict, parse_platform, parse_reference

if TYPE_CHECKING:
    from scanner.attest.private_keys import Signer
    from scanner.attest.publish import Published
    from scanner.attest.statements import DigestStatements
    from scanner.model import Reference


@click.command("attest", short_help="Scan an image, sign what was seen, publish it.")
@click.argument("reference", metavar="REF")
@click.option(
    "--key",
    metavar="FILE|URI",
    help="Private key, or awskms:, gcpkms:, azurekms:, hv:, hsm: URI (attest.key).",
)
@click.option(
    "--predicate",
    "predicates",
    multiple=True,
    metavar="NAME",
    help="State this only (repeatable): see scanner plugins. Default: everything.",
)
@click.option(
    "--policy",
    "policy_file",
    metavar="FILE",
    help="Judge by this policy (policy.file), or by the built-in one: default. Exit with 1 if it denies.",
)
@click.option("--no-publish", is_flag=True, help="Do not write to the registry; needs --output.")
@click.option(
    "--output",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write envelopes and bundles to this directory.",
)
@click.option(
    "--platform", "platforms", multiple=True, metavar="OS/ARCH[/VARIANT]",
    help="Platform of an index to scan (repeatable); nothing is stated of the index then. Default: all.",
)  # fmt: skip
@click.option(
    "--insecure-registry", multiple=True, metavar="HOST[:PORT]",
    help="Speak plain http to this registry (repeatable).",
)  # fmt: skip
@config_option
@click.option("--quiet", "-q", is_flag=True, help="No progress display.")
def COMMAND(  # noqa: N802 - what every command module exports
    reference: str,
    config: Path | None,
    output: Path | None,
    policy_file: str | None,
    *,
    no_publish: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Scan REF, sign statements about the index and every image of it, and publish them beside the image.

    An image that was scanned today is not scanned again. What this key signed before of the same kind is replaced;
    others' statements stay. Without --key and attest.key, a key is made when it is first needed.

    Exit codes: 0 signed, 1 signed, and the policy denies, 2 usage or key, 3 signed, but something could not be looked
    at, 4 could not scan or publish.
    """
    if no_publish and output is None:
        raise click.UsageError("--no-publish without --output DIR would leave nothing")
    settings = load_settings(config, _as_settings(options))
    where = None if no_publish else _published_at(reference)
    signer = _signer(settings)
    from scanner import app_attest  # noqa: PLC0415 - `scanner --help` imports every command

    chosen = app_attest.predicates(settings)
    judge = judge_of(policy_file or settings.policy.file)
    report = judge(_scan(settings, reference, quiet=quiet))
    from scanner.attest.statements import sign_report  # noqa: PLC0415

    statements = sign_report(
        report,
        chosen,
        signer,
        valid=app_attest.validity(settings),
        verdicts=_verdicts(report, judge),
        is_whole=not settings.scan.platforms,
    )
    names = {p.type: p.name for p in chosen}
    for one in statements:
        _tell(one, names)
    if output is not None:
        _write(output, statements, names, signer)
    if where is not None:
        _publish(settings, where, statements, signer)
    raise click.exceptions.Exit(exit_code_of(report, None))


def _as_settings(options: dict[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if options["key"]:
        values["attest.key"] = options["key"]
    for option, name in (
        ("predicates", "attest.predicates"),
        ("platforms", "scan.platforms"),
        ("insecure_registry", "registry.insecure"),
    ):
        if options[option]:
            values[name] = list(options[option])
    return values


def _published_at(reference: str) -> Reference:
    try:
        return parse_reference(reference.removeprefix("docker://").removeprefix("registry:"))
    except InvalidReferenceError as error:
        error.hint = (
            "only an image in a registry has a place beside it; else: --no-publish --output DIR"
        )
        raise


def _signer(settings: Settings) -> Signer:
    from scanner import app_attest  # noqa: PLC0415 - as above

    where = settings.attest.key or str(app_attest.key_path(settings))
    signer, made = app_attest.open_signer(settings, passphrase_of(where))
    if made:
        click.echo(f"made a signing key: {where}. Its public key, for those who verify:", err=True)
        click.echo(signer.key.pem, nl=False, err=True)
    return signer


def _scan(settings: Settings, reference: str, *, quiet: bool) -> ScanReport:
    from scanner.cli.commands.scan import scan_here  # noqa: PLC0415 - as above
    from scanner.cli.progress import LiveProgress  # noqa: PLC0415

    wanted = [parse_platform(p) for p in settings.scan.platforms]
    progress = LiveProgress() if not quiet and sys.stderr.isatty() else None
    try:
        return scan_here(settings, reference, wanted, progress)
    finally:
        if progress is not None:
            progress.close()


def _verdicts(report: ScanReport, judge: Callable[[ScanReport], ScanReport]) -> dict[str, Verdict]:
    """Return what the policy says of each digest; an image may pass where its index does not."""
    from scanner.attest.statements import digests_of, narrowed  # noqa: PLC0415 - as above

    judged = {digest: judge(narrowed(report, digest)).verdict for digest in digests_of(report)}
    return {digest: v for digest, v in judged.items() if isinstance(v, Verdict)}


def _tell(one: DigestStatements, names: dict[str, str]) -> None:
    signed = ", ".join(names[s.predicate_type] for s in one.signed) or "nothing"
    click.echo(f"{one.digest}: signed {signed}")
    if one.withdrawn:
        unstated = ", ".join(sorted(names[t] for t in one.withdrawn))
        click.echo(f"  not stated, as this scan does not tell: {unstated}")


def _write(
    directory: Path, statements: Sequence[DigestStatements], names: dict[str, str], signer: Signer
) -> None:
    """Write ``<digest>.<predicate>.dsse.json`` and ``….sigstore.json``."""
    from scanner.attest.bundle import encode_bundle  # noqa: PLC0415 - as above
    from scanner.attest.dsse import encode_envelope  # noqa: PLC0415

    try:
        directory.mkdir(parents=True, exist_ok=True)
        for one in statements:
            for signed in one.signed:
                stem = f"{one.digest.replace(':', '-')}.{names[signed.predicate_type]}"
                (directory / f"{stem}.dsse.json").write_bytes(encode_envelope(signed.envelope))
                (directory / f"{stem}.sigstore.json").write_bytes(
                    encode_bundle(signed.envelope, signer.key)
                )
    except OSError as error:
        raise SettingsError(str(directory), error.strerror or "cannot be written") from error


def _publish(
    settings: Settings, where: Reference, statements: Sequence[DigestStatements], signer: Signer
) -> None:
    from scanner import app, app_attest  # noqa: PLC0415 - as above
    from scanner.attest.publish import publish_statements  # noqa: PLC0415

    with closing(app.open_store(settings)) as store:
        claim = app_attest.claim_of(store)
        with app_attest.open_repository(settings, where) as repository:
            for done in publish_statements(repository, statements, signer.key, claim):
                _tell_published(done, where)


def _tell_published(done: Published, where: Reference) -> None:
    how = "referrers" if done.has_referrers_api else "referrers by tag"
    click.echo(
        f"{done.digest}: published beside {where.name} as {how} and .att "
        f"({done.added_count} new, {done.removed_count} replaced)"
    )
    for kept in done.kept:
        click.echo(f"  the registry does not let us delete the older {kept}", err=True)
