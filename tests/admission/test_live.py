"""Each protocol against a real service over TLS, a real registry, and databases and registries that go away."""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import dataclass

import pytest
import requests
from support.admission_samples import asked, is_allowed, text
from support.certificates import Authority
from support.demo_images import demo_image
from support.postgres import start_postgresql
from support.registry import free_port, start_registry
from support.service import app_image
from support.serving import Serving, start_service

from scanner.discovery import admission_protocols

pytestmark = pytest.mark.real

PROTOCOLS = list(admission_protocols())
EACH = pytest.mark.parametrize("protocol", PROTOCOLS)
GOOD, BAD = app_image("good"), demo_image()
POLICY = """\
version: 1
name: live
require: {coverage: {action: ignore}}
rules:
  - {name: keys, action: deny, match: {rule: secret/private-key}}
scopes:
  - name: old
    match: {image: ["*/old"]}
    require: {scanned: {within_days: 0.00000001}}
waivers:
  - {rule: secret/private-key, reason: test key, owner: team, expires: 2026-01-01, scope: {image: ["*/waived"]}}
"""


@dataclass
class Live:
    service: Serving
    registry: object
    authority: Authority
    cluster: str
    nobody: str
    """A registry that is down."""

    def post(self, protocol, body, *, token=None, **more):
        url = self.service.url.replace("http://", "https://") + f"/v1/admission/{protocol}"
        token = self.cluster if token is None else token
        headers = {"Content-Type": "application/json"}
        headers |= {"Authorization": f"Bearer {token}"} if token else {}
        with requests.post(
            url, data=body, headers=headers, verify=str(self.authority.file), timeout=30, **more
        ) as response:
            return response.status_code, response.json()

    def ask(self, protocol, *images, **more):
        status, told = self.post(protocol, json.dumps(asked(protocol, *images)), **more)
        assert status == 200, told
        return told

    def push(self, image, name, tag="1"):
        """Push an image, and have it scanned."""
        self.registry.push(image, name, tag)
        return self.once_scanned(f"{self.registry.host}/{name}:{tag}")

    def once_scanned(self, image):
        until = time.monotonic() + 60
        while "not scanned" in text(self.ask("images", image)):
            assert time.monotonic() < until, self.service.log_text
            time.sleep(0.1)
        return image


@contextlib.contextmanager
def serving(directory, **settings):
    authority = Authority(directory / "tls")
    server = authority.sign("server")
    (directory / "policy.yaml").write_text(POLICY)
    (directory / "registry").mkdir()
    down = f"127.0.0.1:{free_port()}"
    with start_registry(directory / "registry") as registry:
        chosen = {
            "server_tls_certificate": server.certificate,
            "server_tls_key": server.key,
            "server_client_ca": authority.file,
            "server_client_names": "apiserver",
            "server_allowed_registries": f"{registry.host},{down}",
            "server_body_bytes": 100_000,
            "registry_insecure": f"{registry.host},{down}",
            "policy_file": directory / "policy.yaml",
            "admission_tag_seconds": 0.5,
        }
        with start_service(directory / "home", **(chosen | settings)) as service:
            made = service.run("token", "create", "cluster", "--scope", "admission")
            yield Live(service, registry, authority, made.stdout.strip(), down)


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("live")) as found:
        for name in ("good", "old"):
            found.push(GOOD, name)
        for name in ("bad", "waived"):
            found.push(BAD, name)
        yield found


@EACH
def test_allowed(protocol, live):
    for image in (f"{live.registry.host}/good:1", f"{live.registry.host}/good@{GOOD.digest}"):
        assert is_allowed(protocol, live.ask(protocol, image))


@EACH
def test_denied_with_reasons(protocol, live):
    told = live.ask(protocol, f"{live.registry.host}/good:1", f"{live.registry.host}/bad:1")
    assert not is_allowed(protocol, told)
    assert "keys: Private key (root/deploy.pem)" in text(told)


