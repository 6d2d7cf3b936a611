"""Credentials, challenges and hosts: the parts of a login that send nothing."""

from __future__ import annotations

import base64
import json

import pytest
from support.registry_samples import (
    APP,
    MANIFEST,
    NAME,
    asks_basic,
    full_texts,
    word,
)

from scanner.errors import SettingsError
from scanner.model import parse_reference
from scanner.sources._registry_credentials import ANONYMOUS, Credential, find_credential
from scanner.sources._registry_hosts import Reach, is_insecure, is_trusted_realm, reach_of
from scanner.sources._registry_token import Challenge, parse_challenges

ROOT = (MANIFEST, APP.manifest_bytes)
SCOPE = f"repository:{NAME}:pull"
PASSWORD, IDENTITY = word("pw"), word("identity")


# Credentials


def auth(username: str, password: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{username}:{password}".encode()).decode()}


ALICE = Credential(username="alice", password="a:b")


@pytest.mark.parametrize(
    ("config", "text", "want"),
    [
        ({}, "reg.example/x", ANONYMOUS),
        ({"auths": None, "credHelpers": None, "credsStore": ""}, "reg.example/x", ANONYMOUS),
        ({"auths": {"reg.example": auth("alice", "a:b")}}, "reg.example/x", ALICE),
        ({"auths": {"https://reg.example/v1/": auth("alice", "a:b")}}, "reg.example/x", ALICE),
        ({"auths": {"reg.example": auth("alice", "a:b")}}, "reg.example:5000/x", ANONYMOUS),
        ({"auths": {"reg.example": auth("alice", "a:b")}}, "x.reg.example/x", ANONYMOUS),
        ({"auths": {"https://index.docker.io/v1/": auth("alice", "a:b")}}, "alpine", ALICE),
        ({"auths": {"docker.io": auth("alice", "a:b")}}, "alpine", ALICE),
        (
            {"auths": {"reg.example": auth("x", "y"), "reg.example/a": auth("alice", "a:b")}},
            "reg.example/a/b",
            ALICE,
        ),
        ({"auths": {"reg.example": {}}}, "reg.example/x", ANONYMOUS),
        (
            {"auths": {"reg.example": {"username": "alice", "password": "a:b"}}},
            "reg.example/x",
            ALICE,
        ),
        (
            {"auths": {"reg.example": {"identitytoken": IDENTITY}}},
            "reg.example/x",
            Credential(identity_token=IDENTITY),
        ),
        (
            {"auths": {"reg.example": {"registrytoken": IDENTITY}}},
            "reg.example/x",
            Credential(registry_token=IDENTITY),
        ),
        ({"credsStore": "not-installed-here"}, "reg.example/x", ANONYMOUS),
    ],
)
def test_docker_config(options, tmp_path, config, text, want):
    (tmp_path / "config.json").write_text(json.dumps(config))
    for path in (tmp_path, tmp_path / "config.json"):
        assert find_credential(parse_reference(text), options(docker_config=path)) == want


@pytest.mark.parametrize(
    "content",
    [
        PASSWORD,
        f'["{PASSWORD}"]',
        "[" * 100_000,
        '{"auths": [1]}',
        json.dumps({"auths": {"reg.example": {"auth": PASSWORD}}}),
        json.dumps({"auths": {"reg.example": {"auth": base64.b64encode(b"nocolon").decode()}}}),
        '{"credHelpers": {"reg.example": "../../bin/evil"}}',
        '{"credHelpers": {"reg.example": 1}}',
        '{"credHelpers": {"reg.example": "not-installed-here"}}',
        '{"credsStore": ["x"]}',
    ],
    ids=lambda content: content[:20],
)
def test_docker_config_rejects(options, tmp_path, content):
    path = tmp_path / "config.json"
    path.write_text(content)
    with pytest.raises(SettingsError) as caught:
        find_credential(parse_reference("reg.example/x"), options(docker_config=path))
    assert PASSWORD not in full_texts(caught.value)


def test_named_docker_config_must_exist(options, tmp_path):
    with pytest.raises(SettingsError, match="no such"):
        find_credential(parse_reference("x"), options(docker_config=tmp_path / "none"))


def test_options_come_first(options, tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"auths": {"reg.example": auth("x", "y")}}))
    given = options(docker_config=path, username="alice", password="a:b")
    assert find_credential(parse_reference("reg.example/x"), given) == ALICE


