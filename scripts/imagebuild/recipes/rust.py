"""A Rust program that tells of its crates, as cargo-auditable builds it, and one that does not."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from imagebuild.build import Build, run
from imagebuild.recipe import Recipe

_MANIFEST = """[package]
name = "shop"
version = "0.3.1"
edition = "2021"

[dependencies]
itoa = "=1.0.11"
semver = "=1.0.23"
smallvec = "=1.13.2"
fastrand = "=2.1.0"
memchr = { version = "=2.7.4", features = ["std"] }
aho-corasick = "=1.1.3"

[build-dependencies]
autocfg = "=1.3.0"

[dev-dependencies]
hex = "=0.4.3"

[profile.release]
opt-level = 0
"""
_MAIN = """fn main() {
    let version = semver::Version::parse("1.2.3").unwrap();
    let mut numbers: smallvec::SmallVec<[u64; 4]> = smallvec::smallvec![version.major];
    numbers.push(fastrand::u64(..));
    println!("{}", itoa::Buffer::new().format(numbers[1]));
    println!("{:?}", aho_corasick::AhoCorasick::new(["a"]).unwrap().find("ba"));
    println!("{:?}", memchr::memchr(b'a', b"ba"));
}
"""


def build(build: Build) -> None:
    source = build.work / "shop"
    (source / "src").mkdir(parents=True)
    (source / "Cargo.toml").write_text(_MANIFEST)
    (source / "src/main.rs").write_text(_MAIN)
    (source / "build.rs").write_text('fn main() { autocfg::emit("checked"); }\n')
    _cargo(build, source, "auditable", "build", "--release", "--quiet")
    target = build.root / "usr/local/bin"
    target.mkdir(parents=True)
    shutil.copy(source / "target/release/shop", target / "shop")
    run("strip", "-o", str(target / "shop-stripped"), str(target / "shop"))
    run("objcopy", "--remove-section=.dep-v0", str(target / "shop"), str(target / "shop-silent"))
    build.commit("COPY shop /usr/local/bin")
    build.config = {"Entrypoint": ["/usr/local/bin/shop"]}
    tree = _cargo(
        build,
        source,
        "tree",
        "--edges=normal,no-proc-macro",
        "--prefix=none",
        "--no-dedupe",
        "--locked",
    )
    found = {tuple(line.split()[:2]) for line in tree.splitlines()}
    build.expected = {"deb": [], "cargo": sorted([name, version[1:]] for name, version in found)}


def _cargo(build: Build, source: Path, *command: str) -> str:
    return run("cargo", *command, cwd=source, env=os.environ | {"PATH": _path(build.cache)})


def _path(cache: Path) -> str:
    """Return a PATH with cargo-auditable on it, built once where the machine has none."""
    tools = cache / ".cargo-auditable"
    if not shutil.which("cargo-auditable") and not (tools / "bin/cargo-auditable").exists():
        run(
            "cargo",
            "install",
            "--quiet",
            "--debug",
            "--locked",
            f"--root={tools}",
            "cargo-auditable@0.6.4",
        )
    return f"{tools / 'bin'}:{os.environ['PATH']}"


RECIPES = (
    Recipe(
        "rust",
        "auditable Rust programs",
        build,
        needs=("cargo", "objcopy", "strip"),
        needs_root=False,
    ),
)
