"""Keys of an identity provider: fetched over https when needed, kept, and never from where a token says."""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import json
import ssl
import time
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID
from support.web.running import endpoint, running

from scanner.ports.webhook import CredentialKind
from scanner.web import _oidc_keys
from scanner.web._oidc_keys import OidcKeys

KEYS = {"keys": [{"kty": "RSA", "kid": "1"}]}


def write_certificate(directory):
    """Return server and client contexts for ``localhost``."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    (directory / "crt").write_bytes(pem)
    (directory / "key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(directory / "crt", directory / "key")
    return server, ssl.create_default_context(cadata=pem.decode())


@asynccontextmanager
async def provider(directory, answer):
    """Yield keys of a provider whose every answer ``answer()`` makes, and how often it was asked."""
    server, client = write_certificate(directory)
    asked = []

    async def handle(_request):
        asked.append(time.monotonic())
        return answer()

    application = web.Application()
    application.router.add_get("/certs", handle)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=server)
        await site.start()
        yield OidcKeys(f"https://localhost:{runner.addresses[0][1]}/certs", tls=client), asked
    finally:
        await runner.cleanup()


def test_fetched_once_and_kept(tmp_path):
    def answer():
        return web.json_response(KEYS, headers={"Cache-Control": "public, max-age=7200"})

    async def main():
        async with provider(tmp_path, answer) as (keys, asked):
            found = await asyncio.gather(*(keys.keys() for _ in range(20)))
            found.append(await keys.keys(anew=True))  # too soon to ask again
            return found, len(asked)

    assert asyncio.run(main()) == ([tuple(KEYS["keys"])] * 21, 1)


def test_asked_anew_when_a_key_is_unknown(tmp_path, monkeypatch):
    monkeypatch.setattr(_oidc_keys, "_LEAST_SECONDS", 0.0)

    async def main():
        async with provider(tmp_path, lambda: web.json_response(KEYS)) as (keys, asked):
            for anew in (False, False, True):
                await keys.keys(anew=anew)
            return len(asked)

    assert asyncio.run(main()) == 2


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(lambda: web.Response(status=500), id="error"),
        pytest.param(lambda: web.Response(status=302, headers={"Location": "/x"}), id="redirect"),
        pytest.param(lambda: web.Response(text="["), id="not_json"),
        pytest.param(lambda: web.json_response({"keys": {}}), id="no_list"),
        pytest.param(lambda: web.json_response([1]), id="no_object"),
        pytest.param(lambda: web.Response(text="[" * 100_000), id="deep"),
        pytest.param(lambda: web.Response(body=b" " * 300_000), id="too_large"),
    ],
)
def test_what_was_fetched_stays_when_the_provider_fails(tmp_path, monkeypatch, answer):
    monkeypatch.setattr(_oidc_keys, "_LEAST_SECONDS", 0.0)
    answers = [lambda: web.json_response(KEYS), answer]

    def first_then_other():
        return answers.pop(0)()

    async def main():
        async with provider(tmp_path, first_then_other) as (keys, asked):
            first = await keys.keys()
            return first == await keys.keys(anew=True), len(asked)

    assert asyncio.run(main()) == (True, 2)


def test_a_provider_with_another_certificate_is_not_believed(tmp_path):
    async def main():
        async with provider(tmp_path, lambda: web.json_response(KEYS)) as (keys, asked):
            return await OidcKeys(keys._url).keys(), asked

    assert asyncio.run(main()) == ((), [])


def test_https_only():
    with pytest.raises(ValueError, match="https"):
        OidcKeys("http://localhost/certs")


def part(value):
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def signed(key, claims):
    head = part(json.dumps({"alg": "RS256", "kid": "1"}).encode())
    said = f"{head}.{part(json.dumps(claims).encode())}"
    return f"{said}.{part(key.sign(said.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def test_a_push_by_pub_sub(tmp_path, monkeypatch):
    key = rsa.generate_private_key(65537, 2048)
    numbers = key.public_key().public_numbers()
    public = {
        "kty": "RSA",
        "kid": "1",
        "n": part(numbers.n.to_bytes(256, "big")),
        "e": part(numbers.e.to_bytes(3, "big")),
    }
    claims = {
        "iss": "https://accounts.google.com",
        "aud": "scanner",
        "email": "push@x.example",
        "email_verified": True,
        "iat": time.time() - 5,
        "exp": time.time() + 60,
    }
    name = "europe-docker.pkg.dev/p/r/app"
    said = {"action": "INSERT", "digest": f"{name}@sha256:{'a' * 64}", "tag": f"{name}:1"}
    data = base64.b64encode(json.dumps(said).encode()).decode()
    body = {"message": {"data": data, "messageId": "7"}}
    google = endpoint(
        "google",
        "google",
        CredentialKind.OIDC,
        audience="scanner",
        emails=frozenset({"push@x.example"}),
    )
    # The keys are changed after the first fetch; the last token makes us look a third time.
    answers = [{"keys": []}, {"keys": [public]}, {"keys": [public]}]
    monkeypatch.setattr(_oidc_keys, "_LEAST_SECONDS", 0.0)
    allowed = {"allowed_registries": ("europe-docker.pkg.dev",)}

    async def main():
        async with (
            provider(tmp_path, lambda: web.json_response(answers.pop(0))) as (keys, _asked),
            running(tmp_path / "store", google, oidc_keys=keys, **allowed) as service,
        ):
            found = []
            for token in (signed(key, claims), signed(key, claims | {"aud": "other"})):
                headers = {"Authorization": f"Bearer {token}"}
                path = "/v1/webhooks/google"
                one = await service.ask("POST", path, token="", json=body, headers=headers)
                found.append(one.status)
            return found

    assert asyncio.run(main()) == [202, 401]
