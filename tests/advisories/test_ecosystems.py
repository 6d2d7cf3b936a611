"""Which advisories are a distribution's, by what os-release says; names as each ecosystem spells them."""

from __future__ import annotations

import pytest

from scanner.advisories.ecosystems import lookup_names, target_of
from scanner.advisories.names import language_name, normalised_name
from scanner.model import Distribution, Package

KNOWN = (
    "Debian:12", "Debian:13", "Debian:sid", "Alpine:v3.19", "Alpine:edge", "Ubuntu:22.04:LTS", "Ubuntu:Pro:22.04:LTS",
    "Ubuntu:24.10", "Wolfi", "Chainguard", "AlmaLinux:9", "Rocky Linux:9", "Red Hat:enterprise_linux:9",
    "Red Hat:enterprise_linux:9::appstream", "Red Hat:enterprise_linux:9::baseos", "Red Hat:enterprise_linux:8::baseos",
    "Red Hat:enterprise_linux:90::baseos", "Red Hat:enterprise_linux:10.0", "Red Hat:enterprise_linux:10.1",
    "Red Hat:rhel_eus:9.2::baseos", "SUSE:Linux Enterprise Server 15 SP5", "SUSE:Linux Enterprise Server 15 SP5-LTSS",
    "SUSE:Linux Enterprise Module for Basesystem 15 SP5", "SUSE:Linux Enterprise Module for Basesystem 15 SP4",
    "openSUSE:Leap 15.6", "openSUSE:Tumbleweed", "openEuler:24.03-LTS-SP1", "Mageia:9", "Photon OS:5.0",
    "Azure Linux:2", "Azure Linux:3", "Amazon Linux:2023", "Alpaquita:23", "MinimOS",
)  # fmt: skip


@pytest.mark.parametrize(
    ("id_", "version", "more", "want"),
    [
        ("debian", "12", {}, ["Debian:12"]),
        ("debian", "", {"codename": "trixie"}, ["Debian:13"]),
        ("debian", "", {"codename": "sid"}, ["Debian:sid"]),
        ("debian", "11", {}, []),
        ("alpine", "3.19.1", {}, ["Alpine:v3.19"]),
        ("alpine", "edge", {}, ["Alpine:edge"]),
        ("alpine", "3.21_alpha20240923", {}, ["Alpine:edge"]),
        ("ubuntu", "22.04", {}, ["Ubuntu:Pro:22.04:LTS", "Ubuntu:22.04:LTS"]),
        ("ubuntu", "24.10", {}, ["Ubuntu:24.10"]),
        ("wolfi", "", {}, ["Wolfi"]),
        ("chainguard", "", {}, ["Chainguard"]),
        ("minimos", "20240101", {}, ["MinimOS"]),
        ("almalinux", "9.4", {}, ["AlmaLinux:9"]),
        ("rocky", "9.3", {}, ["Rocky Linux:9"]),
        ("rhel", "9.4", {}, [f"Red Hat:enterprise_linux:9{x}" for x in ("", "::appstream", "::baseos")]),
        ("rhel", "10.0", {}, ["Red Hat:enterprise_linux:10.0"]),
        ("rhel", "10.1", {}, ["Red Hat:enterprise_linux:10.0", "Red Hat:enterprise_linux:10.1"]),
        ("centos", "8", {"name": "CentOS Linux 8"}, ["Red Hat:enterprise_linux:8::baseos"]),
        ("sles", "15.5", {}, ["SUSE:Linux Enterprise Module for Basesystem 15 SP5", "SUSE:Linux Enterprise Server 15 SP5"]),
        ("opensuse-leap", "15.6", {}, ["openSUSE:Leap 15.6"]),
        ("opensuse-tumbleweed", "20240801", {}, ["openSUSE:Tumbleweed"]),
        ("openeuler", "24.03", {"name": "openEuler 24.03 (LTS-SP1)"}, ["openEuler:24.03-LTS-SP1"]),
        ("mageia", "9", {}, ["Mageia:9"]),
        ("photon", "5.0", {}, ["Photon OS:5.0"]),
        ("mariner", "2.0", {}, ["Azure Linux:2"]),
        ("azurelinux", "3.0", {}, ["Azure Linux:3"]),
        ("amzn", "2023", {}, ["Amazon Linux:2023"]),
        ("alpaquita", "23", {}, ["Alpaquita:23"]),
    ],
)  # fmt: skip
def test_target(id_, version, more, want):
    target = target_of(Distribution(id=id_, version=version, **more), KNOWN)
    assert list(target.ecosystems) == want


@pytest.mark.parametrize(
    "id_", ["kali", "raspbian", "linuxmint", "arch", "gentoo", "", "../debian"]
)
def test_no_target(id_):
    assert target_of(Distribution(id=id_, version="12", id_like=("debian",)), KNOWN) is None


@pytest.mark.parametrize(
    ("id_", "purl_type", "want"),
    [
        ("debian", "deb", ("openssl",)),
        ("alpine", "apk", ("openssl",)),
        ("wolfi", "apk", ("libssl", "openssl")),
        ("almalinux", "rpm", ("libssl",)),
        ("rhel", "rpm", ("libssl", "openssl")),
    ],
)
def test_names_of_the_distribution(id_, purl_type, want):
    package = Package(
        purl_type=purl_type, name="libssl", version="1", path="x", source_name="openssl"
    )
    assert tuple(lookup_names(package, target_of(Distribution(id=id_, version="9"), KNOWN))) == want


@pytest.mark.parametrize(
    ("ecosystem", "names"),
    [
        ("PyPI", ["Ruamel_Yaml", "ruamel.yaml", "ruamel--yaml"]),
        ("Go", ["github.com/OliveTin/OliveTin", "github.com/olivetin/olivetin"]),
        ("crates.io", ["serde_json", "serde-json"]),
        ("NuGet", ["Newtonsoft.Json", "newtonsoft.json"]),
        ("Packagist", ["Twig/Twig", "twig/twig"]),
        ("SwiftURL", ["https://github.com/apple/swift-nio.git", "github.com/apple/Swift-NIO"]),
    ],
)  # fmt: skip
def test_same_name(ecosystem, names):
    assert len({normalised_name(ecosystem, name) for name in names}) == 1


@pytest.mark.parametrize("ecosystem", ["npm", "Maven", "RubyGems", "Debian:12", "Pub"])
def test_case_counts(ecosystem):
    assert normalised_name(ecosystem, "JSONStream") == "JSONStream"


@pytest.mark.parametrize(
    ("purl_type", "namespace", "name", "want"),
    [
        ("npm", "@angular", "core", "@angular/core"),
        ("maven", "org.apache", "log4j", "org.apache:log4j"),
        ("composer", "symfony", "http-kernel", "symfony/http-kernel"),
        ("golang", "", "github.com/a/b/v2", "github.com/a/b/v2"),
        ("golang", "", "cmd", "toolchain"),
        ("swift", "github.com/apple", "swift-nio", "github.com/apple/swift-nio"),
        ("pypi", "", "flask", "flask"),
    ],
)
def test_language_name(purl_type, namespace, name, want):
    package = Package(purl_type=purl_type, namespace=namespace, name=name, version="1", path="x")
    assert language_name(package) == want
