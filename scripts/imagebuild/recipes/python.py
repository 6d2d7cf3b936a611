"""Python three ways: wheels in a virtual environment, the distribution's own packages, a user's site directory."""

from __future__ import annotations

from imagebuild import debian, languages
from imagebuild.build import Build
from imagebuild.recipe import Recipe

_DEBIAN = (
    "python3",
    "python3-venv",
    "python3-apt",
    "python3-requests",
    "python3-yaml",
    "python3-jinja2",
)
_PYPI = (
    "aiohttp", "celery", "click", "cryptography", "django", "fastapi", "flask", "gunicorn", "httpx", "jaraco.functools",
    "jinja2", "lxml", "msgspec", "numpy", "pillow", "psycopg2-binary", "pydantic", "pytest", "python-dateutil",
    "pyyaml", "redis", "requests", "rich", "ruamel.yaml", "sqlalchemy", "typing_extensions", "uvicorn", "zope.interface",
)  # fmt: skip


def build(build: Build) -> None:
    debian.start(build)
    debian.apt_install(build, *_DEBIAN)
    build.commit("RUN apt-get install -y " + " ".join(_DEBIAN))
    languages.install_venv(build, "opt/app", _PYPI)
    build.commit("RUN pip install " + " ".join(_PYPI))
    build.file("opt/app/main.py", "print('hello')\n")
    build.commit("COPY main.py /opt/app/")
    build.config = {
        "Env": ["PATH=/opt/app/bin:/usr/bin:/bin"],
        "Cmd": ["python", "/opt/app/main.py"],
    }
    pip = "/opt/app/bin/python"
    build.expected = {
        "deb": debian.dpkg_packages(build),
        "pypi": languages.pip_list(build, pip),
        "pypi_of_distribution": languages.pip_list(build, pip, "--python=/usr/bin/python3"),
    }


RECIPES = (Recipe("python", "Debian with a virtual environment", build, needs=("mmdebstrap",)),)
