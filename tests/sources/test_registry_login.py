"""Logging in to registries: challenges, tokens, credentials, and where they may go."""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
import ssl
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from support.faulty_registry import (
    Reply,
    error_reply,
    json_reply,
    redirect,
    start_faulty_registry,
)
from support.registry_samples import (
    APP,
    BACKOFF,
    CONFIG,
    LAYER_PATH,
    MANIFEST,
    MANIFEST_PATH,
    NAME,
    asks_basic,
    basic,
    full_texts,
    read_all,
    word,
)

from scanner.errors import ForbiddenHostError, UnauthorizedError, UpstreamError
from scanner.sources.registry import open_registry

ROOT = (MANIFEST, APP.manifest_bytes)
SCOPE = f"repository:{NAME}:pull"
PASSWORD, IDENTITY = word("pw"), word("identity")


class TokenServer:
    """Gives tokens at ``/token``, and makes a registry want them. ``expire`` ends all of them."""

    def __init__(self, registry, realm_server=None, scope=SCOPE):
        self.given: list[str] = []
        self.valid: set[str] = set()
        self.seconds: float | None = 300
        self.asked: list = []
        realm = f"{(realm_server or registry).url}/token"
        self.challenge = f'Bearer realm="{realm}",service="reg",scope="{scope}"'
        (realm_server or registry).gate = self.give
        if realm_server is None:
            registry.gate = lambda seen: self.give(seen) or self.check(seen)
        else:
            registry.gate = self.check

    def give(self, seen):
        if not seen.path.startswith("/token"):
            return None
        self.asked.append(seen)
        token = word(f"token{len(self.given)}")
        self.given.append(token)
        self.valid.add(token)
        return json_reply({"token": token, "expires_in": self.seconds})

    def check(self, seen):
        if seen.authorization.removeprefix("Bearer ") in self.valid:
            return None
        message = f"not with {seen.authorization}"
        return error_reply(401, "UNAUTHORIZED", message, WWW_Authenticate=self.challenge)

    def expire(self):
        self.valid.clear()


def query(seen) -> dict[str, list[str]]:
    return parse_qs(urlsplit(seen.path).query)


# Tokens


def test_anonymous_token(server, opened):
    tokens = TokenServer(server)
    source = opened()
    assert source.root() == ROOT
    assert source.fetch_config(CONFIG) == APP.config_bytes
    assert read_all(source) == APP.layers[0]
    (asked,) = tokens.asked
    assert query(asked) == {"service": ["reg"], "scope": [SCOPE], "client_id": ["scanner"]}
    assert asked.authorization == ""
    assert next(s.authorization for s in server.seen if "/v2/" in s.path) == ""


def test_token_with_password(server, opened):
    tokens = TokenServer(server)
    assert opened(username="u", password=PASSWORD).root() == ROOT
    assert [one.authorization for one in tokens.asked] == [basic("u", PASSWORD)]
    sent = [s.authorization for s in server.seen if s.path == MANIFEST_PATH]
    assert sent == ["", f"Bearer {tokens.given[0]}"]


def test_token_expires_mid_scan(server, opened):
    tokens = TokenServer(server)
    source = opened()
    source.root()
    tokens.expire()
    assert read_all(source) == APP.layers[0]
    assert len(tokens.given) == 2


def test_token_expires_within_a_blob(server, opened):
    tokens = TokenServer(server)

    def cut_and_expire(_seen):
        tokens.expire()
        return Reply(200, APP.layers[0], cut_after=100_000)

    server.script(LAYER_PATH, cut_and_expire)
    assert read_all(opened()) == APP.layers[0]


def test_token_that_has_expired_is_not_sent(server, opened):
    tokens = TokenServer(server)
    tokens.seconds = 0.000_001
    source = opened()
    source.root()
    source.root()
    assert len(tokens.given) == 2
    assert len([s for s in server.seen if s.path == MANIFEST_PATH]) == 3


@pytest.mark.parametrize("seconds", [None, -1, 0, "60", True, 10**400, [], 1e308])
def test_odd_lives_of_tokens(server, opened, seconds):
    tokens = TokenServer(server)
    tokens.seconds = seconds
    assert opened().root() == ROOT


def test_token_per_scope(server, opened):
    """One client may ask for two repositories, each with a token of its own."""
    tokens = TokenServer(server, scope="")
    server.serve(APP, "team/two")
    client = opened()._client
    for name in (NAME, "team/two", NAME, "team/two"):
        with client.do_request(client.url(name, "manifests/1")) as response:
            assert response.content == APP.manifest_bytes
    scopes = [query(one)["scope"] for one in tokens.asked]
    assert scopes == [[SCOPE], ["repository:team/two:pull"]]


