"""Google's tokens: signed by its keys, for us, by the account, now."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json

import pytest
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA1, SHA256

from scanner.errors import UnauthenticatedError
from scanner.ports.webhook import Credential, CredentialKind
from scanner.webhooks._authenticate import authenticate
from scanner.webhooks._oidc import verify_oidc

NOW = 1_767_323_045.5
AUDIENCE = "https://scanner.example/v1/webhooks/google"
EMAIL = "push@project.iam.gserviceaccount.example"
ISSUER = "https://accounts.google.com"
KEY = rsa.generate_private_key(65_537, 2_048)
OTHER_KEY = rsa.generate_private_key(65_537, 2_048)
SMALL_KEY = rsa.generate_private_key(65_537, 1_024)
HEADER = {"alg": "RS256", "kid": "k1", "typ": "JWT"}
CLAIMS = {
    "iss": ISSUER,
    "aud": AUDIENCE,
    "azp": "1",
    "sub": "1",
    "email": EMAIL,
    "email_verified": True,
    "iat": int(NOW) - 10,
    "exp": int(NOW) + 3_590,
}


def part(content) -> str:
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def number(value: int) -> str:
    return part(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def jwk(key, kid="k1", **more):
    public = key.public_key().public_numbers()
    return {"kty": "RSA", "kid": kid, "use": "sig", "alg": "RS256", "n": number(public.n), "e": number(public.e), **more}  # fmt: skip


def token(claims=CLAIMS, header=HEADER, key=KEY, algorithm=SHA256):
    signed = f"{part(header)}.{part(claims)}"
    return f"{signed}.{part(key.sign(signed.encode(), padding.PKCS1v15(), algorithm()))}"


KEYS = (jwk(OTHER_KEY, "k0"), jwk(KEY))


def verify(text, keys=KEYS, *, now=NOW, audience=AUDIENCE, issuers=(ISSUER,), emails=(EMAIL,)):
    verify_oidc(text, keys, audience=audience, issuers=issuers, emails=emails, now=now)


def claims(**changes):
    return {**CLAIMS, **changes}


def without(key):
    return {k: v for k, v in CLAIMS.items() if k != key}


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(token(), id="usual"),
        pytest.param(token(claims(aud=["other", AUDIENCE])), id="audiences"),
        pytest.param(token(claims(exp=NOW - 59)), id="just_expired"),
        pytest.param(token(claims(iat=NOW + 59)), id="clock_ahead"),
        pytest.param(token(claims(nbf=NOW - 1)), id="not_before"),
        pytest.param(token({**CLAIMS, "name": "ä"}), id="not_ascii"),
    ],
)
def test_good(text):
    verify(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param(token(claims(iss="https://evil.example")), "issuer", id="issuer"),
        pytest.param(token(without("iss")), "issuer", id="no_issuer"),
        pytest.param(token(claims(iss=["https://accounts.google.com"])), "issuer", id="issuers"),
        pytest.param(token(claims(aud="https://other.example")), "audience", id="audience"),
        pytest.param(token(claims(aud=AUDIENCE + "/")), "audience", id="longer_audience"),
        pytest.param(token(claims(aud={AUDIENCE: 1})), "audience", id="audience_table"),
        pytest.param(token(without("aud")), "audience", id="no_audience"),
        pytest.param(token(claims(email="other@example")), "account", id="email"),
        pytest.param(token(claims(email=[EMAIL])), "account", id="emails"),
        pytest.param(token(claims(email_verified=False)), "account", id="unverified"),
        pytest.param(token(claims(email_verified="true")), "account", id="verified_text"),
        pytest.param(token(without("email_verified")), "account", id="verified_missing"),
        pytest.param(token(claims(exp=NOW - 61)), "expired", id="expired"),
        pytest.param(token(claims(iat=NOW + 61)), "not valid yet", id="future"),
        pytest.param(token(claims(nbf=NOW + 61)), "not valid yet", id="not_before"),
        pytest.param(token(without("iat")), "not valid yet", id="no_iat"),
        pytest.param(token(without("exp")), "when it is valid", id="no_exp"),
        pytest.param(token(claims(exp="4102444800")), "when it is valid", id="exp_text"),
        pytest.param(token(claims(exp=True)), "when it is valid", id="exp_true"),
        pytest.param(token(claims(nbf=None)), "when it is valid", id="nbf_null"),
        pytest.param(token([CLAIMS]), "no JSON object", id="claims_array"),
        pytest.param(token(b"not json"), "not JSON", id="claims_not_json"),
        pytest.param(token(key=OTHER_KEY), "signature", id="other_key"),
        pytest.param(token(algorithm=SHA1), "signature", id="sha1"),
        pytest.param(token(header={**HEADER, "alg": "none"}), "RS256", id="alg_none"),
        pytest.param(token(header={**HEADER, "alg": "HS256"}), "RS256", id="alg_hmac"),
        pytest.param(token(header={**HEADER, "alg": "rs256"}), "RS256", id="alg_lower_case"),
        pytest.param(token(header={"kid": "k1"}), "RS256", id="no_alg"),
        pytest.param(token(header={**HEADER, "crit": ["x"]}), "RS256", id="crit"),
        pytest.param(token(header={**HEADER, "kid": "k2"}), "no key", id="unknown_kid"),
        pytest.param(token(header={**HEADER, "kid": ["k1"]}), "no key", id="kid_list"),
        pytest.param(token(header={"alg": "RS256"}), "no key", id="no_kid"),
        pytest.param(token(header=[]), "no JSON object", id="header_array"),
        pytest.param(f"{part(HEADER)}.{part(CLAIMS)}.", "three parts", id="unsigned"),
        pytest.param(f"{part(HEADER)}.{part(CLAIMS)}", "three parts", id="two_parts"),
        pytest.param(token() + ".x", "three parts", id="four_parts"),
        pytest.param(token() + "\n", "three parts", id="newline"),
        pytest.param(token() + "=", "three parts", id="padded"),
        pytest.param(token()[:-4], "signature", id="truncated"),
        pytest.param(f"a.{part(CLAIMS)}.{part(b'x')}", "base64url", id="length_of_base64"),
        pytest.param("", "three parts", id="empty"),
        pytest.param("ä.ä.ä", "three parts", id="not_ascii"),
        pytest.param("\ud800.a.a", "three parts", id="surrogate"),
        pytest.param("a." * 100_000, "three parts", id="long"),
        pytest.param(f"{part(b'[' * 5_000)}.a.a", "not JSON", id="nested"),
    ],
)
def test_bad(text, reason):
    with pytest.raises(UnauthenticatedError, match=reason) as caught:
        verify(text)
    assert EMAIL not in str(caught.value)


def test_public_key_as_hmac_secret():
    signed = f"{part({**HEADER, 'alg': 'HS256'})}.{part(CLAIMS)}"
    forged = hmac.new(jwk(KEY)["n"].encode(), signed.encode(), hashlib.sha256).digest()
    with pytest.raises(UnauthenticatedError, match="RS256"):
        verify(f"{signed}.{part(forged)}")


def test_changed_claims():
    header, _, signature = token().split(".")
    with pytest.raises(UnauthenticatedError, match="signature"):
        verify(f"{header}.{part(claims(email='other@example'))}.{signature}")


@pytest.mark.parametrize(
    "key",
    [
        pytest.param(jwk(SMALL_KEY), id="small"),
        pytest.param(jwk(KEY, kty="EC"), id="kind"),
        pytest.param(jwk(KEY, use="enc"), id="use"),
        pytest.param(jwk(KEY, alg="RS512"), id="algorithm"),
        pytest.param(jwk(KEY, e=number(1)), id="exponent_one"),
        pytest.param(jwk(KEY, e=""), id="no_exponent"),
        pytest.param(jwk(KEY, n="!"), id="not_base64"),
        pytest.param(jwk(KEY, n="a" * 401), id="length_of_base64"),
        pytest.param(jwk(KEY, n="a" * 100_000), id="huge"),
        pytest.param(jwk(KEY, n=7), id="type"),
        pytest.param({"kid": "k1"}, id="nothing"),
    ],
)
def test_keys_passed_over(key):
    with pytest.raises(UnauthenticatedError, match="no key"):
        verify(token(key=SMALL_KEY if key == jwk(SMALL_KEY) else KEY), (key,))
    verify(token(), (key, jwk(KEY)))


@pytest.mark.parametrize("missing", [{"audience": ""}, {"issuers": ()}, {"emails": ()}])
def test_must_be_configured(missing):
    with pytest.raises(UnauthenticatedError, match="configured"):
        verify(token(claims(aud="", email="")), **missing)


def test_through_the_one_door():
    expected = Credential(kind=CredentialKind.OIDC, audience=AUDIENCE, emails=frozenset({EMAIL}))
    headers = {"authorization": f"Bearer {token()}"}
    authenticate(expected, None, headers, b"", "", keys=KEYS, now=NOW)
    for wrong in ({"keys": KEYS}, {"now": NOW}, {"keys": KEYS, "now": NOW + 4_000}):
        with pytest.raises(UnauthenticatedError):
            authenticate(expected, None, headers, b"", "", **wrong)
