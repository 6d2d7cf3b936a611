"""Ruby of the distribution with its default gems, gems of distribution packages, and gems installed by gem."""

from __future__ import annotations

import re

from imagebuild import debian
from imagebuild.build import Build
from imagebuild.recipe import Recipe

_DEBIAN = ("ruby", "ruby-rack", "ruby-tzinfo", "ruby-json")
_GEMS = (("shop-core", "1.4.2"), ("shop_api", "2.0.0.pre1"))
_GEMSPEC = """Gem::Specification.new do |s|
  s.name = "{name}"
  s.version = "{version}"
  s.summary = "A gem"
  s.authors = ["Somebody"]
  s.files = []
  s.license = "MIT"
end
"""


def build(build: Build) -> None:
    debian.start(build)
    debian.apt_install(build, *_DEBIAN)
    build.commit("RUN apt-get install -y " + " ".join(_DEBIAN))
    for name, version in _GEMS:
        build.file(f"tmp/{name}.gemspec", _GEMSPEC.format(name=name, version=version))
        build.chroot("sh", "-c", f"cd /tmp && gem build -q {name}.gemspec")
        build.chroot("sh", "-c", f"gem install --local --no-document -q /tmp/{name}-*.gem")
    build.chroot("sh", "-c", "rm -rf /tmp/* /root/.local /root/.gem /root/.cache")
    build.commit("RUN gem install shop")
    build.config = {"Cmd": ["ruby"]}
    build.expected = {"deb": debian.dpkg_packages(build), "gem": _gem_list(build)}


def _gem_list(build: Build) -> list[list[str]]:
    """Return what ``gem list`` says, default gems included."""
    found: set[tuple[str, str]] = set()
    for line in build.chroot("gem", "list", "--all", "--quiet").splitlines():
        if not (match := re.fullmatch(r"(\S+) \((.+)\)", line)):
            continue
        for version in match[2].split(", "):
            # A default gem says so before its version; a platform may follow.
            found.add((match[1], version.removeprefix("default: ").split()[0]))
    return sorted(list(pair) for pair in found)


RECIPES = (Recipe("ruby", "Debian with gems of three kinds", build, needs=("mmdebstrap",)),)
