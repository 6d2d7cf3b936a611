"""How the service begins, and how it and its workers end, whoever ends them."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time

import pytest
from support.image_builder import Entry, image
from support.registry import free_port
from support.scanning import OS_RELEASE, command, dpkg_status, environment, layer
from support.serving import is_alive, run_command, start_both, start_service, until

pytestmark = pytest.mark.real

SMALL = image([layer(OS_RELEASE, dpkg_status("base"))], {"User": "1"})


def slow_image(seed):
    """Return an image that takes a second or so to look at."""
    noise = random.Random(seed)
    return image([layer(*(Entry(f"f{n}", noise.randbytes(4_000_000)) for n in range(12)))])


def serve(home, *arguments, **settings):
    return run_command(home, settings, "serve", *arguments)


def test_it_tells_where_it_listens_and_drains(tmp_path):
    with start_both(tmp_path) as (service, registry):
        registry.push(slow_image(1), "slow", "1")
        until(lambda: any(line["event"] == "scan begins" for line in service.log), service)
        assert service.stop(signal.SIGTERM) == 0
        assert (service.home / "serve.out").read_text() == f"listening on {service.url}\n"
        events = [line["event"] for line in service.log]
        assert events[-1] == "stopped"
        assert "scan finished" in events
        assert [pid for pid in service.worker_pids if is_alive(pid)] == []


def test_a_scan_that_does_not_finish_in_time_is_given_back(tmp_path):
    with start_both(tmp_path, server_drain_seconds=1.5, queue_lease_seconds=4) as (
        service,
        registry,
    ):
        pushed = slow_image(2)
        registry.push(pushed, "slow", "1")
        until(lambda: any(line["event"] == "scan begins" for line in service.log), service)
        assert service.stop() == 0
        assert [pid for pid in service.worker_pids if is_alive(pid)] == []
        with start_service(service.home, **service.settings) as again:
            assert again.ask(pushed.digest, "--wait=60").code in {0, 3}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_without_work_it_ends_soon(tmp_path, number):
    with start_service(tmp_path) as service:
        assert service.stop(number) == 0


def test_killed_it_leaves_no_worker_and_loses_nothing(tmp_path):
    settings = {"queue_lease_seconds": 1}
    with start_both(tmp_path, "--workers=2", **settings) as (service, registry):
        until(lambda: len(service.worker_pids) == 2, service)
        pushed = slow_image(3)
        registry.push(pushed, "slow", "1")
        until(lambda: any(line["event"] == "scan begins" for line in service.log), service)
        service.stop(signal.SIGKILL)
        until(lambda: not any(is_alive(pid) for pid in service.worker_pids))
        with start_service(service.home, **service.settings) as again:
            assert again.ask(pushed.digest, "--wait=60").code == 0


def test_a_killed_worker_is_replaced_and_its_scan_done(tmp_path):
    with start_both(tmp_path, queue_lease_seconds=1) as (service, registry):
        until(lambda: service.worker_pids, service)
        pushed = slow_image(4)
        registry.push(pushed, "slow", "1")
        until(lambda: any(line["event"] == "scan begins" for line in service.log), service)
        os.kill(service.worker_pids[0], signal.SIGKILL)
        assert service.ask(pushed.digest, "--wait=60").code == 0
        assert len(service.worker_pids) == 2


def test_no_workers_of_its_own(tmp_path):
    with start_both(tmp_path, "--workers=0") as (service, registry):
        registry.push(SMALL, "x", "1")
        until(lambda: service.ask(SMALL.digest).stdout.endswith("queued: waits to be scanned\n"))
        worker = subprocess.Popen(
            command("worker"), env=environment(service.home, **service.settings), cwd=service.home,
            stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            assert service.ask(SMALL.digest, "--wait=60").code == 0
            worker.terminate()
            assert worker.wait(timeout=30) == 0
        finally:
            worker.kill()
            worker.wait()


def test_beyond_this_machine_only_with_a_token(tmp_path):
    where = f"0.0.0.0:{free_port()}"
    refused = serve(tmp_path, "--listen", where)
    assert (refused.code, refused.stdout) == (2, "")
    assert "scanner token create" in refused.stderr
    opened = serve(tmp_path, "--listen", where, server_open="true")
    assert opened.code == 2
    assert "server.open" in opened.stderr
    made = run_command(tmp_path, {}, "token", "create", "x", "--scope", "read")
    token_id = made.stderr.split()[1]
    with start_service(
        tmp_path, server_listen=where, port=int(where.rpartition(":")[2])
    ) as service:
        assert (service.home / "serve.out").read_text().startswith("listening on http://0.0.0.0:")
    assert run_command(tmp_path, {}, "token", "revoke", token_id).code == 0
    for line in run_command(tmp_path, {}, "token", "list").stdout.splitlines():
        run_command(tmp_path, {}, "token", "revoke", line.split()[0])
    assert serve(tmp_path, "--listen", where).code == 2


WRONG = {
    "listen": ({"server_listen": "8080"}, "server.listen"),
    "one_tls_file": ({"server_tls_key": "x"}, "server.tls_key"),
    "tls_files": ({"server_tls_key": "x", "server_tls_certificate": "y"}, "tls_certificate"),
    "dialect": ({"webhooks_x_secret": "x"}, "webhooks.x.dialect"),
    "no_secret": ({"webhooks_harbor_auth": "authorization"}, "webhooks.harbor.secret"),
    "not_signed": (
        {"webhooks_harbor_auth": "signature", "webhooks_harbor_secret": "x"},
        "webhooks.harbor.auth",
    ),
    "no_header": (
        {"webhooks_azure_auth": "header", "webhooks_azure_secret": "x"},
        "webhooks.azure.header",
    ),
    "no_audience": ({"webhooks_google_auth": "oidc"}, "webhooks.google.audience"),
    "no_secret_file": ({"webhooks_quay_secret_file": "missing"}, "webhooks.quay.secret_file"),
    "one_password_for_all": (
        {"registry_username": "u", "server_allowed_registries": "a.example,b.example"},
        "registry.docker_config",
    ),
    "one_password_for_any": (
        {"registry_username": "u", "server_allowed_registries": "*.example"},
        "registry.docker_config",
    ),
    "reconcile": ({"server_reconcile": "a b"}, "server.reconcile"),
}


@pytest.mark.parametrize(("settings", "reason"), WRONG.values(), ids=WRONG.keys())
def test_wrong_settings_end_it_before_it_serves(tmp_path, settings, reason):
    done = serve(tmp_path, **{"server_listen": f"127.0.0.1:{free_port()}"} | settings)
    assert (done.code, done.stdout) == (2, "")
    assert reason in done.stderr


def test_a_port_that_is_taken(tmp_path):
    with start_service(tmp_path) as service:
        done = serve(tmp_path, "--listen", service.url.removeprefix("http://"))
    assert done.code == 2
    assert "in use" in done.stderr


def test_health(tmp_path):
    with start_service(tmp_path) as service:
        assert service.run("health").code == 0
        assert service.run("health", "--ready").code == 0
    ended = service.run("health")
    assert (ended.code, ended.stdout) == (4, "")
    assert "refused" in ended.stderr


def test_open_to_programs_of_this_machine_while_there_is_no_token(tmp_path):
    port = free_port()
    process = subprocess.Popen(
        command("serve", "--workers=0", "--listen", f"127.0.0.1:{port}"),
        env=environment(tmp_path, server_open="true"), cwd=tmp_path,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        with process.stdout:
            assert process.stdout.readline().startswith(b"listening")
            ask = ("query", SMALL.digest, "--server", f"http://127.0.0.1:{port}")
            assert run_command(tmp_path, {}, *ask).code == 5
            run_command(tmp_path, {}, "token", "create", "x", "--scope", "read")
            time.sleep(0.1)
            assert run_command(tmp_path, {}, *ask).code == 4
    finally:
        process.kill()
        process.wait()
