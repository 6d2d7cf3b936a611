"""What layers do to each other: whiteouts, opaque directories, replaced databases, links, changes of type."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator

from imagebuild import debian
from imagebuild.build import Build, run
from imagebuild.recipe import Recipe

Entry = tuple[tarfile.TarInfo, bytes]


def build(build: Build) -> None:
    debian.start(build)
    debian.apt_install(build, "openssl", "less")
    key = run("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
    build.file("root/deploy.pem", key, mode=0o600)
    build.file("opt/stay.pem", key, mode=0o600)
    for name in ("one", "two", "three"):
        _dist_info(build, f"opt/lib/{name}", "1.0")
    _dist_info(build, "opt/whole/four", "1.0")
    _dist_info(build, "opt/becomes-file/five", "1.0")
    build.commit("COPY . /")

    (build.root / "root/deploy.pem").unlink()
    run(
        "rm",
        "-rf",
        *(
            str(build.root / "opt" / name)
            for name in ("lib/one-1.0.dist-info", "whole", "becomes-file")
        ),
    )
    build.file("opt/becomes-file", "a file now\n")
    _dist_info(build, "opt/lib/six", "2.0")
    (build.root / "opt/linked").symlink_to("lib")
    build.commit("RUN rm -rf …")

    build.chroot("dpkg", "--purge", "--force-depends", "less")
    build.commit("RUN dpkg --purge less")

    # These are written by hand, as no diff of directories would make them. /lib is a link to usr/lib here.
    build.add_layer("RUN opaque, links", _by_hand())

    build.config = {"Cmd": ["sh"]}
    build.expected = {
        "deb": debian.dpkg_packages(build),
        "pypi": [["eight", "3.0"], ["nine", "4.0"], ["seven", "3.0"]],
        "private_keys": {"root/deploy.pem": "deleted", "opt/stay.pem": "there"},
    }
    build.expected["pypi"].sort()


def _dist_info(build: Build, stem: str, version: str) -> None:
    build.file(f"{stem}-{version}.dist-info/METADATA", _metadata(stem.rpartition("/")[2], version))


def _metadata(name: str, version: str) -> str:
    return f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"


def _by_hand() -> Iterator[Entry]:
    # Everything older below opt/lib goes, what this layer puts there stays, though it comes before the mark.
    yield _file("opt/lib/seven-3.0.dist-info/METADATA", _metadata("seven", "3.0"))
    yield _file("opt/lib/.wh..wh..opq", "")
    # Through the link: /opt/linked leads to opt/lib, and /lib to usr/lib.
    yield _file("opt/linked/eight-3.0.dist-info/METADATA", _metadata("eight", "3.0"))
    yield _file("lib/python3/dist-packages/nine-4.0.dist-info/METADATA", _metadata("nine", "4.0"))
    # A hard link to a file of an older layer, and one whose target does not exist.
    yield _link("opt/hard.pem", "opt/stay.pem")
    yield _link("opt/nowhere", "opt/no-such-file")
    yield _file("opt/.wh.no-such-file-either", "")


def _file(path: str, text: str) -> Entry:
    info = tarfile.TarInfo(path)
    info.mode = 0o644
    return info, text.encode()


def _link(path: str, target: str) -> Entry:
    info = tarfile.TarInfo(path)
    info.type = tarfile.LNKTYPE
    info.linkname = target
    return info, b""


RECIPES = (
    Recipe(
        "deletions", "whiteouts, opaque directories, links", build, needs=("mmdebstrap", "openssl")
    ),
)
