"""Run as a process of its own by store tests: ``python store_process.py <what> <store> <args…>``."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from scanner.errors import StoreError
from scanner.model import LayerReport
from scanner.store import open_store


def layer(digest: str, packages_count: int = 0) -> LayerReport:
    from scanner.model import Package

    return LayerReport(
        digest=digest,
        diff_id="sha256:1",
        compressed_bytes=1,
        uncompressed_bytes=2,
        compression="gzip",
        entries_count=3,
        files_count=2,
        read_count=1,
        packages=tuple(
            Package(purl_type="deb", name=f"{digest}-{i}", version="1", path="p")
            for i in range(packages_count)
        ),
    )


def share(where: str, layers: str, log: str) -> None:
    """Get every layer as a scan does; write one line to ``log`` for each that had to be computed."""
    store = open_store(where)
    for number in range(int(layers)):
        digest = f"sha256:{number}"
        while store.load_layer(digest, "f") is None:
            with store.claim_layer(digest, "f", wait_seconds=0.2) as claimed:
                if claimed and store.load_layer(digest, "f") is None:
                    with Path(log).open("a") as lines:
                        lines.write(f"{digest} {os.getpid()}\n")
                    time.sleep(0.01)
                    store.save_layer(layer(digest, 50), "f")
    store.close()


def hold(where: str, digest: str) -> None:
    """Claim a layer and never let go."""
    store = open_store(where)
    with store.claim_layer(digest, "f", wait_seconds=5) as claimed:
        print("held" if claimed else "refused", flush=True)  # noqa: T201
        time.sleep(600)


def write(where: str) -> None:
    """Write layers without end."""
    store = open_store(where)
    for number in range(10**9):
        store.save_layer(layer(f"sha256:{number}", 2_000), "f")
        print(number, flush=True)  # noqa: T201


def fill(where: str, allowed_bytes: str) -> None:
    """Write until no file may grow any more; say how that is told."""
    import resource
    import signal

    store = open_store(where)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(allowed_bytes),) * 2)
    try:
        for number in range(1_000):
            store.save_layer(layer(f"sha256:{number}", 2_000), "f")
    except StoreError as error:
        print(error.hint, flush=True)  # noqa: T201


def read_only(where: str) -> None:
    """Open and write as a user who may not; say how that is told."""
    if os.geteuid() == 0:
        os.seteuid(65534)
    try:
        store = open_store(where)
        store.save_layer(layer("sha256:1"), "f")
    except StoreError as error:
        print(error.hint, flush=True)  # noqa: T201


if __name__ == "__main__":
    {"share": share, "hold": hold, "write": write, "fill": fill, "read_only": read_only}[
        sys.argv[1]
    ](*sys.argv[2:])
