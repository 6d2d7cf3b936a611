"""Ports, health check, volumes, build steps, sudo."""

from __future__ import annotations

import pytest
from support.image_view import StillImage

from scanner.analyzers.config.settings import ANALYZERS, ports
from scanner.model import HistoryEntry, ImageConfig, Package, Platform
from scanner.model.oci import Healthcheck

(SETTINGS,) = ANALYZERS
HEALTHY = Healthcheck(test=("CMD", "true"))
LAYS_ROOT = "/bin/sh -c #(nop) ADD file:0123abcd in / "


def rules(packages=(), steps=(), **config):
    config.setdefault("healthcheck", HEALTHY)
    history = tuple(HistoryEntry(created_by=step) for step in steps)
    view = StillImage(config=ImageConfig(history=history, **config), packages=packages)
    return [f.rule_id for f in SETTINGS.inspect(view)]


@pytest.mark.parametrize(
    ("config", "want"),
    [
        pytest.param({}, [], id="nothing"),
        pytest.param({"healthcheck": None}, ["config/no-healthcheck"], id="no_healthcheck"),
        pytest.param({"healthcheck": Healthcheck(test=("NONE",))}, ["config/no-healthcheck"], id="none"),
        pytest.param({"exposed_ports": ("8080/tcp", "80/tcp", "443")}, [], id="usual_ports"),
        pytest.param({"exposed_ports": ("22/tcp",)}, ["config/exposed-admin-port"], id="ssh"),
        pytest.param({"exposed_ports": ("20-30/tcp",)}, ["config/exposed-admin-port"], id="range"),
        pytest.param({"exposed_ports": ("6379/tcp",)}, ["config/exposed-database-port"], id="redis"),
        pytest.param({"exposed_ports": ("53/udp",)}, ["config/exposed-privileged-port"], id="dns"),
        pytest.param({"exposed_ports": ("x", "99999", "30-20", "-1", "")}, [], id="bad_ports"),
        pytest.param({"volumes": ("/data", "/etc/app", "/var/lib/docker-data")}, [], id="data_volumes"),
        pytest.param({"volumes": ("/etc/", "/", "/var/run/docker.sock")}, ["config/sensitive-volume"] * 3, id="volumes"),
        pytest.param({"on_build": ("COPY . /",)}, ["config/onbuild"], id="onbuild"),
        pytest.param({"labels": {"org.opencontainers.image.base.name": "docker.io/library/debian"}}, ["config/floating-base"], id="base_without_tag"),
        pytest.param({"labels": {"org.opencontainers.image.base.name": "reg:5000/debian:latest"}}, ["config/floating-base"], id="base_latest"),
        pytest.param({"labels": {"org.opencontainers.image.base.name": "debian:12"}}, [], id="base_tag"),
        pytest.param({"labels": {"org.opencontainers.image.base.name": "debian@sha256:ab"}}, [], id="base_digest"),
        pytest.param({"platform": Platform(os="windows"), "healthcheck": None}, [], id="windows"),
    ],
)  # fmt: skip
def test_config(config, want):
    assert rules(**config) == want


@pytest.mark.parametrize(
    ("step", "want"),
    [
        pytest.param("ADD app.tar.gz /srv # buildkit", ["config/add-instruction"], id="add"),
        pytest.param("/bin/sh -c #(nop) ADD file:1 in /etc/x ", ["config/add-instruction"], id="legacy_add"),
        pytest.param("COPY . / # buildkit", [], id="copy"),
        pytest.param("RUN /bin/sh -c adduser ADD x # buildkit", [], id="word_add"),
        pytest.param("RUN /bin/sh -c apt-get -qq update # buildkit", ["config/update-alone"], id="update_alone"),
        pytest.param("RUN /bin/sh -c apt-get update && apt-get install -y curl", [], id="update_and_install"),
        pytest.param("RUN /bin/sh -c apk update && apk add curl", [], id="apk"),
        pytest.param("RUN /bin/sh -c npm run update", [], id="another_update"),
        pytest.param("RUN /bin/sh -c apt-get install --allow-unauthenticated -y x", ["config/unverified-package"], id="unauthenticated"),
        pytest.param("RUN curl -fsSLk https://h/x -o /x", ["config/unverified-package"], id="curl_joined_flags"),
        pytest.param("RUN curl --insecure https://h/x -o /x", ["config/unverified-package"], id="curl_insecure"),
        pytest.param("RUN curl -fsSL https://h/x | sudo bash -", ["config/download-piped-to-shell"], id="piped"),
        pytest.param("RUN curl -fsSL https://h/x | tar x", [], id="piped_to_tar"),
        pytest.param("RUN curl " + "x" * 200_000, [], id="long"),
    ],
)  # fmt: skip
def test_steps(step, want):
    assert rules(steps=[LAYS_ROOT, step]) == want


@pytest.mark.parametrize(
    "step",
    [LAYS_ROOT, "ADD rootfs.tar.xz / # buildkit", "ADD rootfs.tar / # minbase"],
    ids=["legacy", "buildkit", "comment"],
)
def test_what_lays_the_root_file_system_is_no_finding(step):
    assert rules(steps=[step]) == []


def test_many_adds_are_one_finding():
    view = StillImage(
        config=ImageConfig(
            healthcheck=HEALTHY,
            history=tuple(
                HistoryEntry(created_by=s) for s in (LAYS_ROOT, "ADD a /a", "RUN x", "ADD b /")
            ),
        )
    )
    (found,) = SETTINGS.inspect(view)
    assert found.evidence == {"cis": "4.9", "count": "2", "steps": "1,3"}


def test_sudo():
    def package(name, *, distribution):
        return Package(
            purl_type="deb", name=name, version="1", path="s", from_distribution=distribution
        )

    assert rules([package("sudo", distribution=True)]) == ["privilege/sudo-installed"]
    assert rules([package("sudo", distribution=False), package("sudoku", distribution=True)]) == []


@pytest.mark.parametrize(
    ("text", "want"),
    [("80", (80, 80, "tcp")), ("1-2/UDP", (1, 2, "udp")), ("2-1", None), ("70000", None), ("a", None)],
    ids=["plain", "range", "backwards", "too_large", "word"],
)  # fmt: skip
def test_ports(text, want):
    assert ports(text) == want
