"""The served OpenAPI document and the server agree, whatever is asked: no 5xx, no answer that is not described."""

from __future__ import annotations

import asyncio
import threading

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import load_all_checks, not_a_server_error
from schemathesis.specs.openapi import checks
from support.web.running import CLEAN, INDEX, endpoint, running

from scanner.ports import ScanRequest
from scanner.ports.webhook import CredentialKind
from scanner.web._openapi import document
from scanner.web.application import all_routes

load_all_checks()
_CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
    checks.unsupported_method,
]
_SETTINGS = settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


class Server:
    """A service with something in it, in a thread of its own."""

    def __init__(self, directory):
        self._directory = directory
        self._is_ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), daemon=True)

    async def _main(self):
        anybody = endpoint("registry", "distribution", CredentialKind.NONE)
        self._stop = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        async with running(self._directory, anybody) as service:
            await service.scan_sample()
            waiting = ScanRequest(
                registry="reg.example:5000", repository="a", digest=CLEAN, force=True
            )
            self.scan = (await service.store.enqueue(waiting, "f")).id
            self.url = str(service.client._base_url).rstrip("/")
            self.token = service.tokens["boss"]
            self._is_ready.set()
            await self._stop.wait()

    def __enter__(self):
        self._thread.start()
        assert self._is_ready.wait(20)
        return self

    def __exit__(self, *_error):
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(20)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with Server(tmp_path_factory.mktemp("served")) as found:
        yield found


SCHEMA = schemathesis.openapi.from_dict(document(all_routes()))
OPERATIONS = [found.ok() for found in SCHEMA.get_all_operations()]


def known(server, case):
    """Return the case with what exists in place of what was made up, which is hardly ever known."""
    values = {"digest": INDEX, "id": server.scan, "source": "registry", "protocol": "images"}
    for name in case.path_parameters or {}:
        case.path_parameters[name] = values.get(name, case.path_parameters[name])
    return case


@pytest.mark.parametrize("mode", GenerationMode, ids=lambda mode: mode.value)
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.label)
def test_conforms(operation, mode, server):
    headers = {"Authorization": f"Bearer {server.token}"}

    @given(case=operation.as_strategy(generation_mode=mode), is_known=st.booleans())
    @_SETTINGS
    def conforms(case, is_known):
        if is_known and mode is GenerationMode.POSITIVE:
            case = known(server, case)
        case.call_and_validate(base_url=server.url, headers=headers, checks=_CHECKS)

    try:
        conforms()
    except Unsatisfiable:
        assert mode is GenerationMode.NEGATIVE  # it takes nothing that could be wrong


def test_every_route_is_an_operation():
    assert len(OPERATIONS) == len(all_routes())
