"""Files of the cache directory."""

from __future__ import annotations

import os
import subprocess
import sys

from scanner.layers.cache_files import remove_abandoned, save


def test_save(tmp_path):
    path = tmp_path / "made" / "kept"
    save(path, b"first")
    save(path, b"second")
    assert [p.name for p in path.parent.iterdir()] == ["kept"]
    assert path.read_bytes() == b"second"


def test_what_cannot_be_written_is_no_error(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    save(tmp_path / "file" / "kept", b"x")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_remove_abandoned(tmp_path):
    with subprocess.Popen([sys.executable, "-c", ""]) as dead:
        dead.wait()
    abandoned = [f"kept.{dead.pid}.1.tmp", f"patterns-1.hsdb.{'9' * 30}.1.tmp"]
    staying = [f"kept.{os.getpid()}.1.tmp", "kept.1.1.tmp", "kept", "of-others.tmp", "x.y.tmp"]
    for name in (*abandoned, *staying):
        (tmp_path / name).write_bytes(b"")
    remove_abandoned(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == set(staying)
    remove_abandoned(tmp_path / "nowhere")
