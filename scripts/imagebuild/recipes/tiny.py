"""A statically linked busybox and a handful of files: about 3 MB, no package database."""

from __future__ import annotations

from imagebuild import debian
from imagebuild.build import Build
from imagebuild.recipe import Recipe


def build(build: Build) -> None:
    debian.unpack(build, "busybox-static")
    build.file("etc/os-release", 'ID=tiny\nNAME="Tiny"\nVERSION_ID=1\nPRETTY_NAME="Tiny 1"\n')
    build.file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000::/:/bin/sh\n")
    build.file("etc/group", "root:x:0:\napp:x:1000:\n")
    build.commit("COPY busybox /")
    build.file("srv/index.html", "<!doctype html><title>tiny</title>\n")
    build.commit("COPY index.html /srv/")
    build.config = {"User": "app", "Cmd": ["/bin/busybox", "httpd", "-f", "-h", "/srv"]}
    build.expected = {"deb": []}


RECIPES = (
    Recipe("tiny", "busybox and a few files, 3 MB", build, needs=("dpkg-deb",), needs_root=False),
)
