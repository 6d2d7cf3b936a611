"""``scanner db update``, ``status`` and ``export``: what they print, and how they leave."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from support.feed_files import osv_zip
from support.scanning import environment


@pytest.fixture
def run(tmp_path):
    home = environment(tmp_path / "home")

    def command(*arguments, code=0):
        done = subprocess.run(
            [sys.executable, "-m", "scanner.cli.main", "db", *arguments],
            env=home,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == code, done.stderr
        return done.stdout + done.stderr

    return command


def test_from_a_file_to_a_status(run, tmp_path):
    assert "no advisory data" in run("status")
    assert "name some" in run("update", code=2)
    (tmp_path / "all.zip").write_bytes(osv_zip(150))
    told = run("update", "--from", "all.zip", "npm")
    assert told.startswith("npm: updated, 150 records of 150 packages, built in ")
    (tmp_path / "all.zip").write_bytes(osv_zip(3))
    told = run("update", "--from", "all.zip", "npm", code=4)
    assert "only 3 of 150 records are left" in told
    assert "--allow-shrinking" in told
    assert "the old data stays" in told
    told = run("status")
    assert "150 records of 150 packages" in told
    assert "licence: by record" in told
    assert "failed: npm: only 3 of 150" in told
    (status,) = json.loads(run("status", "--format", "json"))
    assert (status["unit"], status["is_due"], status["about"]["records_count"]) == (
        "npm",
        False,
        150,
    )
    assert status["size_bytes"] > 1_000
    assert "npm.advisories" in run("export", "out")
    assert run("update", "--from", "out").startswith("npm: fresh")
    assert "name it, and no other" in run("update", "--from", "all.zip", "npm", "PyPI", code=2)
    assert "is none of" in run("update", "--feed", "nobody", "npm", code=2)
