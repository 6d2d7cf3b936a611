"""One file of manifests: what is wrong with its pods, and what was not looked at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import msgspec

from scanner.errors import MalformedFileError
from scanner.model import Digest, FileIssue, Finding, digest_of
from scanner.model.finding import fingerprint_of
from scanner.model.pod import Pod
from scanner.pod_security.evaluate import told
from scanner.pod_security.manifests import (
    KubernetesObject,
    Unread,
    decode,
    line_at,
    node_at,
    read_objects,
    value_of,
)
from scanner.pod_security.pods import parse_pod
from scanner.pod_security.workloads import has_pod, makes_no_pods, pod_path
from scanner.ports.control import Control, FieldPath, Level, Place, PodContext

_SKIPPED: Final = "skipped"
_VALUE_LENGTH: Final = 200
_CONTAINERS: Final = frozenset({"containers", "initContainers", "ephemeralContainers"})


@dataclass(frozen=True, slots=True)
class CheckedFile:
    """What one file holds."""

    path: str
    digest: Digest
    bytes_count: int
    objects_count: int = 0
    pods_count: int = 0
    findings: tuple[Finding, ...] = ()
    issues: tuple[FileIssue, ...] = ()
    """What may hide something."""
    skipped: tuple[FileIssue, ...] = ()
    """What is plainly no pod, or of a kind that is not known: told, and no more."""


def check_file(path: str, data: bytes, level: Level, context: PodContext) -> CheckedFile:
    """Return everything that is to be said of a file; never raises, whatever stands in it."""
    findings: list[Finding] = []
    issues: list[FileIssue] = []
    skipped: list[FileIssue] = []
    objects_count = pods_count = 0
    for one in _read(path, data):
        if isinstance(one, Unread):
            (issues if one.is_broken else skipped).append(_unread(path, one))
            continue
        objects_count += 1
        try:
            pod, where = _pod_of(one, path)
        except MalformedFileError as error:
            issues.append(FileIssue(path=error.path, reason=error.reason, code=error.code))
            continue
        if pod is not None:
            pods_count += 1
            for control, place in told(pod, level, context):
                field = (*where, *place.path)
                line = line_at(one.root, (*one.path, *field))
                findings.append(
                    finding_of(control, place, file=path, line=line, one=one, path=field)
                )
        elif not makes_no_pods(one):
            reason = (
                f"kind {one.kind} ({one.api_version or 'no apiVersion'}) is not known to make pods"
            )
            skipped.append(FileIssue(path=_place(path, one), reason=reason, code=_SKIPPED))
    return CheckedFile(
        path=path,
        digest=digest_of(data),
        bytes_count=len(data),
        objects_count=objects_count,
        pods_count=pods_count,
        findings=tuple(findings),
        issues=tuple(issues),
        skipped=tuple(skipped),
    )


def _read(path: str, data: bytes) -> Iterator[KubernetesObject | Unread]:
    try:
        text = decode(data, path)
    except MalformedFileError as error:
        yield Unread(1, error.reason, is_broken=True)
        return
    yield from read_objects(text)


def _unread(path: str, unread: Unread) -> FileIssue:
    code = MalformedFileError.code if unread.is_broken else _SKIPPED
    return FileIssue(path=f"{path}:{unread.line}", reason=unread.reason, code=code)


def _place(path: str, one: KubernetesObject) -> str:
    return f"{path}:{one.line}: {one.label}"


def _pod_of(one: KubernetesObject, file: str) -> tuple[Pod | None, FieldPath]:
    """Return an object's pod and where it is; None if it has none.

    Raises:
        MalformedFileError: it should have one, or the one it has is not as Kubernetes has it.
    """
    path = pod_path(one)
    if path is None:
        return None, ()
    node = node_at(one.node, path)
    if node is None or not has_pod(one, path):
        where = ".".join(map(str, (*path, "spec")))
        raise MalformedFileError(_place(file, one), f"there is no {where}")
    return parse_pod(value_of(node), _place(file, one)), path


def finding_of(
    control: Control, place: Place, *, file: str, line: int, one: KubernetesObject, path: FieldPath
) -> Finding:
    """Return a control's finding at a place, with a fingerprint that outlives moved lines and containers."""
    evidence = {
        "object": one.label,
        "field": field_text(path),
        "container": place.container,
        "value": place.value[:_VALUE_LENGTH],
        "template": one.template,
    }
    finding = Finding(
        rule_id=control.rule_id,
        kind=control.kind,
        severity=control.severity,
        title=control.title,
        why=control.why,
        remedy=control.remedy,
        path=file,
        line=line,
        evidence={key: value for key, value in evidence.items() if value},
        identity=f"{one.label} {field_text(_stable(path, place))}",
    )
    return msgspec.structs.replace(finding, fingerprint=fingerprint_of(finding))


def _stable(path: FieldPath, place: Place) -> FieldPath:
    """Return the path with names or values where numbers would change with the order."""
    steps: list[str | int] = []
    for before, step in zip(("", *path), path, strict=False):
        name = place.container if before in _CONTAINERS else place.value
        steps.append(name if isinstance(step, int) and name else step)
    return tuple(steps)


def field_text(path: FieldPath) -> str:
    """Return ``spec.containers[0].image``; a key with dots is in brackets and quotes."""
    parts = []
    for step in path:
        if isinstance(step, int):
            parts.append(f"[{step}]")
        else:
            parts.append(f'["{step}"]' if "." in step or "/" in step else f".{step}")
    return "".join(parts).removeprefix(".")