@EACH
def test_not_scanned_then_scanned_and_let_in(protocol, live):
    image = f"{live.registry.host}/new:{protocol}"
    live.registry.push(app_image(f"new-{protocol}"), "new", protocol)
    told = live.ask(protocol, image)
    assert not is_allowed(protocol, told)
    assert "not scanned: scan started, retry" in text(told)
    live.once_scanned(image)
    assert is_allowed(protocol, live.ask(protocol, image))


@EACH
def test_stale(protocol, live):
    told = live.ask(protocol, f"{live.registry.host}/old:1")
    assert not is_allowed(protocol, told)
    assert "scanned: scanned 0 hours ago" in text(told)


@EACH
def test_a_waiver_that_expired(protocol, live):
    told = live.ask(protocol, f"{live.registry.host}/waived:1")
    assert not is_allowed(protocol, told)
    assert "the waiver of team expired" in text(told)


@EACH
def test_a_tag_that_is_not_there(protocol, live):
    told = live.ask(protocol, f"{live.registry.host}/good:none")
    assert not is_allowed(protocol, told)
    assert "has no such tag" in text(told)


@EACH
def test_the_registry_is_down(protocol, live):
    told = live.ask(protocol, f"{live.nobody}/app:1")
    assert not is_allowed(protocol, told)
    assert "does not say where the tag leads" in text(told)


@EACH
def test_refused(protocol, live):
    wrong = json.dumps(asked(protocol, "a:1") | {"apiVersion": "admission.k8s.io/v1beta1"})
    bodies = {"too large": b" " * 100_001, "not JSON": b"{", "wrong apiVersion": wrong}
    for body in bodies.values():
        status, told = live.post(protocol, body)
        if protocol == "gatekeeper":
            assert (status, bool(told["response"]["systemError"])) == (200, True)
        elif protocol == "images":  # of which a field that it does not know is refused
            assert status == told["status"] in {400, 413}
        else:
            assert (told["kind"], told["status"]) == ("Status", "Failure")
            assert status == told["code"] in {400, 413}


@EACH
def test_by_a_client_certificate(protocol, live):
    good = live.authority.sign("apiserver")
    body = json.dumps(asked(protocol, f"{live.registry.host}/good@{GOOD.digest}"))
    pair = (str(good.certificate), str(good.key))
    status, told = live.post(protocol, body, token="", cert=pair)
    assert (status, is_allowed(protocol, told)) == (200, True)
    other = live.authority.sign("other")
    pair = (str(other.certificate), str(other.key))
    status, told = live.post(protocol, body, token="", cert=pair)
    assert status == 401 or told["response"]["systemError"]


def test_a_certificate_of_somebody_else(live, tmp_path):
    stranger = Authority(tmp_path).sign("apiserver")
    pair = (str(stranger.certificate), str(stranger.key))
    with pytest.raises(requests.exceptions.ConnectionError):
        live.post("kubernetes", b"{}", token="", cert=pair)


def test_what_was_told_is_written_down(live):
    live.ask("kubernetes", f"{live.registry.host}/bad:1")
    found = live.service.run("query", BAD.digest).stdout  # the same verdict without the cluster
    assert "deny by policy live" in found
    url = live.service.url.replace("http://", "https://") + f"/v1/decisions?digest={BAD.digest}"
    headers = {"Authorization": f"Bearer {live.service.token}"}
    until = time.monotonic() + 20
    items = []
    while not items and time.monotonic() < until:
        with requests.get(url, headers=headers, verify=str(live.authority.file), timeout=30) as got:
            items = got.json()["items"]
    assert {one["decision"] for one in items} == {"deny"}
    assert live.cluster not in live.service.log_text


def test_the_database_is_down(tmp_path):
    with contextlib.ExitStack() as database:
        postgresql = database.enter_context(start_postgresql())
        postgresql.execute("postgres", "CREATE DATABASE live")
        with serving(tmp_path, store_url=postgresql.url("live")) as live:
            image = live.push(GOOD, "good")
            assert is_allowed("kubernetes", live.ask("kubernetes", image))
            database.close()
            for protocol in PROTOCOLS:
                told = live.ask(protocol, image)
                assert not is_allowed(protocol, told)
                assert "database cannot be used just now" in text(told)
