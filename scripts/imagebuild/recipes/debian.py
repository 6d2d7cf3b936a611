"""A minimal Debian with a few packages added, one removed with its settings left, one on hold."""

from __future__ import annotations

from imagebuild import debian
from imagebuild.build import Build
from imagebuild.recipe import Recipe


def build(build: Build) -> None:
    debian.start(build)
    debian.apt_install(build, "ca-certificates", "curl", "openssl", "cron", "less")
    build.commit("RUN apt-get install -y ca-certificates curl openssl cron less")
    build.chroot("dpkg", "--remove", "cron")
    build.chroot("apt-mark", "hold", "openssl")
    build.commit("RUN dpkg --remove cron && apt-mark hold openssl")
    build.config = {"Env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"], "Cmd": ["bash"]}
    build.expected["deb"] = debian.dpkg_packages(build)


RECIPES = (Recipe("debian", "minimal Debian in three layers", build, needs=("mmdebstrap",)),)