def test_places_of_config_files(options, tmp_path, monkeypatch):
    reference = parse_reference("reg.example/x")
    home, docker, run = tmp_path / "home", tmp_path / "docker", tmp_path / "run"
    for key, value in (("HOME", home), ("DOCKER_CONFIG", docker), ("XDG_RUNTIME_DIR", run)):
        monkeypatch.setenv(key, str(value))
    given = options(docker_config=None)
    assert find_credential(reference, given) == ANONYMOUS
    places = [
        (run / "containers" / "auth.json", "podman"),
        (docker / "config.json", "docker"),
    ]
    for path, user in places:
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"auths": {"reg.example": auth(user, "y")}}))
        assert find_credential(reference, given).username == user
    monkeypatch.delenv("DOCKER_CONFIG")
    (home / ".docker").mkdir(parents=True)
    (home / ".docker" / "config.json").write_text(
        json.dumps({"auths": {"reg.example": auth("home", "y")}})
    )
    assert find_credential(reference, given).username == "home"


@pytest.fixture
def helper(tmp_path, monkeypatch):
    """Return a function that installs ``docker-credential-made`` with that shell script as its body."""
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    def install(body: str, config: dict[str, object]):
        program = tmp_path / "docker-credential-made"
        program.write_text(f"#!/bin/sh\n{body}\n")
        program.chmod(0o755)
        path = tmp_path / "helper-config.json"
        path.write_text(json.dumps(config))
        return path

    return install


def answers(username: str, secret: str) -> str:
    answer = json.dumps({"ServerURL": "x", "Username": username, "Secret": secret})
    return f'cat > "$(dirname "$0")/asked"; echo "$1" >> "$(dirname "$0")/asked"; echo \'{answer}\''


@pytest.mark.parametrize(
    "config",
    [
        {"credHelpers": {"reg.example": "made"}},
        {"credsStore": "made", "auths": {"reg.example": {}}},
    ],
    ids=["helper", "store"],
)
def test_credential_helper(options, helper, tmp_path, config):
    path = helper(answers("alice", "a:b"), config)
    assert find_credential(parse_reference("reg.example/x"), options(docker_config=path)) == ALICE
    assert (tmp_path / "asked").read_text() == "reg.exampleget\n"


def test_credential_helper_for_the_hub(options, helper, tmp_path):
    path = helper(answers("<token>", IDENTITY), {"credsStore": "made"})
    found = find_credential(parse_reference("alpine"), options(docker_config=path))
    assert found == Credential(identity_token=IDENTITY)
    assert (tmp_path / "asked").read_text() == "https://index.docker.io/v1/get\n"


def test_credential_helper_that_knows_nothing(options, helper):
    path = helper("echo credentials not found in native keychain; exit 1", {"credsStore": "made"})
    assert find_credential(parse_reference("x"), options(docker_config=path)) == ANONYMOUS


@pytest.mark.parametrize("body", [f"echo {PASSWORD}; exit 3", f"echo {PASSWORD}", "echo '[]'"])
def test_credential_helper_that_fails(options, helper, body):
    path = helper(body, {"credHelpers": {"reg.example": "made"}})
    with pytest.raises(SettingsError, match="docker-credential-made") as caught:
        find_credential(parse_reference("reg.example/x"), options(docker_config=path))
    assert PASSWORD not in full_texts(caught.value)


def test_credential_helper_is_only_asked_when_needed(server, opened, helper, tmp_path):
    path = helper(answers("u", PASSWORD), {"credHelpers": {server.host: "made"}})
    source = opened(docker_config=path)
    assert source.root() == ROOT
    assert not (tmp_path / "asked").exists()
    asks_basic(server)
    assert source.root() == ROOT
    assert (tmp_path / "asked").exists()


def test_secrets_are_not_shown():
    shown = repr(Credential(username="u", password=PASSWORD, identity_token=IDENTITY))
    assert PASSWORD not in shown
    assert IDENTITY not in shown


# Challenges


