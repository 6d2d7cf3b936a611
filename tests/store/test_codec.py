"""How reports are packed, and that the first ones may be read by several threads at once."""

from __future__ import annotations

import subprocess
import sys

import pytest
from support.sample_report import sample_report
from support.scanning import environment

from scanner.model import ImageReport
from scanner.store._codec import pack, unpack

# msgspec looks into a type when it is first used, without a lock: in a process that has used none yet, threads
# that begin together crashed it one time in four.
TOGETHER = """
import sys, threading
from scanner.model import ImageReport
from scanner.store._codec import unpack
data = sys.stdin.buffer.read()
sys.setswitchinterval(1e-6)
together = threading.Barrier(8)
def read():
    together.wait()
    assert unpack(data, ImageReport) is not None
threads = [threading.Thread(target=read) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""


def test_packed_is_unpacked():
    report = sample_report().images[0]
    assert unpack(pack(report), ImageReport) == report


@pytest.mark.parametrize("data", [b"", b"\0" * 40, pack(sample_report().images[0])[:-9]])
def test_what_is_damaged_is_none(data):
    assert unpack(data, ImageReport) is None


def test_threads_read_the_first_report_together(tmp_path):
    data = pack(sample_report().images[0])
    for _ in range(5):
        done = subprocess.run(
            [sys.executable, "-c", TOGETHER],
            input=data, env=environment(tmp_path), cwd=tmp_path, capture_output=True, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr.decode()) == (0, "")
