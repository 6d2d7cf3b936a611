"""A report with every shape that report formats must cope with, hostile texts included."""

from __future__ import annotations

from scanner.model import (
    Coverage,
    DiffID,
    Digest,
    Distribution,
    FileIssue,
    Finding,
    ImageConfig,
    ImageReport,
    Kind,
    LayerSummary,
    LimitHit,
    Package,
    Platform,
    ScanReport,
    ScanState,
    Severity,
)

HOSTILE = "evil\x1b]0;owned\x07\x9b31m\u202egnp.exe\r\n\t\u2028end"


def _digest(letter: str) -> Digest:
    return Digest("sha256:" + letter * 64)


LAYERS = (_digest("a"), _digest("b"))


def finding(rule_id: str, severity: Severity, path: str, **more: object) -> Finding:
    values: dict[str, object] = {
        "kind": Kind.CONFIG,
        "title": "A setting that should not be",
        "why": "Somebody may do what they should not.",
        "remedy": "Change it.",
        "fingerprint": (rule_id + path).encode().hex()[:32],
    }
    return Finding(rule_id=rule_id, severity=severity, path=path, **(values | more))  # type: ignore[arg-type]


def _secrets() -> list[Finding]:
    shared = {
        "kind": Kind.SECRET,
        "title": "Private key",
        "why": "Whoever pulls the image can pose as the key's owner.",
        "remedy": "Replace the key, remove it from the image and mount it at run time.",
        "evidence": {"redacted": "MIIE…", "length": "1704", "sha256": "0" * 64},
    }
    places = [
        ("opt/app/one.pem", {"line": 1, "layer_index": 1}),
        ("root/.ssh/id_rsa", {"line": 1, "layer_index": 0, "deleted_later": True}),
        *(("usr/lib/libkeys.so", {"offset": n * 1000, "layer_index": 0}) for n in range(1, 6)),
        *((f"srv/keys/{n}.pem", {"line": 1, "layer_index": 1}) for n in range(6)),
    ]
    return [
        finding("secret/private-key", Severity.CRITICAL, path, **shared, **more)
        for path, more in places
    ]


def _findings() -> tuple[Finding, ...]:
    return (
        *_secrets(),
        finding(
            "config/secret-in-env",
            Severity.HIGH,
            "config:Env/TOKEN",
            title="Environment variable TOKEN holds a credential",
            evidence={"cis": "4.10", "name": "TOKEN", "redacted": "…"},
        ),
        finding(
            "config/hostile",
            Severity.MEDIUM,
            f"srv/{HOSTILE}",
            title=f"Title {HOSTILE}",
            why=f"Why {HOSTILE}",
            remedy=f"Do {HOSTILE}",
            evidence={"text": HOSTILE},
            layer_index=1,
            build_step=f"RUN {HOSTILE}",
        ),
        *(
            finding(
                "privilege/setuid-file",
                Severity.LOW,
                f"usr/bin/tool{n}",
                title="File runs as user 0 whoever starts it (setuid)",
                layer_index=0,
            )
            for n in range(30)
        ),
        finding("config/exposed-port", Severity.INFO, "config:ExposedPorts/80", title="Port 80"),
        finding("config/exposed-port", Severity.INFO, "config:ExposedPorts/81", title="Port 81"),
    )


def _coverage(**more: object) -> Coverage:
    values: dict[str, object] = {
        "layers_count": 2,
        "layers_scanned_count": 2,
        "compressed_bytes": 31_000_000,
        "uncompressed_bytes": 1_234_567_890,
        "entries_count": 23_000,
        "files_count": 21_500,
        "read_count": 300,
        "distribution_recognised": True,
        "ecosystems": {"deb": 2, "pypi": 1},
        "issues": (),
        "limits": (),
    }
    return Coverage(**(values | more))  # type: ignore[arg-type]


def _main_image() -> ImageReport:
    issues = (
        *(
            FileIssue(path=f"usr/{n}.crt", reason="not a certificate", code="malformed-file")
            for n in range(7)
        ),
        FileIssue(path=HOSTILE, reason=f"because {HOSTILE}", code="malformed-file"),
        FileIssue(path="", reason="cut off", code="malformed-layer", layer=LAYERS[1]),
    )
    return ImageReport(
        digest=_digest("1"),
        image_id=_digest("2"),
        platform=Platform(),
        state=ScanState.PARTIAL,
        coverage=_coverage(
            issues=issues,
            limits=(LimitHit(limit="file_bytes", allowed=1_073_741_824.0, path="srv/huge.jar"),),
        ),
        distribution=Distribution(id="debian", version="12", name="Debian GNU/Linux 12 (bookworm)"),
        config=ImageConfig(user="root", env=("TOKEN=…",), diff_ids=(DiffID(_digest("d")),)),
        layers=(
            LayerSummary(digest=LAYERS[0], index=0, compression="gzip", cached=True),
            LayerSummary(digest=LAYERS[1], index=1, compression="zstd", build_step="COPY . /"),
        ),
        packages=(
            Package(
                purl_type="deb", namespace="debian", name="bash", version="5.2.15-2+b2",
                qualifiers={"arch": "amd64"}, path="var/lib/dpkg/status", from_distribution=True,
            ),
            Package(purl_type="pypi", name="flask", version="3.0", path="opt/METADATA"),
        ),
        findings=_findings(),
    )  # fmt: skip


def sample_report() -> ScanReport:
    """Return an index of three images: one with everything, one clean, one failed."""
    clean = ImageReport(
        digest=_digest("3"),
        image_id=_digest("4"),
        platform=Platform(architecture="arm64"),
        state=ScanState.COMPLETE,
        coverage=_coverage(ecosystems={}, layers_count=1, layers_scanned_count=1, files_count=1),
    )
    failed = ImageReport(
        digest=_digest("5"),
        image_id="",
        platform=Platform(architecture="s390x"),
        state=ScanState.FAILED,
        coverage=_coverage(layers_scanned_count=0, distribution_recognised=False),
        error="config: it is not JSON",
    )
    return ScanReport(
        schema_version="1.1",
        scanner_version="0.0.0",
        fingerprint="0123456789abcdef",
        reference=f"oci:demo {HOSTILE}",
        digest=_digest("0"),
        started_at="2025-01-31T12:00:00+00:00",
        seconds=1.25,
        stage_seconds={"resolve": 0.05, "extract": 1.0, "merge": 0.2},
        state=ScanState.FAILED,
        images=(_main_image(), clean, failed),
        skipped=(FileIssue(path=_digest("6"), reason="an attestation", code="skipped"),),
    )