@pytest.mark.parametrize(
    ("header", "want"),
    [
        pytest.param("", [], id="empty"),
        pytest.param("Basic", [Challenge("basic", {})], id="scheme_alone"),
        pytest.param(
            'Bearer scope="repository:a:pull,push",realm="https://x.example/t",error="e"',
            [
                Challenge(
                    "bearer",
                    {
                        "scope": "repository:a:pull,push",
                        "realm": "https://x.example/t",
                        "error": "e",
                    },
                )
            ],
            id="any_order",
        ),
        pytest.param(
            'BASIC Realm="a \\"b\\"", Bearer realm = x , service=y',
            [
                Challenge("basic", {"realm": 'a "b"'}),
                Challenge("bearer", {"realm": "x", "service": "y"}),
            ],
            id="several",
        ),
        pytest.param(
            'Bearer realm="a",realm="b"', [Challenge("bearer", {"realm": "a"})], id="twice"
        ),
        pytest.param('realm="a"', [], id="no_scheme"),
        pytest.param(
            'Bearer realm="unfinished', [Challenge("bearer", {"realm": ""})], id="unfinished"
        ),
        pytest.param("\x00\xff", [], id="junk"),
    ],
)
def test_parse_challenges(header, want):
    assert parse_challenges(header) == want


@pytest.mark.parametrize(
    ("realm", "registry", "trusted"),
    [
        ("reg.example", "reg.example", True),
        ("reg.example:444", "reg.example:443", True),
        ("auth.docker.io", "registry-1.docker.io", True),
        ("gitlab.example.com", "registry.gitlab.example.com", True),
        ("auth.reg.example.com", "reg.example.com", True),
        ("auth.example.com", "reg.example.com", True),
        ("REG.example", "reg.EXAMPLE", True),
        ("evil.example", "reg.example", False),
        ("example.com.evil.example", "reg.example.com", False),
        ("evilreg.example.com.example", "reg.example.com", False),
        ("evil.co.uk", "reg.co.uk", False),
        ("auth.shop.co.uk", "reg.shop.co.uk", True),
        ("com", "example.com", False),
        ("10.0.0.2", "10.0.0.1", False),
        ("10.0.0.1:5001", "10.0.0.1:5000", True),
        ("[::2]", "[::1]:5000", False),
        ("token.other.example", "reg.example", False),
    ],
)
def test_is_trusted_realm(realm, registry, trusted):
    assert is_trusted_realm(realm, registry, frozenset()) == trusted
    assert is_trusted_realm(realm, registry, frozenset({realm}))


@pytest.mark.parametrize(
    ("address", "reach"),
    [
        ("93.184.215.14", Reach.PUBLIC),
        ("2606:4700::1111", Reach.PUBLIC),
        ("10.1.2.3", Reach.PRIVATE),
        ("192.168.0.1", Reach.PRIVATE),
        ("100.64.0.1", Reach.PRIVATE),
        ("fd12::1", Reach.PRIVATE),
        ("224.0.0.1", Reach.PRIVATE),
        ("127.0.0.1", Reach.LOOPBACK),
        ("0.0.0.0", Reach.LOOPBACK),
        ("::", Reach.LOOPBACK),
        ("::1", Reach.LOOPBACK),
        ("::ffff:127.0.0.1", Reach.LOOPBACK),
        ("64:ff9b::7f00:1", Reach.LOOPBACK),
        ("2002:7f00:1::", Reach.LOOPBACK),
        ("169.254.169.254", Reach.LINK_LOCAL),
        ("fe80::1%eth0", Reach.LINK_LOCAL),
        ("::ffff:169.254.169.254", Reach.LINK_LOCAL),
        ("fd00:ec2::254", Reach.LINK_LOCAL),
        ("100.100.100.200", Reach.LINK_LOCAL),
    ],
)
def test_reach_of(address, reach):
    assert reach_of(address) is reach


@pytest.mark.parametrize(
    ("host", "hosts", "insecure"),
    [
        ("reg.example:5000", {"reg.example:5000"}, True),
        ("reg.example:5000", {"REG.example"}, True),
        ("reg.example:5000", {"reg.example:5001"}, False),
        ("reg.example", {"reg.example:5000"}, False),
        ("reg.example", {"example"}, False),
        ("[::1]:5000", {"[::1]"}, True),
    ],
)
def test_is_insecure(host, hosts, insecure):
    assert is_insecure(host, frozenset(hosts)) == insecure
