"""What the image's config and history say about how it was built and how it wants to be run.

Source: https://www.cisecurity.org/benchmark/docker (section 4; the numbers stand in ``evidence["cis"]``)
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from scanner.model import Finding, HistoryEntry, Kind, Severity
from scanner.ports import ImageAnalyzer, ImageView, Output

_PORTS_COUNT: Final = 1_000
_PRIVILEGED_PORTS: Final = 1_024
_STEP_CHARS: Final = 65_536
_ADMIN_PORTS: Final = {
    20: "FTP", 21: "FTP", 22: "SSH", 23: "Telnet", 69: "TFTP", 111: "RPC portmapper",
    139: "SMB", 445: "SMB", 512: "rexec", 513: "rlogin", 514: "rsh", 873: "rsync", 2049: "NFS",
    2375: "Docker API without TLS", 3389: "RDP", 5005: "Java debugger", 5900: "VNC",
    6000: "X11", 9229: "Node debugger", 10250: "kubelet",
}  # fmt: skip
_DATABASE_PORTS: Final = {
    1433: "SQL Server", 1521: "Oracle", 2379: "etcd", 3306: "MySQL", 5432: "PostgreSQL",
    5984: "CouchDB", 6379: "Redis", 7000: "Cassandra", 9042: "Cassandra", 9200: "Elasticsearch",
    11211: "memcached", 27017: "MongoDB", 50000: "Db2",
}  # fmt: skip
_LAST_PORT: Final = 65_535
_USUAL_PORTS: Final = frozenset({80, 443})
_PORT: Final = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?(?:/(\w+))?\Z")
_HOST_VOLUMES: Final = re.compile(
    r"/+(?:\Z|(?:etc|root|boot|dev|proc|sys|bin|sbin|lib|lib64|usr|var/run/docker\.sock|run/docker\.sock|"
    r"var/lib/docker|var/lib/kubelet|run/containerd)/*\Z)"
)
_ADD: Final = re.compile(r"(?:\A|#\(nop\)\s+)ADD\s+(.*)", re.DOTALL)
_ROOT_FILESYSTEM: Final = re.compile(r"\s(?:in )?/\s*(?:#[^\n]*)?\Z")
_UPDATE: Final = re.compile(
    r"\b(?:apt-get|apt|aptitude)\s+(?:-\S+\s+)*update\b|\bapk\s+(?:-\S+\s+)*update\b|"
    r"\b(?:yum|dnf|microdnf)\s+(?:-\S+\s+)*(?:makecache|check-update)\b|\bzypper\s+(?:-\S+\s+)*ref(?:resh)?\b"
)
_INSTALL: Final = re.compile(
    r"\b(?:install|upgrade|dist-upgrade|full-upgrade|add|fix|build-dep|patch|dup)\b"
)
_UNVERIFIED: Final = re.compile(
    r"--allow-unauthenticated|--force-yes|--nogpgcheck|--no-gpg-checks?|--allow-untrusted|\btrusted=yes\b|"
    r"\bgpgcheck=(?:0|false)\b|AllowUnauthenticated\s+[\"']?(?:true|1)|--trusted-host\b|"
    r"\bcurl(?=\s)[^|;&]{0,500}(?:\s-[a-zA-Z]*k[a-zA-Z]*(?=\s)|--insecure\b)|\bwget\s[^|;&]{0,500}--no-check-certificate|"
    r"strict-ssl\s+false"
)
_PIPED: Final = re.compile(r"\b(?:curl|wget)\s[^|;&]{1,500}\|\s*(?:sudo\s+)?(?:ba|da|z|a)?sh\b")
_BASE_NAME: Final = "org.opencontainers.image.base.name"


def _finding(
    rule: str,
    severity: Severity,
    title: str,
    why: str,
    remedy: str,
    *,
    path: str,
    cis: str = "",
    identity: str = "",
    **evidence: str,
) -> Finding:
    shown = ({"cis": cis} if cis else {}) | evidence
    return Finding(
        rule_id=rule,
        kind=Kind.CONFIG,
        severity=severity,
        title=title,
        why=why,
        remedy=remedy,
        path=path,
        evidence=shown,
        identity=identity,
    )


def ports(text: str) -> tuple[int, int, str] | None:
    """Return (first, last, protocol) of ``port[-port][/proto]``; None for anything else."""
    found = _PORT.match(text)
    if not found:
        return None
    first = int(found[1])
    last = int(found[2] or first)
    return (first, last, (found[3] or "tcp").lower()) if first <= last <= _LAST_PORT else None


def _port_finding(text: str, first: int, last: int) -> Finding | None:
    def hit(known: dict[int, str]) -> str:
        return next((name for port, name in sorted(known.items()) if first <= port <= last), "")

    path = f"config:ExposedPorts/{text}"
    if service := hit(_ADMIN_PORTS):
        return _finding(
            "config/exposed-admin-port",
            Severity.MEDIUM,
            f"Port {text} is exposed: {service}",
            "Remote administration inside a container goes around its orchestrator, its logs and its access rules.",
            "Remove the service from the image; use exec, logs and mounts of the runtime.",
            path=path,
            identity=text,
            service=service,
        )
    if service := hit(_DATABASE_PORTS):
        return _finding(
            "config/exposed-database-port",
            Severity.INFO,
            f"Port {text} is exposed: {service}",
            "Databases are often reachable without a password from whatever can reach the port.",
            "Publish it only to the network that needs it.",
            path=path,
            identity=text,
            service=service,
        )
    if first < _PRIVILEGED_PORTS and not (first == last and first in _USUAL_PORTS):
        return _finding(
            "config/exposed-privileged-port",
            Severity.INFO,
            f"Port {text} below 1024 is exposed",
            "To listen there the process needs root or cap_net_bind_service.",
            "Listen on a high port and map it when the container is run.",
            path=path,
            identity=text,
        )
    return None


def _check_ports(view: ImageView) -> Iterator[Finding]:
    for text in view.config.exposed_ports[:_PORTS_COUNT]:
        bounds = ports(text)
        if bounds and (finding := _port_finding(text, bounds[0], bounds[1])):
            yield finding


def _check_health(view: ImageView) -> Iterator[Finding]:
    health = view.config.healthcheck
    if health is None or not health.test or health.test[0] == "NONE":
        yield _finding(
            "config/no-healthcheck",
            Severity.INFO,
            "The image has no health check",
            "Without one, a container that hangs counts as running. (Images in OCI format cannot carry one.)",
            "Add a HEALTHCHECK, or a probe where the image is run.",
            path="config:Healthcheck",
            cis="4.6",
        )


def _check_volumes(view: ImageView) -> Iterator[Finding]:
    for volume in view.config.volumes[:_PORTS_COUNT]:
        if _HOST_VOLUMES.match(volume):
            yield _finding(
                "config/sensitive-volume",
                Severity.MEDIUM,
                f"System directory {volume[:100]} is declared a volume",
                "Changes there survive the container, hide updates of the image and tempt to mount the host's own.",
                "Declare only directories with the application's data.",
                path=f"config:Volumes/{volume[:100]}",
                identity=volume[:100],
            )


def _check_on_build(view: ImageView) -> Iterator[Finding]:
    if view.config.on_build:
        yield _finding(
            "config/onbuild",
            Severity.INFO,
            "The image carries ONBUILD triggers",
            "They run in the builds of everybody who uses it as a base, unseen in their Dockerfiles.",
            "Write the steps into the Dockerfiles that need them.",
            path="config:OnBuild",
            count=str(len(view.config.on_build)),
        )


def _check_base(view: ImageView) -> Iterator[Finding]:
    base = view.config.labels.get(_BASE_NAME, "")
    tag = base.rpartition("/")[2].partition("@")[0].partition(":")[2]
    if base and "@" not in base and tag in {"", "latest"}:
        yield _finding(
            "config/floating-base",
            Severity.INFO,
            "The base image was named by a tag that moves",
            "The same Dockerfile gives another image tomorrow, and nobody can tell which base this one has.",
            "Name the base by version and digest.",
            path=f"config:Labels/{_BASE_NAME}",
            cis="4.2",
            base=base[:200],
        )


def _is_root_filesystem(index: int, source: str, history: tuple[HistoryEntry, ...]) -> bool:
    is_first = all(h.empty_layer for h in history[:index])
    return is_first and bool(_ROOT_FILESYSTEM.search(source))


def _check_added(history: tuple[HistoryEntry, ...]) -> Iterator[Finding]:
    """One finding for all ADD steps but the one that lays the root file system."""
    steps = [
        index
        for index, entry in enumerate(history)
        if (add := _ADD.search(entry.created_by[:_STEP_CHARS]))
        and not _is_root_filesystem(index, add[1], history)
    ]
    if steps:
        yield _finding(
            "config/add-instruction",
            Severity.INFO,
            "Files come into the image by ADD",
            "ADD fetches from the network and unpacks archives without being asked to.",
            "Use COPY; fetch with a checked digest where a download is meant.",
            path=f"config:History/{steps[0]}",
            cis="4.9",
            count=str(len(steps)),
            steps=",".join(map(str, steps[:20])),
        )


def _check_step(index: int, step: str) -> Iterator[Finding]:
    path = f"config:History/{index}"
    if _UPDATE.search(step) and not _INSTALL.search(step):
        yield _finding(
            "config/update-alone",
            Severity.LOW,
            "Package lists are updated in a step of their own",
            "The layer is cached, so later installs take old versions from old lists.",
            "Update, install and clean up in one RUN.",
            path=path,
            cis="4.7",
        )
    if found := _UNVERIFIED.search(step):
        yield _finding(
            "config/unverified-package",
            Severity.MEDIUM,
            "A build step switches signature or certificate checks off",
            "Whoever is on the way to the package server decides what is installed.",
            "Install the repository's key or CA certificate and leave the checks on.",
            path=path,
            cis="4.11",
            identity=found[0].split()[-1][:100],
            switch=found[0].split()[-1][:100],
        )
    if _PIPED.search(step):
        yield _finding(
            "config/download-piped-to-shell",
            Severity.LOW,
            "A build step runs a script straight from the network",
            "What ran is neither recorded nor checked, and may differ at every build.",
            "Download to a file, compare its digest, then run it.",
            path=path,
            cis="4.11",
        )


def _check_history(view: ImageView) -> Iterator[Finding]:
    history = view.config.history
    yield from _check_added(history)
    for index, entry in enumerate(history):
        yield from _check_step(index, entry.created_by[:_STEP_CHARS])


def _check_sudo(view: ImageView) -> Iterator[Finding]:
    for package in view.packages:
        if package.from_distribution and package.name in {"sudo", "sudo-ldap", "doas", "opendoas"}:
            yield Finding(
                rule_id="privilege/sudo-installed",
                kind=Kind.PRIVILEGE,
                severity=Severity.LOW,
                title=f"{package.name} is installed",
                why="A container has no use for it at run time, and it has a history of ways to root.",
                remedy="Start the container as the user that is meant (USER), and leave the package out.",
                path=package.path,
                package=package.purl,
                evidence={"cis": "4.3"},
            )


def inspect(view: ImageView) -> Iterator[Output]:
    """Yield what the config and history of a Linux image say."""
    if view.config.platform.os != "linux":
        return
    for check in (
        _check_ports,
        _check_health,
        _check_volumes,
        _check_on_build,
        _check_base,
        _check_history,
        _check_sudo,
    ):
        yield from check(view)


ANALYZERS: Final = (
    ImageAnalyzer(
        name="config/settings",
        version=1,
        inspect=inspect,
        summary="ports, health check, volumes, build steps, sudo (CIS Docker Benchmark, section 4)",
    ),
)
