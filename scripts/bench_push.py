"""From a push to the answer: a real registry tells a real service, and somebody asks by digest."""

from __future__ import annotations

import hashlib
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import requests
from support.serving import Serving, start_both

_POLL_SECONDS = 0.005
_LONGEST_SECONDS = 600.0


def push_to_answer(directory: Path, layouts: dict[str, Path], say: Callable[[str], None]) -> None:
    """Push each image and print how long until its digest answers; then again, under another name."""
    with start_both(directory) as (service, registry), requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {service.token}"
        say("  the first one waits for the worker to start, and to compile its patterns")
        say("  image         push      push's end to complete   worker: seconds of the scan")
        for name, layout in layouts.items():
            digest = _digest(layout, name)
            for attempt in ("first", "again"):
                target = f"docker://{registry.host}/bench/{attempt}/{name}:1"
                push_seconds = _push(f"oci:{layout}:{name}", target)
                wait_seconds = _wait(session, service, digest)
                say(
                    f"  {name:<9} {attempt}  {push_seconds:6.2f} s  {wait_seconds:8.3f} s"
                    f"                {_scan_seconds(session, service, digest):8.3f} s"
                )


def _digest(layout: Path, name: str) -> str:
    done = subprocess.run(
        ["skopeo", "inspect", "--raw", f"oci:{layout}:{name}"], stdout=subprocess.PIPE, check=True
    )
    return f"sha256:{hashlib.sha256(done.stdout).hexdigest()}"


def _push(source: str, target: str) -> float:
    began = time.monotonic()
    subprocess.run(["skopeo", "copy", "-q", "--dest-tls-verify=false", source, target], check=True)
    return time.monotonic() - began


def _wait(session: requests.Session, service: Serving, digest: str) -> float:
    """Return seconds until the digest answers with a result."""
    began = time.monotonic()
    while (seconds := time.monotonic() - began) < _LONGEST_SECONDS:
        with session.get(f"{service.url}/v1/images/{digest}", timeout=30) as response:
            if response.json().get("result"):
                return seconds
        time.sleep(_POLL_SECONDS)
    raise SystemExit(f"{digest} did not answer: {service.log_text[-2000:]}")


def _scan_seconds(session: requests.Session, service: Serving, digest: str) -> float:
    with session.get(f"{service.url}/v1/images/{digest}/report", timeout=60) as response:
        return float(response.json()["seconds"])
