"""What asks a server while it is away for a moment, and over TLS."""

from __future__ import annotations

import datetime as dt
import ipaddress
import random
import signal
import subprocess

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from support.image_builder import Entry, image
from support.scanning import command, environment, layer
from support.serving import run_command, start_both, start_service, until

pytestmark = pytest.mark.real


def have_asked(service):
    """Return whether both commands have begun: the measures and the queue tell."""
    headers = {"Authorization": f"Bearer {service.token}"}
    with requests.get(f"{service.url}/metrics", headers=headers, timeout=30) as response:
        is_queried = 'route="/v1/images/{digest}"' in response.text
    scans = service.get("/v1/scans")["items"]
    return is_queried and any(s["requested_by"].startswith("token/") for s in scans)


def test_who_waits_goes_on_waiting_while_the_server_is_away(tmp_path):
    noise = random.Random(7)
    pushed = image([layer(*(Entry(f"f{n}", noise.randbytes(4_000_000)) for n in range(12)))])
    with start_both(tmp_path, queue_lease_seconds=1) as (service, registry):
        waiting = [
            subprocess.Popen(
                command(
                    *words, "--server", service.url, "--quiet" if words[0] == "scan" else "--wait"
                ),
                env=environment(service.home) | {"SCANNER_TOKEN": service.token},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                text=True,
            )
            for words in (("query", pushed.digest), ("scan", f"{registry.host}/slow:1"))
            if registry.push(pushed, "slow", "1")
        ]
        until(lambda: any(line["event"] == "scan begins" for line in service.log), service)
        until(lambda: have_asked(service))
        service.stop(signal.SIGKILL)
        with start_service(service.home, **service.settings):
            told = [process.communicate(timeout=90)[0] for process in waiting]
        assert [process.returncode for process in waiting] == [0, 0]
        assert pushed.digest in told[0]
        assert "complete: " in told[1]


@pytest.fixture
def tls(tmp_path):
    """Return the files of a certificate for 127.0.0.1, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "scanner")])
    now = dt.datetime.now(dt.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    files = tmp_path / "tls.crt", tmp_path / "tls.key"
    files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    kinds = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    files[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, *kinds))
    return files


def test_tls(tmp_path, tls):
    home = tmp_path / "home"
    settings = {"server_tls_certificate": tls[0], "server_tls_key": tls[1]}
    with start_service(home, "--workers=0", **settings) as service:
        assert (home / "serve.out").read_text().startswith("listening on https://127.0.0.1:")
        assert service.run("health").code == 0
        url = service.url.replace("http:", "https:")
        ask = ("query", f"sha256:{'0' * 64}", "--server", url)
        trusted = run_command(home, {"client_ca_file": tls[0]}, *ask, SCANNER_TOKEN=service.token)
        assert trusted.code == 5
        refused = run_command(home, {}, *ask, SCANNER_TOKEN=service.token)
        assert (refused.code, "client.ca_file" in refused.stderr) == (4, True)
        missing = run_command(home, {"client_ca_file": "missing"}, *ask)
        assert missing.code == 2


def test_where_the_token_comes_from(tmp_path):
    with start_service(tmp_path, "--workers=0") as service:
        ask = ("query", f"sha256:{'0' * 64}")
        file = tmp_path / "token"
        file.write_text(f"{service.token}\n")
        by_file = {"client_url": service.url, "client_token_file": file}
        assert run_command(tmp_path, by_file, *ask).code == 5
        by_setting = {"client_url": service.url, "client_token": service.token}
        assert run_command(tmp_path, by_setting, *ask).code == 5
        assert run_command(tmp_path, by_setting, *ask, SCANNER_TOKEN="scn_wrong").code == 4
        shown = run_command(tmp_path, by_setting, "settings").stdout
        assert "client.token = (set)" in shown
        assert service.token not in shown
        file.write_text(" ")
        assert run_command(tmp_path, by_file, *ask).code == 2


def test_a_server_over_http_that_is_not_this_machine(tmp_path):
    done = run_command(
        tmp_path, {}, "query", f"sha256:{'0' * 64}", "--server", "http://scanner.example"
    )
    assert (done.code, "client.insecure" in done.stderr) == (2, True)
