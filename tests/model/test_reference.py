from __future__ import annotations

import pytest

from scanner.errors import InvalidReferenceError
from scanner.model import (
    Digest,
    Platform,
    Reference,
    normalise_platform,
    parse_platform,
    parse_reference,
)

SHA256 = Digest("sha256:" + "ab" * 32)
SHA512 = Digest("sha512:" + "cd" * 64)


def hub(repository: str, tag: str = "latest", digest: Digest | None = None) -> Reference:
    return Reference(registry="docker.io", repository=repository, tag=tag, digest=digest)


def at(registry: str, repository: str, tag: str = "latest") -> Reference:
    return Reference(registry=registry, repository=repository, tag=tag)


@pytest.mark.parametrize(
    ("text", "want"),
    [
        pytest.param("alpine", hub("library/alpine"), id="short"),
        pytest.param("alpine:3.20", hub("library/alpine", "3.20"), id="short_tag"),
        pytest.param("team/app", hub("team/app"), id="two_parts_on_the_hub"),
        pytest.param("docker.io/alpine", hub("library/alpine"), id="hub_named"),
        pytest.param("index.docker.io/alpine", hub("library/alpine"), id="hub_alias"),
        pytest.param("registry-1.docker.io/a/b", hub("a/b"), id="hub_api_host"),
        pytest.param("localhost", hub("library/localhost"), id="localhost_alone_is_a_name"),
        pytest.param("host:5000", hub("library/host", "5000"), id="port_alone_is_a_tag"),
        pytest.param("localhost/foo/bar", at("localhost", "foo/bar"), id="localhost"),
        pytest.param("localhost:5000/foo", at("localhost:5000", "foo"), id="localhost_port"),
        pytest.param("Reg.Example/x:A_b.c-1", at("reg.example", "x", "A_b.c-1"), id="host_case"),
        pytest.param("reg.example/a__b/c.d/e--f", at("reg.example", "a__b/c.d/e--f"), id="seps"),
        pytest.param("[::1]:5000/x", at("[::1]:5000", "x"), id="ipv6"),
        pytest.param("127.0.0.1:5000/x", at("127.0.0.1:5000", "x"), id="ipv4"),
        pytest.param(f"alpine@{SHA256}", hub("library/alpine", "", SHA256), id="digest"),
        pytest.param(f"alpine:1@{SHA512}", hub("library/alpine", "1", SHA512), id="tag_and_digest"),
    ],
)
def test_parse_reference(text, want):
    assert parse_reference(text) == want
    assert parse_reference(str(want)) == want


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "Alpine",
        "reg.example/Team/app",
        "a//b",
        "/a",
        "a/",
        "-a",
        "a-",
        "a___b",
        "alpine:",
        "alpine:-x",
        "alpine:" + "t" * 129,
        "alpine@",
        "alpine@sha256:abc",
        "alpine@sha256:" + "AB" * 32,
        "alpine@md5:" + "a" * 32,
        f"alpine@{SHA256}@{SHA256}",
        "reg.example:99999/x",
        "reg.example:0/x",
        "reg..example/x",
        "-reg.example/x",
        "user:pw@reg.example/x",
        "[::zz]/x",
        "http://reg.example/x",
        "reg.example/x\n",
        "reg.example/x y",
        "reg.example/\u0130x",
        "reg.example/../x",
        "reg.example/" + "a" * 250,
        "a/" * 100_000,
    ],
    ids=lambda text: text[:24] or "empty",
)
def test_parse_reference_rejects(text):
    with pytest.raises(InvalidReferenceError):
        parse_reference(text)


def test_reference_texts():
    reference = parse_reference(f"alpine:3.20@{SHA256}")
    assert str(reference) == f"docker.io/library/alpine:3.20@{SHA256}"
    assert reference.name == "docker.io/library/alpine"
    assert reference.api_host == "registry-1.docker.io"
    assert parse_reference("reg.example:5000/x").api_host == "reg.example:5000"


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("linux/amd64", "linux/amd64"),
        ("linux/x86_64", "linux/amd64"),
        ("Linux/AMD64/v1", "linux/amd64"),
        ("linux/amd64/v3", "linux/amd64/v3"),
        ("linux/aarch64", "linux/arm64"),
        ("linux/arm64/v8", "linux/arm64"),
        ("linux/arm64/8", "linux/arm64"),
        ("linux/arm", "linux/arm/v7"),
        ("linux/arm/6", "linux/arm/v6"),
        ("linux/armhf", "linux/arm/v7"),
        ("linux/armel", "linux/arm/v6"),
        ("linux/i386", "linux/386"),
        ("macos/arm64", "darwin/arm64"),
        ("windows/amd64", "windows/amd64"),
    ],
)
def test_parse_platform(text, want):
    assert str(parse_platform(text)) == want


@pytest.mark.parametrize(
    "text", ["", "amd64", "linux/", "/amd64", "a/b/c/d", "linux/am d64", "linux/" + "a" * 65]
)
def test_parse_platform_rejects(text):
    with pytest.raises(InvalidReferenceError):
        parse_platform(text)


def test_normalise_keeps_the_os_version():
    platform = Platform(os="Windows", architecture="x86_64", os_version="10.0.17763.1")
    want = Platform(os="windows", architecture="amd64", os_version="10.0.17763.1")
    assert normalise_platform(platform) == want
