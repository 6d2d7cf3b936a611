"""Two Go programs with real dependencies, one of them stripped, and nothing else in the image."""

from __future__ import annotations

import os
from pathlib import Path

from imagebuild.build import Build, run
from imagebuild.recipe import Recipe

_MODULES = (
    "github.com/spf13/cobra@v1.8.1", "github.com/sirupsen/logrus@v1.9.3", "golang.org/x/crypto@v0.31.0",
    "gopkg.in/yaml.v3@v3.0.1", "github.com/BurntSushi/toml@v1.4.0",
)  # fmt: skip
_SERVER = """package main

import (
	"fmt"
	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"
	"golang.org/x/crypto/bcrypt"
)

func main() {
	command := &cobra.Command{Use: "server", Run: func(*cobra.Command, []string) {
		hash, err := bcrypt.GenerateFromPassword([]byte("x"), bcrypt.MinCost)
		logrus.Info(fmt.Sprint(len(hash), err))
	}}
	_ = command.Execute()
}
"""
_TOOL = """package main

import (
	"fmt"
	"github.com/BurntSushi/toml"
	"gopkg.in/yaml.v3"
)

func main() {
	var value map[string]any
	fmt.Println(toml.Unmarshal([]byte("a = 1"), &value), yaml.Unmarshal([]byte("a: 1"), &value))
}
"""


def build(build: Build) -> None:
    source = build.work / "source"
    for name, text in (("server", _SERVER), ("tool", _TOOL)):
        (source / "cmd" / name).mkdir(parents=True)
        (source / "cmd" / name / "main.go").write_text(text)
    _go(source, "mod", "init", "example.com/shop/app")
    _go(source, "get", *_MODULES)
    _go(source, "mod", "tidy")
    out = build.root / "usr/local/bin"
    out.mkdir(parents=True)
    _go(source, "build", "-trimpath", "-o", str(out / "server"), "./cmd/server")
    _go(source, "build", "-trimpath", "-ldflags=-s -w", "-o", str(out / "tool"), "./cmd/tool")
    build.commit("COPY bin /usr/local/bin")
    build.config = {"Entrypoint": ["/usr/local/bin/server"], "User": "65534"}
    build.expected = {"deb": [], **_modules(out)}


def _go(source: Path, *command: str) -> None:
    run(
        "go",
        *command,
        cwd=source,
        env={**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false"},
    )


def _modules(binaries: Path) -> dict[str, list[list[str]]]:
    """Return the dependencies, the main modules and the compiler's version, as ``go version -m`` tells."""
    deps: set[tuple[str, str]] = set()
    mains: set[tuple[str, str]] = set()
    compilers: set[tuple[str, str]] = set()
    for line in run("go", "version", "-m", str(binaries)).splitlines():
        fields = line.split()
        if not line.startswith("\t"):
            compilers.add(("stdlib", fields[1].removeprefix("go")))
        elif fields[0] == "dep":
            deps.add((fields[1], fields[2]))
        elif fields[0] == "mod":
            mains.add((fields[1], fields[2]))
    sets = {"golang": deps, "golang_main": mains, "golang_stdlib": compilers}
    return {name: sorted(list(pair) for pair in pairs) for name, pairs in sets.items()}


RECIPES = (Recipe("go", "two Go programs, nothing else", build, needs=("go",), needs_root=False),)
