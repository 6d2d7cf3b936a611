"""``scanner plugins``: what can look, where from, and how it is written down."""

from __future__ import annotations

import click

from scanner import discovery
from scanner.ports import EntryAnalyzer, FileAnalyzer, PatternAnalyzer
from scanner.ports.analyzer import Analyzer


@click.command(
    "plugins",
    short_help="List analyzers, sources, report formats, predicates, protocols, pod controls and webhooks.",
)
def COMMAND() -> None:  # noqa: N802 - what every command module exports
    """List everything that plugs in: analyzers with their versions, sources, report formats, predicates and so on."""
    click.echo("ANALYZERS")
    for analyzer in discovery.analyzers():
        click.echo(
            f"  {analyzer.name:<34} v{analyzer.version:<3} {_what(analyzer):<26} {analyzer.summary}"
        )
    click.echo("SOURCES")
    for source in discovery.source_factories():
        click.echo(f"  {source.name:<34} {', '.join(source.schemes):<31} {source.summary}")
    click.echo("REPORT FORMATS")
    for report in discovery.report_formats().values():
        click.echo(f"  {report.name:<34} {report.media_type:<31} {report.summary}")
    click.echo("PREDICATES")
    for predicate in discovery.predicates().values():
        click.echo(f"  {predicate.name:<34} {predicate.type:<31} {predicate.summary}")
    click.echo("ADMISSION")
    for protocol in discovery.admission_protocols().values():
        click.echo(f"  {protocol.name:<34} {'':<31} {protocol.summary}")
    click.echo("POD CONTROLS")
    for control in discovery.pod_controls():
        click.echo(f"  {control.name:<34} {control.rule_id:<31} {control.title}")
    click.echo("WEBHOOKS")
    for webhook in discovery.webhook_sources().values():
        signs = "signed" if webhook.signature else "not signed"
        click.echo(f"  {webhook.name:<34} {signs:<31} {webhook.summary}")


def _what(analyzer: Analyzer) -> str:
    if isinstance(analyzer, PatternAnalyzer):
        return f"{len(analyzer.patterns)} patterns"
    if isinstance(analyzer, FileAnalyzer):
        return f"files: {', '.join(analyzer.purl_types) or 'findings'}"
    return "entries" if isinstance(analyzer, EntryAnalyzer) else "merged image"
