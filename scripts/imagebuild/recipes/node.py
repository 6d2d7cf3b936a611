"""A Node application with several hundred packages in its tree, bundled and duplicated ones among them."""

from __future__ import annotations

import json

from imagebuild import debian, languages
from imagebuild.build import Build
from imagebuild.recipe import Recipe

_NPM = (
    "express@4",
    "webpack@5",
    "webpack-cli",
    "eslint@8",
    "@babel/core",
    "lodash",
    "socket.io",
    "pg",
    "npm",
)


def build(build: Build) -> None:
    debian.start(build)
    build.file("srv/app/package.json", json.dumps({"private": True}))
    languages.install_npm(build, "srv/app", _NPM)
    build.commit("RUN npm install " + " ".join(_NPM))
    build.file("srv/app/server.js", "require('express')().listen(8080)\n")
    build.commit("COPY server.js /srv/app/")
    build.config = {
        "WorkingDir": "/srv/app",
        "Cmd": ["node", "server.js"],
        "ExposedPorts": {"8080/tcp": {}},
    }
    build.expected = {
        "deb": debian.dpkg_packages(build),
        "npm": languages.npm_list(build, "srv/app"),
    }


RECIPES = (Recipe("node", "Debian with node_modules", build, needs=("mmdebstrap", "npm")),)
