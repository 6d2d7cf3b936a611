"""Who may send: each credential shown right, not at all, and almost right."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest

from scanner.discovery import webhook_sources
from scanner.errors import UnauthenticatedError
from scanner.ports.webhook import Credential, CredentialKind, Signature
from scanner.webhooks._authenticate import authenticate

SECRET = "not-a-real-one"
BODY = b'{"events": []}\n'
SHA256 = Signature("x-hub-signature-256", (("sha256=", "sha256"),))
BARE = Signature("x-gitea-signature", (("", "sha256"),))
SHA1 = Signature("x-nexus-webhook-signature", (("", "sha1"),))
EITHER = Signature("x-jfrog-event-auth", (("sha1=", "sha1"), ("", "sha256")))


def credential(kind, secret=SECRET, **more):
    return Credential(kind=CredentialKind(kind), secret=secret, **more)


def mac(algorithm="sha256", body=BODY, secret=SECRET):
    return hmac.new(secret.encode(), body, algorithm).hexdigest()


def basic(text):
    return {"authorization": "Basic " + base64.b64encode(text.encode()).decode()}


def is_let_in(expected, headers, signature=None, path_token="", body=BODY):
    reason = ""
    try:
        authenticate(expected, signature, headers, body, path_token)
    except UnauthenticatedError as error:
        reason = error.reason
    assert SECRET not in reason
    return not reason


@pytest.mark.parametrize(
    ("signature", "value"),
    [
        pytest.param(SHA256, "sha256=" + mac(), id="prefixed"),
        pytest.param(BARE, mac(), id="bare"),
        pytest.param(SHA1, mac("sha1"), id="sha1"),
        pytest.param(EITHER, mac(), id="either_sha256"),
        pytest.param(EITHER, "sha1=" + mac("sha1"), id="either_sha1"),
    ],
)
def test_signed(signature, value):
    expected = credential("signature")
    headers = {signature.header: value}
    assert is_let_in(expected, headers, signature)
    assert not is_let_in(expected, headers, signature, body=BODY + b" ")
    assert not is_let_in(expected, headers, signature, body=b"")
    assert not is_let_in(credential("signature", SECRET + "x"), headers, signature)
    assert not is_let_in(credential("signature", ""), headers, signature)
    assert not is_let_in(expected, headers, None)
    for wrong in (value[:-1], value + "0", value.upper(), value + " ", f" {value}", value[:8]):
        assert not is_let_in(expected, {signature.header: wrong}, signature)


@pytest.mark.parametrize(
    ("signature", "value"),
    [
        pytest.param(SHA256, "sha1=" + mac("sha1"), id="weaker"),
        pytest.param(SHA256, "sha256=" + mac("sha1"), id="weaker_by_another_name"),
        pytest.param(SHA256, mac(), id="no_prefix"),
        pytest.param(SHA256, "sha512=" + mac("sha512"), id="unknown"),
        pytest.param(SHA256, "sha256=", id="prefix_only"),
        pytest.param(BARE, "sha256=" + mac(), id="prefix_unasked"),
        pytest.param(BARE, mac("sha1"), id="sha1_unasked"),
        pytest.param(SHA1, mac(), id="sha256_unasked"),
        pytest.param(EITHER, mac("sha1"), id="sha1_without_prefix"),
        pytest.param(EITHER, "sha1=" + mac(), id="sha256_as_sha1"),
        pytest.param(EITHER, SECRET, id="the_secret_itself"),
        pytest.param(BARE, "", id="empty"),
        pytest.param(BARE, mac(secret=""), id="signed_by_nothing"),
        pytest.param(BARE, "ä" * 64, id="not_ascii"),
        pytest.param(BARE, "\udcff" * 64, id="not_utf8"),
        pytest.param(BARE, "\ud800", id="surrogate"),
        pytest.param(BARE, "0" * 1_000_000, id="long"),
    ],
)
def test_forged(signature, value):
    assert not is_let_in(credential("signature"), {signature.header: value}, signature)


def test_github_and_gitea_are_not_let_in_by_each_others_header():
    """Gitea sends GitHub's headers along, but its own is the one that is looked at."""
    sources = webhook_sources()
    expected = credential("signature")
    assert not is_let_in(
        expected, {"x-hub-signature-256": "sha256=" + mac()}, sources["gitea"].signature
    )
    assert not is_let_in(expected, {"x-hub-signature": "sha1=" + mac("sha1")}, sources["github"].signature)  # fmt: skip


