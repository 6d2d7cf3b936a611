"""The programs that define an order of versions, each asked for all pairs at once.

Every function takes pairs and returns -1, 0 or 1 for each, None where the program refuses one of the two.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

Pairs = Sequence[tuple[str, str]]
Signs = list[int | None]


def needed(tool: str) -> str:
    """Return where a tool is; without it skip, or fail in CI, where scripts/test installs it."""
    found = shutil.which(tool)
    if found is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"needs {tool}")
    return found


def ask(command: Sequence[str], pairs: Pairs, **options: Any) -> Signs:
    """Run a filter: a line ``left TAB right`` in, a line ``-1``, ``0``, ``1`` or ``x`` out."""
    lines = "".join(f"{left}\t{right}\n" for left, right in pairs)
    done = subprocess.run(
        command, input=lines, capture_output=True, text=True, check=False, timeout=240, **options
    )
    assert done.returncode == 0, done.stderr[-2000:]
    signs = done.stdout.split()
    assert len(signs) == len(pairs), done.stderr[-2000:]
    return [None if one == "x" else int(one) for one in signs]


def by_values(value: Callable[[str], Any], pairs: Pairs) -> Signs:
    """Compare what a library of Python makes of the texts; a ValueError refuses."""
    signs: Signs = []
    for left, right in pairs:
        try:
            a, b = value(left), value(right)
            signs.append((a > b) - (a < b))
        except ValueError:
            signs.append(None)
    return signs


_PERL = r"""
while (<STDIN>) { chomp; my ($a, $b) = split /\t/;
  my ($x, $y) = (Dpkg::Version->new($a), Dpkg::Version->new($b));
  print $x->is_valid && $y->is_valid ? version_compare($a, $b) : "x", "\n"; }
"""


def dpkg_perl(pairs: Pairs, _work: Path) -> Signs:
    perl = needed("perl")
    known = subprocess.run([perl, "-MDpkg::Version", "-e", "1"], capture_output=True, check=False)
    if known.returncode:
        pytest.skip("needs libdpkg-perl")
    return ask([perl, "-MDpkg::Version", "-e", _PERL], pairs)


_DPKG = r"""
while IFS="$(printf '\t')" read -r a b; do
  if ! dpkg --validate-version "$a" 2>/dev/null || ! dpkg --validate-version "$b" 2>/dev/null; then echo x
  elif dpkg --compare-versions "$a" lt "$b" 2>/dev/null; then echo -1
  elif dpkg --compare-versions "$a" eq "$b" 2>/dev/null; then echo 0; else echo 1; fi
done
"""


def dpkg(pairs: Pairs, _work: Path) -> Signs:
    """One process a question: for a few hundred pairs."""
    needed("dpkg")
    return ask(["sh", "-c", _DPKG], pairs)


_LUA = "%{{lua: for line in io.lines('{}') do local a, b = line:match('^(.-)\\t(.*)$'); print(rpm.vercmp(a, b) .. '\\n') end}}"


def rpm(pairs: Pairs, work: Path) -> Signs:
    asked = work / "pairs"
    asked.write_text("".join(f"{left}\t{right}\n" for left, right in pairs))
    done = subprocess.run(
        [needed("rpm"), "--eval", _LUA.format(asked)], capture_output=True, text=True, check=True
    )
    return [int(one) for one in done.stdout.split()]


_NODE = r"""
const semver = require(process.argv[1]);
const lines = require('fs').readFileSync(0, 'utf8').split('\n').slice(0, -1);
console.log(lines.map(l => { const [a, b] = l.split('\t');
  return semver.valid(a) && semver.valid(b) ? String(semver.compare(a, b)) : 'x'; }).join('\n'));
"""


def node_semver(pairs: Pairs, _work: Path) -> Signs:
    npm = Path(needed("npm")).resolve()
    places = (npm.parent.parent / "node_modules" / "semver", Path("/usr/share/nodejs/semver"))
    found = next((p for p in places if p.is_dir()), None)
    if found is None:
        pytest.skip("needs the semver module that npm ships")
    return ask([needed("node"), "-e", _NODE, str(found)], pairs)


_RUBY = r"""
STDIN.each_line { |l| a, b = l.chomp.split("\t")
  puts(Gem::Version.correct?(a) && Gem::Version.correct?(b) ? Gem::Version.new(a) <=> Gem::Version.new(b) : "x") }
