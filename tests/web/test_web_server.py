"""The process around the application: address, TLS that is renewed, workers, and an orderly end."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import os
import ssl
import sys

import pytest
from aiohttp import ClientSession
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from support.web.running import context_of

from scanner.errors import SettingsError
from scanner.web._metrics import Metrics
from scanner.web._tls import keep_fresh, tls_context
from scanner.web._workers import Workers
from scanner.web.server import ServerOptions, parse_listen, serve


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("127.0.0.1:8080", ("127.0.0.1", 8080)),
        ("[::1]:0", ("::1", 0)),
        ("localhost:65535", ("localhost", 65535)),
    ],
)
def test_listen(text, want):
    assert parse_listen(text) == want


@pytest.mark.parametrize(
    "text", ["", "8080", ":8080", "::1:80", "h:", "h:x", "h:65536", "h:-1", "h:²"]
)
def test_wrong_listen(text):
    with pytest.raises(SettingsError, match="host:port"):
        parse_listen(text)


def write_pair(directory, name):
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + dt.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    files = directory / "tls.crt", directory / "tls.key"
    files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return files


async def name_shown(port):
    """Return the subject's name of the certificate that a new connection is shown."""
    client = ssl.create_default_context()
    client.check_hostname = False
    client.verify_mode = ssl.CERT_NONE
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client)
    shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return x509.load_der_x509_certificate(shown).subject.rfc4514_string()


async def until(check):
    async with asyncio.timeout(20):
        while not await check():  # noqa: ASYNC110 - what is awaited happens in another process
            await asyncio.sleep(0.02)


def test_renewed_certificates_are_taken_and_bad_ones_are_not(tmp_path):
    files = write_pair(tmp_path, "first")

    async def main():
        context = tls_context(*files)
        server = await asyncio.start_server(lambda _r, w: w.close(), "127.0.0.1", 0, ssl=context)
        port = server.sockets[0].getsockname()[1]
        task = asyncio.create_task(keep_fresh(context, *files, check_seconds=0.02))
        seen = [await name_shown(port)]
        await asyncio.sleep(0.1)
        files[0].write_text("not a certificate")
        await asyncio.sleep(0.2)
        seen.append(await name_shown(port))
        write_pair(tmp_path, "second")

        async def is_second():
            return await name_shown(port) == "CN=second"

        await until(is_second)
        task.cancel()
        server.close()
        await server.wait_closed()
        return seen

    assert asyncio.run(main()) == ["CN=first", "CN=first"]


def test_wrong_tls_files(tmp_path):
    certificate, key = write_pair(tmp_path, "x")
    with pytest.raises(SettingsError, match="tls_certificate"):
        tls_context(certificate, tmp_path / "missing")
    key.write_text("nothing")
    with pytest.raises(SettingsError, match="tls_certificate"):
        tls_context(certificate, key)


def value(metrics, name):
    return metrics.registry.get_sample_value(name)


def test_a_dead_worker_is_replaced_and_all_end_on_stop():
    metrics = Metrics()

    async def main():
        workers = Workers([sys.executable, "-c", "pass"], 1, metrics)
        workers.start()

        async def was_replaced():
            return value(metrics, "scanner_worker_starts_total") >= 2

        await until(was_replaced)
        await workers.stop(grace_seconds=5)

    asyncio.run(main())
    assert value(metrics, "scanner_workers") == 0


def test_workers_give_way_to_the_service(tmp_path):
    written = tmp_path / "nice"
    tell = f"import os,pathlib;pathlib.Path({str(written)!r}).write_text(str(os.nice(0)))"

    async def main():
        workers = Workers([sys.executable, "-c", tell], 1, Metrics())
        workers.start()

        async def was_told():
            return written.exists() and written.read_text()

        await until(was_told)
        await workers.stop(grace_seconds=5)

    asyncio.run(main())
    assert int(written.read_text()) == min(os.nice(0) + 5, 19)


def test_a_worker_that_does_not_finish_is_ended():
    stubborn = "import signal,time;signal.signal(signal.SIGTERM,signal.SIG_IGN);time.sleep(60)"
    metrics = Metrics()

    async def main():
        workers = Workers([sys.executable, "-c", stubborn], 2, metrics)
        workers.start()

        async def all_run():
            return value(metrics, "scanner_workers") == 2

        await until(all_run)
        await asyncio.sleep(0.3)
        await workers.stop(grace_seconds=0.2)

    asyncio.run(main())
    assert value(metrics, "scanner_workers") == 0


def test_serving_ends_when_told():
    context = context_of()

    async def main():
        stop = asyncio.Event()
        port = asyncio.get_running_loop().create_future()
        options = ServerOptions(host="127.0.0.1", port=0, drain_seconds=2)
        task = asyncio.create_task(serve(context, options, stop=stop, on_listening=port.set_result))
        url = f"http://127.0.0.1:{await port}/healthz"
        async with ClientSession() as client, client.get(url) as response:
            status = response.status
        stop.set()
        await task
        return status

    assert asyncio.run(main()) == 200
    assert context.liveness.draining


def test_an_address_in_use_is_a_wrong_setting():
    async def main():
        server = await asyncio.start_server(lambda _r, w: w.close(), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        try:
            await serve(
                context_of(), ServerOptions(host="127.0.0.1", port=port), stop=asyncio.Event()
            )
        finally:
            server.close()
            await server.wait_closed()

    with pytest.raises(SettingsError, match=r"server\.listen"):
        asyncio.run(main())
