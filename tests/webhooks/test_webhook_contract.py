"""What every webhook source promises, checked for each that discovery finds; a new one is covered by itself."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.webhook_samples import DIGEST, MANIFEST

from scanner.discovery import webhook_sources
from scanner.errors import InputError
from scanner.model import parse_reference
from scanner.ports.webhook import Reply

SOURCES = webhook_sources()
PAGE = Path(__file__).resolve().parents[2] / "docs/webhooks.md"
HEADERS = {
    "none": {},
    "json": {"content-type": "application/json"},
    "form": {"content-type": "application/x-www-form-urlencoded", "x-github-event": "package", "x-gitea-event": "package"},
    "package": {"content-type": "application/json", "x-github-event": "package", "x-gitea-event": "package"},
    "registry_package": {"x-github-event": "registry_package", "x-gitea-event": "package"},
    "structured": {"content-type": "application/cloudevents+json"},
    "batched": {"content-type": "application/cloudevents-batch+json"},
    "binary": {
        "ce-specversion": "1.0",
        "ce-type": "zotregistry.image.updated",
        "ce-id": "1",
        "ce-subject": "%ff%zz%",
    },
    "validation": {"aeg-event-type": "SubscriptionValidation"},
    "strange": {
        "content-type": "\udcff\x00;;;",
        "x-github-event": "\ud800",
        "x-gitea-event": "\ud800",
        "ce-specversion": "1.\udcff",
        "webhook-request-origin": "\udcff\r\n",
    },
}  # fmt: skip
HOSTILE = {
    "empty": b"",
    "blank": b" " * 100_000,
    "nul": bytes(4_096),
    "every_byte": bytes(range(256)),
    "not_utf8": b'{"action":"\xff"}',
    "utf16": '{"a":1}'.encode("utf-16"),
    "byte_order_mark": b"\xef\xbb\xbf{}",
    "null": b"null",
    "true": b"true",
    "number": b"7",
    "text": b'"x"',
    "list": b"[]",
    "lists": b"[[],[[]]]",
    "table": b"{}",
    "tables": b"[{},{}]",
    "truncated": b'{"events":[{"action":"push"',
    "two_documents": b"{}{}",
    "nan": b'{"action":NaN}',
    "huge_number": b'{"id":' + b"9" * 10_000 + b"}",
    "huge_exponent": b'{"id":1e99999}',
    "surrogate": b'{"action":"\\ud800"}',
    "open_brackets": b"[" * 1_000_000,
    "open_braces": b'{"a":' * 200_000,
    "nested_events": b'{"events":' + b"[" * 500_000,
    "nested_payload": b"payload=" + b"%5B" * 300_000,
    "many_events": b'{"events":[' + b"7," * 500_000 + b"7]}",
    "many_tables": b"[" + b"{}," * 300_000 + b"{}]",
    "many_keys": json.dumps({str(n): n for n in range(50_000)}).encode(),
    "long_text": b'{"action":"' + b"a" * 1_000_000 + b'"}',
    "many_fields": b"a=1&" * 250_000,
    "many_percents": b"payload=" + b"%" * 1_000_000,
}
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from([DIGEST, MANIFEST, "push", "docker", "a/b", "1.2"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


def keys_of(source) -> list[str]:
    """The strings of the source's module and what it shares: the keys and values it looks for."""
    paths = [Path(importlib.import_module(module_of(source)).__file__)]
    paths += paths[0].parent.glob("_*.py")
    return sorted({t for p in paths for t in re.findall(r'"([A-Za-z_-]{2,40})"', p.read_text())})


def module_of(source) -> str:
    return f"scanner.webhooks.{source.name.replace('-', '_')}"


def check(source, headers, body):
    """Parse twice: the same pushes, each a reference, or an InputError and nothing else."""
    found, message = [], ""
    try:
        found = source.parse(headers, body)
    except InputError as error:
        message = f"{error} "
    assert len(message) < 400
    assert message.isprintable()
    if message:
        return
    assert source.parse(headers, body) == found
    for one in found:
        assert one.tag or one.digest
        reference = f"{one.host or 'host.example'}/{one.repository}"
        reference += f":{one.tag}" if one.tag else ""
        reference += f"@{one.digest}" if one.digest else ""
        assert str(parse_reference(reference)) == reference


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_only_input_errors(source, name):
    for headers in HEADERS.values():
        check(source, headers, HOSTILE[name])
        reply = source.reply(headers, HOSTILE[name])
        assert reply is None or isinstance(reply, Reply)


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_only_input_errors_of_any_document(source):
    values = st.sampled_from(keys_of(source)) | _VALUES
    tables = st.dictionaries(st.sampled_from(keys_of(source)), values, max_size=6)
    nested = st.dictionaries(st.sampled_from(keys_of(source)), tables | values | st.lists(tables, max_size=2), max_size=6)  # fmt: skip

    @settings(max_examples=150, deadline=None, derandomize=True, database=None)
    @given(
        document=nested | st.lists(nested, max_size=2),
        headers=st.sampled_from(list(HEADERS.values())),
    )
    def run(document, headers):
        body = json.dumps(document).encode()
        check(source, headers, body)
        source.reply(headers, body)

    run()


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_says_what_it_is(source):
    module = importlib.import_module(module_of(source))
    assert re.search(r"^Source: https://", module.__doc__, re.MULTILINE)
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", source.name)
    assert source.documentation.startswith("https://")
    assert source.summary
    if source.signature:
        assert source.signature.header == source.signature.header.lower()
        prefixes = [prefix for prefix, _ in source.signature.forms]
        assert prefixes == sorted(prefixes, key=len, reverse=True)


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_is_in_the_page(source):
    assert f"/v1/webhooks/{source.name}" in PAGE.read_text()


def test_all_are_there():
    assert set(SOURCES) >= {
        "aws", "azure", "cloudevents", "distribution", "docker-hub", "gitea", "github", "google",
        "harbor", "jfrog", "nexus", "quay", "zot",
    }  # fmt: skip
