"""The service as it runs: what nobody told of is found, and a tag that was told of is asked for."""

from __future__ import annotations

import pytest
import requests
from support.registry import start_registry
from support.service import app_image
from support.serving import start_both, start_service, until

pytestmark = pytest.mark.real

ONE, TWO = app_image("one"), app_image("two")


def state_of(service, digest):
    return answer(service, f"/v1/images/{digest}").get("state", "unknown")


def leads_to(service, reference):
    items = answer(service, f"/v1/tags?reference={reference}").get("items", ())
    return items[0]["digest"] if items else ""


def answer(service, path):
    headers = {"Authorization": f"Bearer {service.token}"}
    with requests.get(service.url + path, headers=headers, timeout=30) as response:
        assert response.status_code in {200, 404}, response.text
        return response.json()


def test_reconcile_finds_what_was_there_before(tmp_path):
    directory = tmp_path / "registry"
    directory.mkdir()
    with start_registry(directory) as registry:
        registry.push(ONE, "team/app", "1")
        registry.push(TWO, "team/other", "1")
        settings = {
            "registry_insecure": registry.host,
            "server_reconcile": f"{registry.host}/team/app",
            "server_reconcile_seconds": 0.2,
        }
        with start_service(tmp_path / "home", **settings) as service:
            # It is the only registry that may be asked, because it is to be walked.
            until(lambda: state_of(service, ONE.digest) == "complete", service)
            assert leads_to(service, f"{registry.host}/team/app:1") == ONE.digest
            assert state_of(service, TWO.digest) == "unknown"


def test_a_tag_that_moves_is_followed(tmp_path):
    with start_both(tmp_path) as (service, registry):
        tag = f"{registry.host}/team/app:latest"
        for one in (ONE, TWO, ONE):
            registry.push(one, "team/app", "latest")
            until(lambda one=one: state_of(service, one.digest) == "complete", service)
            until(lambda one=one: leads_to(service, tag) == one.digest, service)
        answered = answer(service, f"/v1/tags?reference={tag}")
        assert [item["digest"] for item in answered["items"]] == [
            ONE.digest, TWO.digest, ONE.digest
        ]  # fmt: skip