@pytest.mark.parametrize(
    ("expected", "headers", "path_token"),
    [
        pytest.param(credential("bearer"), {"authorization": f"Bearer {SECRET}"}, "", id="bearer"),
        pytest.param(credential("bearer"), {"authorization": f"bearer {SECRET}"}, "", id="lower"),
        pytest.param(credential("basic", username="ci"), basic(f"ci:{SECRET}"), "", id="basic"),
        pytest.param(credential("basic", "pä:ss", username=""), basic(":pä:ss"), "", id="umlaut"),
        pytest.param(
            credential("authorization", f"Token {SECRET}"),
            {"authorization": f"Token {SECRET}"},
            "",
            id="authorization",
        ),
        pytest.param(
            credential("header", header="X-Gitlab-Token"),
            {"x-gitlab-token": SECRET},
            "",
            id="header",
        ),
        pytest.param(credential("path"), {}, SECRET, id="path"),
        pytest.param(credential("path", "schlüssel"), {}, "schlüssel", id="path_not_ascii"),
    ],
)
def test_shown(expected, headers, path_token):
    assert is_let_in(expected, headers, path_token=path_token)
    assert not is_let_in(expected, {}, path_token="")
    assert not is_let_in(
        expected, {k: v[:-1] for k, v in headers.items()}, path_token=path_token[:-1]
    )
    assert not is_let_in(
        expected, {k: v + "x" for k, v in headers.items()}, path_token=path_token + "x"
    )
    assert not is_let_in(
        expected, dict.fromkeys(headers, "\udcff\ud800"), path_token="\udcff\ud800"
    )
    empty = Credential(kind=expected.kind, username=expected.username, header=expected.header)
    assert not is_let_in(empty, headers, path_token=path_token)
    assert not is_let_in(empty, dict.fromkeys(headers, ""), path_token="")


@pytest.mark.parametrize(
    ("expected", "headers"),
    [
        pytest.param(credential("bearer"), {"authorization": SECRET}, id="no_scheme"),
        pytest.param(credential("bearer"), {"authorization": f"Basic {SECRET}"}, id="other_scheme"),
        pytest.param(credential("bearer"), {"authorization": "Bearer"}, id="scheme_only"),
        pytest.param(credential("authorization"), {"authorization": f"Bearer {SECRET}"}, id="scheme"),
        pytest.param(credential("basic", username="ci"), basic(SECRET), id="no_user"),
        pytest.param(credential("basic", username="ci"), basic(f"root:{SECRET}"), id="other_user"),
        pytest.param(credential("basic", username="ci"), {"authorization": "Basic !"}, id="base64"),
        pytest.param(credential("basic", username="ci"), {"authorization": "Basic ä"}, id="ascii"),
        pytest.param(credential("header", header="x-a"), {"x-b": SECRET}, id="other_header"),
        pytest.param(credential("header", header=""), {}, id="no_header"),
        pytest.param(credential("path"), {"authorization": f"Bearer {SECRET}"}, id="not_in_path"),
        pytest.param(credential("oidc", audience="a", emails=frozenset({"e"})), {}, id="oidc_none"),
        pytest.param(credential("oidc"), {"authorization": f"Bearer {SECRET}"}, id="oidc_unconfigured"),
    ],
)  # fmt: skip
def test_not_shown(expected, headers):
    assert not is_let_in(expected, headers)


def test_none_must_be_said():
    assert is_let_in(Credential(kind=CredentialKind.NONE), {})
    for kind in set(CredentialKind) - {CredentialKind.NONE}:
        assert not is_let_in(Credential(kind=kind), {}, SHA256)


def test_a_secret_is_not_printed():
    assert SECRET not in repr(credential("bearer"))


def test_body_is_signed_byte_by_byte():
    body = bytes(range(256))
    headers = {BARE.header: hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()}
    assert is_let_in(credential("signature"), headers, BARE, body=body)
