"""Every ``console`` block of the documentation, run on the demo images; output compared loosely.

A line of the example must be somewhere in the output, white space aside; ``…`` stands for anything.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.demo_images import write_demo
from support.scanning import environment

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def steps(block: str) -> list[tuple[str, list[str]]]:
    """Return (command, lines of output) of a block."""
    found: list[tuple[str, list[str]]] = []
    for line in block.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        elif line.strip():
            found[-1][1].append(line)
    return found


BLOCKS = [
    pytest.param(steps(m[1]), id=f"{page.stem}-{number}")
    for page in PAGES
    if page.is_file()
    for number, m in enumerate(_BLOCK.finditer(page.read_text()))
]


def test_there_are_examples():
    assert BLOCKS


@pytest.mark.parametrize("block", BLOCKS)
def test_example(block, tmp_path):
    write_demo(tmp_path)
    code = 0
    for command, wanted in block:
        if command == "echo $?":
            assert [str(code)] == wanted
            continue
        words = command.split()
        assert words[0] == "scripts/scanner"
        done = subprocess.run(
            [sys.executable, "-m", "scanner.cli.main", *words[1:]],
            cwd=tmp_path,
            env=environment(tmp_path / "home"),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        code = done.returncode
        shown = " ".join((done.stdout + done.stderr).split())
        for line in wanted:
            for part in line.split("…"):
                assert " ".join(part.split()) in shown, done.stderr
