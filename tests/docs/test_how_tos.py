"""The examples of the how-to pages work as they stand there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = sorted((REPOSITORY / "docs/how-to").glob("add-a*-*.md"))
_BLOCK = re.compile(
    r"^```python\n# (?P<path>\S+\.py)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL
)
_CONFTEST = """\
import importlib

for package in {packages!r}:
    importlib.import_module(package).__path__.append({directory!r} + "/" + package.replace(".", "/"))
"""


def blocks(page: Path) -> dict[str, str]:
    return {m["path"]: m["code"] for m in _BLOCK.finditer(page.read_text())}


PAGES_WITH_CODE = [page for page in PAGES if blocks(page)]


def test_every_kind_of_plug_in_has_a_page():
    assert [p.stem for p in PAGES] == [
        "add-a-crypto-or-config-check",
        "add-a-package-format",
        "add-a-pod-control",
        "add-a-predicate",
        "add-a-report-format",
        "add-a-secret-rule",
        "add-a-source",
        "add-a-webhook",
        "add-an-admission-protocol",
    ]


@pytest.mark.parametrize("page", PAGES_WITH_CODE, ids=lambda p: p.stem)
def test_example(page, tmp_path):
    """Put the example where its first line says, below a copy of the package's path, and run its test."""
    files = blocks(page)
    modules = [path for path in files if path.startswith("scanner/")]
    tests = [path for path in files if path.startswith("tests/")]
    assert modules, "no module in the page"
    assert tests, "no test in the page"
    for path, code in files.items():
        assert not (REPOSITORY / path).exists(), "the example is not in the repository"
        target = tmp_path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(code)
    packages = [str(Path(m).parent).replace("/", ".") for m in modules]
    conftest = _CONFTEST.format(packages=packages, directory=str(tmp_path))
    (tmp_path / "conftest.py").write_text(conftest)
    _run(tmp_path, "pytest", "-q", "-p", "no:cacheprovider", "--import-mode=importlib", *tests)
    _discover(tmp_path, conftest, modules)


def _discover(tmp_path, conftest, modules):
    """The plug-in is found, together with all others, and the command lists it."""
    names = [re.escape(_name(tmp_path / module)) for module in modules]
    script = f"{conftest}\nimport sys\nsys.argv = ['scanner', 'plugins']\n"
    script += "from scanner.cli.main import main\nmain()\n"
    (tmp_path / "plugins.py").write_text(script)
    listed = _run(tmp_path, None, "plugins.py")
    for name in names:
        assert re.search(rf"^  {name} ", listed, re.MULTILINE)


def _name(module: Path) -> str:
    found = re.search(r'^ +name="([^"]+)"', module.read_text(), re.MULTILINE)
    assert found
    return found[1]


def _run(directory: Path, module: str | None, *arguments: str) -> str:
    paths = os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "tests")])
    command = [sys.executable, *(["-m", module] if module else []), *arguments]
    done = subprocess.run(
        command,
        cwd=directory,
        env={**os.environ, "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("page", PAGES_WITH_CODE, ids=lambda p: p.stem)
def test_example_is_in_our_style(page, tmp_path):
    for path, code in blocks(page).items():
        (tmp_path / Path(path).name).write_text(code)
    command = [sys.executable, "-m", "ruff", "check", "--select", "E,F,B,UP", "--isolated"]
    done = subprocess.run(
        [*command, "--line-length", "110", "--target-version", "py311", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
