"""docs/http-api.md names every endpoint, parameter and status, and each of its examples answers what it says."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from support.signing import sign_all
from support.web.running import INDEX, endpoint, running

from scanner.ports import ScanRequest
from scanner.ports.webhook import CredentialKind
from scanner.web._metrics import Metrics
from scanner.web.application import all_routes

PAGE = (Path(__file__).resolve().parents[2] / "docs/http-api.md").read_text()
SECTIONS = {
    m[1]: m[2]
    for m in re.finditer(r"^### (\S+ \S+)\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL)
}
EXAMPLES = [
    (m[1].strip(), m[2], m[3])
    for m in re.finditer(
        r"^```sh\n(curl .*?)^```\n\n```(json|text)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL
    )
]
SECRET = "s" * 24
ROUTES = [pytest.param(r, id=f"{r.method} {r.path}") for r in all_routes()]


@pytest.mark.parametrize("route", ROUTES)
def test_every_endpoint_has_its_parameters_and_statuses(route):
    text = SECTIONS[f"{route.method} {route.path}"]
    names = [f.encode_name for f in msgspec.structs.fields(route.parameters)]
    assert [n for n in names if not re.search(rf"`{n}`", text)] == []
    odd = {s for s in (*route.answers, *route.problems) if s not in {200, 304}}
    assert [s for s in odd if str(s) not in text and s != 404] == []
    assert "```sh\ncurl" in text


def test_no_endpoint_is_made_up():
    assert set(SECTIONS) == {f"{r.method} {r.path}" for r in all_routes()}


def test_every_metric():
    names = {m.name for m in Metrics().registry.collect()}
    assert [n for n in names if not re.search(rf"`{n}(?:_total)?`", PAGE)] == []


def request_of(command, variables):
    """Return method, URL, headers and body of a curl command."""
    for name, value in variables.items():
        command = command.replace(f"${name}", value)
    _, *words = shlex.split(command)
    method, url, headers, body, form, is_query = "", "", {}, None, [], False
    while words:
        match words.pop(0):
            case "-X":
                method = words.pop(0)
            case "-H":
                name, _, value = words.pop(0).partition(": ")
                headers[name] = value
            case "-d":
                body = words.pop(0)
            case "--data-urlencode":
                form.append(words.pop(0).partition("=")[::2])
            case "-G":
                is_query = True
            case "-N":
                pass
            case word:
                assert word.startswith("http"), word
                url = word
    assert bool(form) == is_query
    return method or ("POST" if body else "GET"), url, headers, body, form


def fits(shown, got):
    """Whether an answer is what is shown; ``…`` is anything, and as a name any further ones."""
    if isinstance(shown, dict):
        names = set(shown) - {"…"}
        is_whole = isinstance(got, dict) and (names == set(got) or "…" in shown)
        return is_whole and all(n in got and fits(shown[n], got[n]) for n in names)
    if isinstance(shown, list):
        return isinstance(got, list) and len(shown) == len(got) and all(map(fits, shown, got))
    if shown == "…":
        return True
    if isinstance(shown, str) and "…" in shown:
        return isinstance(got, str) and re.fullmatch(pattern(shown), got)
    return shown == got and type(shown) is type(got)


def pattern(text):
    return ".*".join(map(re.escape, text.split("…")))


async def answers(directory):
    """Run every example, in the page's order, and return (command, kind, shown, status, body)."""
    senders = (
        endpoint("registry", "distribution", secret=SECRET),
        endpoint("hub", "docker-hub", CredentialKind.PATH, secret=SECRET, host="docker.io"),
        endpoint("events", "cloudevents", secret=SECRET),
    )
    found = []
    async with running(directory, *senders) as service:
        scan = await service.scan_sample()
        await sign_all(service.store, valid=timedelta(days=36_500))  # the sample is of 2025
        for check in await service.store.tag_checks():
            await service.store.record_tag(check, INDEX)
        wanted = ScanRequest(registry="reg.example:5000", repository="team/third", tag="3")
        waiting = await service.store.enqueue(wanted, "f")
        variables = {
            "SCANNER_TOKEN": service.tokens["asker"],
            "ADMIN_TOKEN": service.tokens["boss"],
            "CLUSTER_TOKEN": service.tokens["cluster"],
            "SCANNER": str(service.client._base_url).rstrip("/"),
            "SCAN": scan,
            "WAITING": waiting.id,
            "WEBHOOK_SECRET": SECRET,
        }
        for command, kind, shown in EXAMPLES:
            method, url, headers, body, form = request_of(command, variables)
            async with service.client.request(
                method, url, headers=headers, data=body, params=form
            ) as response:
                found.append((command, kind, shown, response.status, await response.text()))
            await service.client_is_done()
    return found


def test_every_example_answers_what_it_says(tmp_path):
    for command, kind, shown, status, body in asyncio.run(answers(tmp_path)):
        assert (status < 400) != ("sha256:9999" in command and "-d" not in command), (command, body)
        if kind == "json":
            assert fits(json.loads(shown), json.loads(body)), (command, body)
            continue
        for line in shown.splitlines():
            assert re.search(pattern(line), body), (command, body[:500])


def test_every_endpoint_has_an_example_that_was_run():
    assert len(EXAMPLES) > len(all_routes())
