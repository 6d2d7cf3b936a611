"""The same service on PostgreSQL: two of them and a worker on one database, and a scan that shares it."""

from __future__ import annotations

import pytest
from support.image_builder import image
from support.scanning import OS_RELEASE, dpkg_status, layer, names, python_package, scan_json
from support.serving import run_command, start_both, start_service

pytestmark = pytest.mark.real

BASE = layer(OS_RELEASE, dpkg_status("base"))
APP = image([BASE, layer(*python_package("one"))], {"User": "1"})
OTHER = image([BASE, layer(*python_package("two"))], {"User": "1"})


def test_one_database_for_all(tmp_path, postgresql_url):
    with (
        start_both(tmp_path / "a", "--workers=1", store_url=postgresql_url) as (service, registry),
        start_service(tmp_path / "b", "--workers=0", store_url=postgresql_url) as second,
    ):
        registry.push(APP, "app", "1")
        for one in (service, second):
            done = one.ask(APP.digest, "--wait=60", "--format=json")
            assert (done.code, names(done.image)) == (0, {"base", "one"})
        reference = registry.push(OTHER, "other", "1")
        assert second.ask(OTHER.digest, "--wait=60").code == 0
        here = scan_json(
            tmp_path / "c", reference, store_url=postgresql_url, registry_insecure=registry.host
        )
        assert here.code == 0
        assert all(one["cached"] for one in here.image["layers"])
        assert service.stop() == 0
        password = postgresql_url.partition("://")[2].partition("@")[0].partition(":")[2]
        assert password not in service.log_text + second.log_text


def test_commands_on_it(tmp_path, postgresql_url):
    settings = {"store_url": postgresql_url}
    migrated = run_command(tmp_path, settings, "db", "migrate")
    assert migrated.stdout.endswith(": up to date\n")
    assert postgresql_url not in migrated.stdout
    saved = run_command(tmp_path, settings, "db", "backup", tmp_path / "x")
    assert (saved.code, "pg_dump" in saved.stderr) == (4, True)
    assert run_command(tmp_path, settings, "db", "collect").code == 0
    assert run_command(tmp_path, settings, "token", "list").stdout == ""
