"""What a command does not need is not imported: start-up is a promise, kept without a stop-watch."""

from __future__ import annotations

import subprocess
import sys

from support.demo_images import write_demo
from support.scanning import environment

_SCRIPT = """\
import os, sys
leave = os._exit
def tell(code):
    sys.stderr.write("MODULES " + " ".join(sys.modules) + "\\n")
    sys.stderr.flush()
    leave(code)
os._exit = tell
from scanner.cli.main import main
main()
"""
NEVER = {"rich", "alembic", "aiohttp", "oras", "requests", "hyperscan", "cryptography", "jsonschema", "magic"}  # fmt: skip


def modules(home, *words):
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, *map(str, words)],
        env=environment(home),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stderr.rpartition("MODULES ")[2].split())


def test_the_version_loads_nearly_nothing(tmp_path):
    heavy = NEVER | {"asyncio", "sqlalchemy", "scanner.discovery", "scanner.app", "zstandard"}
    assert modules(tmp_path, "--version") & heavy == set()


def test_help_loads_commands_only(tmp_path):
    assert modules(tmp_path, "--help") & (NEVER | {"asyncio", "sqlalchemy"}) == set()


def test_a_known_image_loads_no_engine(tmp_path):
    reference = f"oci:{write_demo(tmp_path)}/demo"
    modules(tmp_path / "home", "scan", reference)
    assert modules(tmp_path / "home", "scan", reference) & NEVER == set()