def test_unauthorized_for_ever(server, opened):
    tokens = TokenServer(server)
    tokens.valid = frozenset_that_takes_nothing()
    with pytest.raises(UnauthorizedError, match="HTTP 401 UNAUTHORIZED") as caught:
        opened(username="u", password=PASSWORD).root()
    assert len([s for s in server.seen if s.path == MANIFEST_PATH]) == 2
    texts = full_texts(caught.value)
    assert tokens.given[0] not in texts
    assert PASSWORD not in texts
    assert "docker login" in caught.value.hint


def frozenset_that_takes_nothing():
    class Nothing(set):
        def add(self, _one):
            """Forget it."""

    return Nothing()


@pytest.mark.parametrize(
    "header", ["", "Negotiate", "Digest realm=x, nonce=y", "\x7f ,,=", "a" * 9_000]
)
def test_no_way_in(server, opened, header):
    server.gate = lambda _seen: error_reply(401, "UNAUTHORIZED", "no", WWW_Authenticate=header)
    with pytest.raises(UnauthorizedError):
        opened(username="u", password=PASSWORD).root()
    assert len(server.seen) == 1


TOKEN_FAULTS = {
    "html": (Reply(200, b"<html>"), UpstreamError),
    "list": (json_reply([]), UpstreamError),
    "no_token": (json_reply({}), UpstreamError),
    "token_number": (json_reply({"token": 1}), UpstreamError),
    "token_splits_the_header": (json_reply({"token": "a\r\nX-Y: z"}), UpstreamError),
    "token_not_ascii": (json_reply({"token": "\u00e9"}), UpstreamError),
    "too_long": (Reply(200, b" " * 2_000_000), Exception),
    "deep": (Reply(200, b"[" * 100_000), UpstreamError),
    "refused": (error_reply(401, "UNAUTHORIZED", "wrong password"), UnauthorizedError),
    "denied": (error_reply(403, "DENIED", "no"), UnauthorizedError),
    "redirect": (redirect("https://elsewhere.example/"), UpstreamError),
    "cut": (Reply(200, b"{}", length=100, cut_after=1), UpstreamError),
    "hangs_up": (Reply(hangs_up=True), UpstreamError),
    "busy": (Reply(503), UpstreamError),
}


@pytest.mark.parametrize(("reply", "error"), TOKEN_FAULTS.values(), ids=TOKEN_FAULTS)
def test_faulty_token_server(server, opened, reply, error):
    tokens = TokenServer(server)
    server.gate = tokens.check
    server.gate = lambda seen: reply if seen.path.startswith("/token") else tokens.check(seen)
    with pytest.raises(error) as caught:
        opened(username="u", password=PASSWORD).root()
    assert PASSWORD not in full_texts(caught.value)


def test_busy_token_server_is_asked_again(server, opened):
    tokens = TokenServer(server)
    replies = [Reply(503), Reply(hangs_up=True)]

    def gate(seen):
        if seen.path.startswith("/token") and replies:
            return replies.pop()
        return tokens.give(seen) or tokens.check(seen)

    server.gate = gate
    assert opened().root() == ROOT


# Where credentials may go


def test_credentials_are_not_given_to_another_host(server, options):
    with start_faulty_registry() as realm:
        tokens = TokenServer(server, realm)
        # 127.0.0.1 and localhost are two host names.
        tokens.challenge = tokens.challenge.replace("127.0.0.1", "localhost")
        reference = f"{server.host}/{NAME}:1"
        more = options(username="u", password=PASSWORD)
        with (
            open_registry(reference, more, backoff=BACKOFF) as source,
            pytest.raises(ForbiddenHostError, match="another host") as caught,
        ):
            source.root()
        assert realm.seen == []
        assert "registry.token_hosts" in caught.value.hint
        port = realm.host.partition(":")[2]
        allowed = options(
            username="u",
            password=PASSWORD,
            allowed_realm_hosts=frozenset({f"localhost:{port}"}),
        )
        with open_registry(reference, allowed, backoff=BACKOFF) as source:
            assert source.root() == ROOT
        with open_registry(reference, options(), backoff=BACKOFF) as source:
            assert source.root() == ROOT
        assert [one.authorization for one in realm.seen] == [basic("u", PASSWORD), ""]


@pytest.mark.parametrize(
    "realm",
    ["", "file:///etc/passwd", "https://", "http://u:p@127.0.0.1/", "http://169.254.169.254/t"],
)
def test_forbidden_realms(server, opened, realm):
    tokens = TokenServer(server)
    tokens.challenge = f'Bearer realm="{realm}",service="reg"'
    with pytest.raises(ForbiddenHostError):
        opened().root()


# Basic


def test_basic(server, opened):
    asks_basic(server)
    source = opened(username="u", password=PASSWORD)
    assert source.root() == ROOT
    assert source.root() == ROOT
    want = basic("u", PASSWORD)
    assert [one.authorization for one in server.seen] == ["", want, want]


