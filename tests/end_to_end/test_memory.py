"""Memory does not grow with the size of a layer."""

from __future__ import annotations

import gzip
import hashlib
import random
import subprocess
import sys
from pathlib import Path

from support.hostile_layers import MIB, TAR_END, OddLayer, file, header, write_odd_layout
from support.scanning import command, environment

MEASURE = """\
import os, subprocess, sys
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
print(os.waitstatus_to_exitcode(status), usage.ru_maxrss // 1024)
"""
"""A small process between, as a child's peak begins with its parent's."""
BLOCK = b"".join(random.Random(seed).randbytes(2_048) * 16 for seed in range(MIB // 32_768))
SMALL_FILES = b"".join(file(f"etc/conf{n}.json", b"{}\n") for n in range(500))


def large_layer(mib: int) -> OddLayer:
    """Return a layer with a file of that many MiB among small ones, never held as a whole."""
    head = SMALL_FILES + header("data", mib * MIB)
    state = hashlib.sha256(head)
    for _ in range(mib):
        state.update(BLOCK)
    state.update(TAR_END)
    before, body, after = (gzip.compress(part, 1, mtime=0) for part in (head, BLOCK, TAR_END))
    return OddLayer(before + body * mib + after, diff_id=f"sha256:{state.hexdigest()}")


def peak_mib(mib: int, directory: Path) -> int:
    layout = write_odd_layout([large_layer(mib)], directory / f"layout{mib}")
    home = directory / "home"
    home.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, *command("scan", layout, "--format=json")],
        env=environment(home), cwd=home, capture_output=True, text=True, check=True,
    )  # fmt: skip
    code, peak = map(int, done.stdout.split())
    assert (code, done.stderr) == (0, "")
    return peak


def test_a_layer_ten_times_as_large_takes_the_same_memory(tmp_path):
    small, large = peak_mib(60, tmp_path), peak_mib(600, tmp_path)
    assert large < 256
    assert large - small < 48
