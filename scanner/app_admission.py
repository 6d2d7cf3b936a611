"""The composition of admissions: from settings to who rules on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Final

from scanner import app, app_loops
from scanner.config import Settings
from scanner.errors import MalformedFileError, SettingsError
from scanner.pod_security.evaluate import forbidden_text, violations
from scanner.pod_security.pods import parse_pod
from scanner.pod_security.versions import LATEST, parse_version
from scanner.ports import ServiceStore
from scanner.ports.control import Level
from scanner.ports.verdicts import Judge
from scanner.service.admission import Admission, AdmissionOptions, PodCheck
from scanner.service.tag_answers import TagAnswers

_SETTING: Final = "admission.pod_security"


def open_admission(
    settings: Settings, store: ServiceStore, judge: Judge, is_allowed: Callable[[str], bool]
) -> tuple[Admission, TagAnswers]:
    """Return who rules on admissions, and what asks registries for it, to be closed in the end.

    Raises:
        SettingsError: ``admission.pod_security`` or a rule file is wrong.
    """
    chosen = settings.admission
    open_names = app_loops.names_opener(settings, idle_seconds=chosen.registry_seconds)
    tags = TagAnswers(
        open_names, kept_seconds=chosen.tag_seconds, registry_seconds=chosen.registry_seconds
    )
    options = AdmissionOptions(
        fingerprint=app.fingerprint(settings),
        is_allowed=is_allowed,
        wait_seconds=chosen.wait_seconds,
        is_exempt=namespaces(chosen.exempt_namespaces),
        fails_open=namespaces(chosen.fail_open_namespaces),
        check_pod=pod_check(chosen.pod_security),
    )
    return Admission(store, judge, tags, options), tags


def namespaces(globs: Sequence[str]) -> Callable[[str], bool]:
    """Return whether a namespace is matched by one of the globs; ``*`` matches one that is not known, too."""
    return lambda namespace: any(fnmatchcase(namespace, glob) for glob in globs)


def pod_check(entries: Sequence[str]) -> PodCheck:
    """Return what checks pods by ``NAMESPACE=LEVEL[:VERSION]``; the first entry that matches counts.

    Raises:
        SettingsError: an entry has another form.
    """
    rules = [_parse(entry) for entry in entries]

    def check(pod: Mapping[str, Any], namespace: str) -> Sequence[str]:
        for matches, level, minor in rules:
            if matches(namespace):
                return _violations(pod, level, minor)
        return ()

    return check


def _parse(entry: str) -> tuple[Callable[[str], bool], Level, int]:
    glob, _, chosen = entry.partition("=")
    level, _, version = chosen.partition(":")
    if not glob or level not in set(Level):
        expected = f"expected NAMESPACE=LEVEL[:VERSION] with one of {', '.join(Level)}"
        raise SettingsError(_SETTING, f"{entry[:60]!r}: {expected}")
    try:
        return namespaces([glob]), Level(level), parse_version(version or LATEST)
    except SettingsError as error:
        raise SettingsError(_SETTING, error.reason) from None


def _violations(pod: Mapping[str, Any], level: Level, minor: int) -> Sequence[str]:
    if level is Level.PRIVILEGED:
        return ()
    try:
        found = violations(parse_pod(pod, "pod"), level, minor)
    except MalformedFileError as error:
        return (str(error),)
    return (forbidden_text(found, level, minor),) if found else ()