def test_basic_with_the_wrong_password(server, opened):
    asks_basic(server)
    with pytest.raises(UnauthorizedError) as caught:
        opened(username="u", password=word("wrong")).root()
    assert word("wrong") not in full_texts(caught.value)
    assert len(server.seen) == 2


def test_basic_without_a_user(server, opened):
    asks_basic(server)
    with pytest.raises(UnauthorizedError, match="user name"):
        opened().root()


def test_echoed_secrets_are_not_repeated(server, opened):
    def echo(seen):
        text = f"you sent {seen.authorization}, that is {PASSWORD}"
        return error_reply(401, "UNAUTHORIZED", text, WWW_Authenticate="Basic realm=x")

    server.gate = echo
    with pytest.raises(UnauthorizedError, match=r"you sent Basic \*\*\*, that is \*\*\*") as caught:
        opened(username="u", password=PASSWORD).root()
    texts = full_texts(caught.value)
    assert PASSWORD not in texts
    assert basic("u", PASSWORD).removeprefix("Basic ") not in texts


def test_identity_token(server, opened, tmp_path):
    tokens = TokenServer(server)
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"auths": {server.host: {"identitytoken": IDENTITY}}}))
    assert opened(docker_config=path).root() == ROOT
    (asked,) = tokens.asked
    assert (asked.method, asked.authorization) == ("POST", "")
    assert parse_qs(asked.body.decode()) == {
        "grant_type": ["refresh_token"],
        "refresh_token": [IDENTITY],
        "service": ["reg"],
        "scope": [SCOPE],
        "client_id": ["scanner"],
    }
    assert all(IDENTITY not in one.authorization for one in server.seen)


def test_registry_token(server, opened, tmp_path):
    tokens = TokenServer(server)
    tokens.valid = {IDENTITY}
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"auths": {server.host: {"registrytoken": IDENTITY}}}))
    assert opened(docker_config=path).root() == ROOT
    assert tokens.asked == []


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """Return a file with a key and a self-signed certificate for 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "made")])
    now = dt.datetime.now(dt.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    path.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + made.public_bytes(pem)
    )
    return path


@pytest.fixture
def tls_server(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with start_faulty_registry(context) as running:
        running.serve(APP, NAME)
        yield running


def test_tls_with_our_ca(tls_server, options, certificate):
    given = options(insecure_hosts=frozenset(), ca_file=certificate)
    with open_registry(f"{tls_server.host}/{NAME}:1", given, backoff=BACKOFF) as source:
        assert source.root() == ROOT
        assert read_all(source) == APP.layers[0]


@pytest.mark.parametrize("sent", [0, 100_000], ids=["start", "middle"])
def test_cut_over_tls_is_resumed(tls_server, options, certificate, sent):
    tls_server.script(LAYER_PATH, Reply(200, APP.layers[0], cut_after=sent))
    given = options(insecure_hosts=frozenset(), ca_file=certificate)
    with open_registry(f"{tls_server.host}/{NAME}:1", given, backoff=BACKOFF) as source:
        assert read_all(source) == APP.layers[0]


def test_tls_with_an_unknown_ca(tls_server, options):
    given = options(insecure_hosts=frozenset())
    with (
        open_registry(f"{tls_server.host}/{NAME}:1", given, backoff=BACKOFF) as source,
        pytest.raises(UpstreamError, match="certificate not accepted") as caught,
    ):
        source.root()
    assert not caught.value.retryable
    assert "registry.ca_file" in caught.value.hint


def test_from_https_to_plain_http(tls_server, server, options, certificate):
    tls_server.script(LAYER_PATH, *[redirect(f"{server.url}{LAYER_PATH}")] * 2)
    strict = options(insecure_hosts=frozenset(), ca_file=certificate)
    reference = f"{tls_server.host}/{NAME}:1"
    with (
        open_registry(reference, strict, backoff=BACKOFF) as source,
        pytest.raises(ForbiddenHostError, match="plain http"),
    ):
        read_all(source)
    assert server.seen == []
    lenient = options(insecure_hosts=frozenset({server.host}), ca_file=certificate)
    with open_registry(reference, lenient, backoff=BACKOFF) as source:
        assert read_all(source) == APP.layers[0]


def test_token_server_on_plain_http(tls_server, server, options, certificate):
    tokens = TokenServer(tls_server, server)
    given = options(insecure_hosts=frozenset({server.host}), ca_file=certificate)
    with (
        open_registry(f"{tls_server.host}/{NAME}:1", given, backoff=BACKOFF) as source,
        pytest.raises(ForbiddenHostError, match="plain http"),
    ):
        source.root()
    assert tokens.asked == []