"""


def rubygems(pairs: Pairs, _work: Path) -> Signs:
    return ask([needed("ruby"), "-e", _RUBY], pairs)


def maven(pairs: Pairs, work: Path) -> Signs:
    """Ask the class itself, which compares each of its arguments with the one before."""
    java, mvn = needed("java"), Path(needed("mvn")).resolve()
    jars = [*(mvn.parent.parent / "lib").glob("*.jar"), *Path("/usr/share/maven/lib").glob("*.jar")]
    if not any(jar.name.startswith("maven-artifact-") for jar in jars):
        pytest.skip("needs maven-artifact.jar of the Maven distribution")
    texts = [text for pair in pairs for text in pair]
    done = subprocess.run(
        [java, "-Xshare:auto", "-XX:TieredStopAtLevel=1", "-cp", ":".join(map(str, jars)),
         "org.apache.maven.artifact.versioning.ComparableVersion", *texts],
        capture_output=True, text=True, check=True, cwd=work,
    )  # fmt: skip
    compared = [line.split() for line in done.stdout.splitlines() if line.startswith("   ")]
    return [{"<": -1, "==": 0, ">": 1}[words[-2]] for words in compared[::2]]


_GO = r"""package main
import ("bufio"; "fmt"; "os"; "strings"; "pairs/semver")
func main() {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		a, b, _ := strings.Cut(lines.Text(), "\t")
		if semver.IsValid(a) && semver.IsValid(b) { fmt.Println(semver.Compare(a, b)) } else { fmt.Println("x") }
	}
}
"""


def go_semver(pairs: Pairs, work: Path) -> Signs:
    """golang.org/x/mod/semver, from the copy that the go command is built with."""
    go = needed("go")
    root = subprocess.run([go, "env", "GOROOT"], capture_output=True, text=True, check=True)
    source = Path(root.stdout.strip(), "src/cmd/vendor/golang.org/x/mod/semver/semver.go")
    if not source.is_file():
        pytest.skip("needs the sources of Go, golang-src")
    (work / "semver").mkdir()
    shutil.copy(source, work / "semver")
    (work / "go.mod").write_text("module pairs\n\ngo 1.19\n")
    (work / "main.go").write_text(_GO)
    return ask([go, "run", "."], pairs, cwd=work)


_LANGUAGE = re.compile(r"go1\.(2[1-9]|[3-9][0-9]|[0-9]{3,})\Z")

_GO_VERSION = r"""package main
import ("bufio"; "cmp"; "fmt"; "go/version"; "os"; "strings")
func main() {
	_ = cmp.Compare[int]
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		a, b, _ := strings.Cut(lines.Text(), "\t")
		if version.IsValid(a) && version.IsValid(b) { fmt.Println(version.Compare(a, b)) } else { fmt.Println("x") }
	}
}
"""


def go_toolchain(pairs: Pairs, work: Path) -> Signs:
    """The package go/version, there since Go 1.22; it puts the language 1.21 before the release 1.21.0."""
    go = needed("go")
    root = subprocess.run([go, "env", "GOROOT"], capture_output=True, text=True, check=True)
    if not Path(root.stdout.strip(), "src/go/version").is_dir():
        pytest.skip("needs Go 1.22")
    (work / "go.mod").write_text("module pairs\n\ngo 1.22\n")
    (work / "main.go").write_text(_GO_VERSION)
    signs = ask([go, "run", "."], pairs, cwd=work)
    languages = [any(_LANGUAGE.match(one) for one in pair) for pair in pairs]
    return [None if about else sign for about, sign in zip(languages, signs, strict=True)]


def packaging(pairs: Pairs, _work: Path) -> Signs:
    from packaging.version import Version

    return by_values(Version, pairs)


def conan(pairs: Pairs, _work: Path) -> Signs:
    module = pytest.importorskip("conan.internal.model.version", reason="needs conan")
    return by_values(module.Version, pairs)


_PHP = r"""
while (($l = fgets(STDIN)) !== false) { [$a, $b] = explode("\t", rtrim($l, "\n")); echo version_compare($a, $b), "\n"; }
"""


_NORMALISED = re.compile(r"[0-9]+(\.[0-9]+){3}(-(alpha|beta|RC|patch)[0-9.]*)?(-dev)?\Z")


def php(pairs: Pairs, _work: Path) -> Signs:
    """``version_compare`` of PHP, which Composer asks about versions of the form that it gives them."""
    signs = ask([needed("php"), "-r", _PHP], pairs)
    normal = [all(_NORMALISED.match(one) for one in pair) for pair in pairs]
    return [sign if about else None for about, sign in zip(normal, signs, strict=True)]
