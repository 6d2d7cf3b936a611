"""A big one for measuring: gigabytes, hundreds of thousands of files, five layers."""

from __future__ import annotations

import json

from imagebuild import debian, languages
from imagebuild.build import ENGINE_GZIP_LEVEL, Build
from imagebuild.recipe import Recipe

_TOOLS = (
    "build-essential",
    "python3-dev",
    "golang-go",
    "linux-headers-amd64",
    "libboost-dev",
)
_APPS = (
    "libreoffice-common", "ansible", "nodejs", "python3-venv",
    "python3-scipy", "python3-pandas", "python3-matplotlib", "perl-doc", "fonts-noto-core", "texlive-base",
)  # fmt: skip
_PYPI = (
    "django", "flask", "fastapi", "numpy", "scipy", "pandas", "scikit-learn", "matplotlib", "sqlalchemy",
    "boto3", "kubernetes", "jupyterlab", "sympy", "babel",
)  # fmt: skip
_NPM = (
    "webpack", "webpack-cli", "next", "react", "react-dom", "@angular/cli", "@angular/core", "typescript", "eslint",
    "jest", "lodash", "rxjs", "date-fns", "@mui/material", "@mui/icons-material", "core-js", "aws-sdk", "express",
)  # fmt: skip


def build(build: Build) -> None:
    debian.start(build)
    debian.apt_install(build, *_TOOLS)
    build.commit("RUN apt-get install -y " + " ".join(_TOOLS))
    debian.apt_install(build, *_APPS)
    build.commit("RUN apt-get install -y " + " ".join(_APPS))
    languages.install_venv(build, "opt/app", _PYPI)
    build.commit("RUN pip install " + " ".join(_PYPI))
    build.file("srv/web/package.json", json.dumps({"private": True}))
    languages.install_npm(build, "srv/web", _NPM)
    build.commit("RUN npm install")
    build.config = {
        "Env": ["PATH=/opt/app/bin:/usr/bin:/bin"],
        "Cmd": ["python3"],
        "User": "nobody",
    }
    pip = "/opt/app/bin/python"
    build.expected = {
        "deb": debian.dpkg_packages(build),
        "pypi": languages.pip_list(build, pip),
        "pypi_of_distribution": languages.pip_list(build, pip, "--python=/usr/bin/python3"),
        "npm": languages.npm_list(build, "srv/web"),
    }


RECIPES = (
    Recipe(
        "large",
        "gigabytes in five layers",
        build,
        needs=("mmdebstrap", "npm"),
        on_demand=True,
        gzip_level=ENGINE_GZIP_LEVEL,
    ),
)
