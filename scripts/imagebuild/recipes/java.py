"""Java archives in archives: an executable jar with nested libraries, a web archive in an enterprise archive."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path

from imagebuild.build import Build, run
from imagebuild.recipe import Recipe

_POM = """<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>com.example.shop</groupId>
  <artifactId>{name}</artifactId>
  <version>1.2.3</version>
  <dependencies>{dependencies}</dependencies>
</project>
"""
_DEPENDENCY = (
    "<dependency><groupId>{}</groupId><artifactId>{}</artifactId><version>{}</version></dependency>"
)
_SETS = {
    "boot": (("org.springframework.boot", "spring-boot-starter-web", "3.2.5"),),
    "web": (
        ("org.apache.logging.log4j", "log4j-core", "2.17.1"),
        ("commons-fileupload", "commons-fileupload", "1.4"),
        ("com.google.guava", "guava", "32.1.2-jre"),
    ),
    "plain": (
        ("org.bouncycastle", "bcprov-jdk18on", "1.77"),
        ("org.apache.commons", "commons-lang3", "3.12.0"),
    ),
}


def build(build: Build) -> None:
    jars = {name: _download(build, name) for name in _SETS}
    build.file("app/boot.jar", _boot_jar(jars["boot"]))
    build.commit("COPY boot.jar /app/")
    war = _archive({f"WEB-INF/lib/{jar.name}": jar.read_bytes() for jar in jars["web"]})
    build.file("app/shop.ear", _archive({"shop.war": war}))
    for jar in jars["plain"]:
        build.file(f"app/lib/{jar.name}", jar.read_bytes())
    build.commit("COPY shop.ear lib /app/")
    build.config = {"Cmd": ["java", "-jar", "/app/boot.jar"]}
    found = {c for name in _SETS for c in _coordinates(build.work / name)}
    found.add(("com.example.shop:boot", "1.2.3"))
    build.expected = {"deb": [], "maven": sorted(list(pair) for pair in found)}


def _download(build: Build, name: str) -> list[Path]:
    """Return the jars of a set with everything it depends on."""
    project = build.work / name
    project.mkdir()
    dependencies = "".join(_DEPENDENCY.format(*one) for one in _SETS[name])
    (project / "pom.xml").write_text(_POM.format(name=name, dependencies=dependencies))
    run("mvn", "--batch-mode", "--quiet", "dependency:copy-dependencies", "dependency:list",
        "-DoutputDirectory=jars", "-DoutputFile=list.txt", "-DincludeScope=runtime", cwd=project)  # fmt: skip
    return sorted((project / "jars").glob("*.jar"))


def _coordinates(project: Path) -> list[tuple[str, str]]:
    """Return ``group:artifact`` and version of every line of Maven's own list."""
    lines = re.findall(
        r"^\s+([\w.\-]+):([\w.\-]+):jar:(?:[\w.\-]+:)?([\w.\-]+):(?:compile|runtime)",
        (project / "list.txt").read_text(), re.MULTILINE,
    )  # fmt: skip
    return [(f"{group}:{artifact}", version) for group, artifact, version in lines]


def _boot_jar(jars: list[Path]) -> bytes:
    """Return an executable jar: libraries stored, not compressed, below BOOT-INF/lib."""
    coordinates = "groupId=com.example.shop\nartifactId=boot\nversion=1.2.3\n"
    entries = {
        "META-INF/MANIFEST.MF": b"Manifest-Version: 1.0\r\nMain-Class: com.example.Main\r\n\r\n",
        "META-INF/maven/com.example.shop/boot/pom.properties": coordinates.encode(),
        "BOOT-INF/classes/application.properties": b"server.port=8080\n",
    }
    return _archive(entries | {f"BOOT-INF/lib/{jar.name}": jar.read_bytes() for jar in jars})


def _archive(entries: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, body in entries.items():
            packed = zipfile.ZIP_STORED if name.endswith(".jar") else zipfile.ZIP_DEFLATED
            archive.writestr(zipfile.ZipInfo(name), body, packed)
    return out.getvalue()


RECIPES = (
    Recipe("java", "jar in jar, jar in war in ear", build, needs=("mvn",), needs_root=False),
)
