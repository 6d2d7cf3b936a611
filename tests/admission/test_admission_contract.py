"""What every admission protocol promises, checked for each that discovery finds; a new one is covered by itself."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.admission_samples import UID, VERSIONS, asked, is_allowed, text

from scanner.admission._read import IMAGES_COUNT
from scanner.discovery import admission_protocols
from scanner.errors import InputError
from scanner.model import Decision
from scanner.ports.admission import Cause, JudgedImage, Question, Refused, Ruling

PROTOCOLS = admission_protocols()
ALL = pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS)
PAGE = Path(__file__).resolve().parents[2] / "docs/admission.md"
DIGEST = "sha256:" + "ab" * 32
HOSTILE = {
    "empty": b"",
    "nul": bytes(4_096),
    "not_utf8": b'{"kind":"\xff"}',
    "utf16": '{"a":1}'.encode("utf-16"),
    "byte_order_mark": b"\xef\xbb\xbf{}",
    "null": b"null",
    "list": b"[]",
    "table": b"{}",
    "truncated": b'{"kind":"AdmissionReview"',
    "two_documents": b"{}{}",
    "nan": b'{"kind":NaN}',
    "huge_number": b'{"request":' + b"9" * 10_000 + b"}",
    "surrogate": b'{"kind":"\\ud800"}',
    "control": b'{"kind":"\\u001b[31m"}',
    "open_brackets": b"[" * 1_000_000,
    "open_braces": b'{"request":' * 200_000,
    "long_text": b'{"kind":"' + b"a" * 1_000_000 + b'"}',
}
NASTY = "evil\x1b]0;owned\x07\u202e\r\n" + "x" * 5_000


@pytest.mark.parametrize("name", HOSTILE)
@ALL
def test_only_input_errors(protocol, name):
    with pytest.raises(InputError) as caught:
        protocol.parse(HOSTILE[name])
    assert len(str(caught.value)) < 400
    assert str(caught.value).isprintable()


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.just("a/b:1"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["spec", "template", "containers", "image", "volumes", "metadata", "keys"]),
        inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@ALL
def test_only_input_errors_of_any_document(protocol):
    sample = asked(protocol.name, "a/b:1")
    places = [(key,) for key in sample]
    places += [(k, inner) for k, v in sample.items() if isinstance(v, dict) for inner in v]

    @settings(max_examples=150, deadline=None, derandomize=True, database=None)
    @given(place=st.sampled_from(places), value=_VALUES)
    def run(place, value):
        document = json.loads(json.dumps(sample))
        inner = document
        for key in place[:-1]:
            inner = inner[key]
        inner[place[-1]] = value
        try:
            question = protocol.parse(json.dumps(document).encode())
        except InputError:
            return
        assert all(isinstance(image, str) for image in question.images)
        protocol.answer(question, Ruling(decision=Decision.ALLOW))

    run()


def ask(protocol, *images):
    return protocol.parse(json.dumps(asked(protocol.name, *images)).encode())


@ALL
def test_each_image_once_in_order(protocol):
    assert ask(protocol, "b:1", "a:1", "b:1").images == ("b:1", "a:1")


@ALL
def test_too_many_images(protocol):
    with pytest.raises(InputError, match="images_count"):
        ask(protocol, *(f"a:{n}" for n in range(IMAGES_COUNT + 1)))


@pytest.mark.parametrize("name", VERSIONS)
@pytest.mark.parametrize("field", ["apiVersion", "kind"])
def test_another_version(name, field):
    body = asked(name, "a:1") | {field: "admission.k8s.io/v1beta1"}
    with pytest.raises(InputError, match="expected"):
        PROTOCOLS[name].parse(json.dumps(body).encode())


def told(protocol, question, ruling):
    reply = protocol.answer(question, ruling)
    assert (reply.status, reply.media_type) == (200, "application/json")
    return json.loads(reply.body)


JUDGED = JudgedImage(image="a:1", digest=DIGEST, decision=Decision.ALLOW)


def ruling(decision, *reasons, **more):
    judged = JudgedImage(
        image="a:1", digest=DIGEST, decision=decision, reasons=reasons, reasons_count=len(reasons)
    )
    return Ruling(decision=decision, images=(judged,), policy_digest=DIGEST, **more)


@ALL
def test_allowed(protocol):
    assert is_allowed(protocol.name, told(protocol, ask(protocol, "a:1"), ruling(Decision.ALLOW)))


@ALL
def test_warned_of(protocol):
    answer = told(protocol, ask(protocol, "a:1"), ruling(Decision.WARN, "runs as root"))
    assert is_allowed(protocol.name, answer)
    if protocol.name != "image-review":  # it has no place for warnings
        assert "runs as root" in text(answer)


@ALL
def test_denied_with_reasons(protocol):
    answer = told(protocol, ask(protocol, "a:1"), ruling(Decision.DENY, "a key", "a password"))
    assert not is_allowed(protocol.name, answer)
    assert "a:1: a key; a password" in text(answer)


@ALL
def test_one_of_several_is_denied(protocol):
    judged = JudgedImage(image="b:1", decision=Decision.DENY, reasons=("x",), reasons_count=7)
    answer = told(
        protocol,
        ask(protocol, "a:1", "b:1"),
        Ruling(decision=Decision.DENY, images=(JUDGED, judged)),
    )
    assert not is_allowed(protocol.name, answer)
    assert "b:1: x; and 6 more" in text(answer) or protocol.name == "images"


@pytest.mark.parametrize("decision", [Decision.ALLOW, Decision.DENY])
@ALL
def test_nothing_was_judged(protocol, decision):
    ruling = Ruling(decision=decision, cause=Cause.TROUBLE, note="the database is away")
    answer = told(protocol, ask(protocol, "a:1"), ruling)
    assert is_allowed(protocol.name, answer) == (decision is Decision.ALLOW)
    assert "the database is away" in text(answer)


@ALL
def test_texts_of_others_are_printable_and_bounded(protocol):
    judged = tuple(
        JudgedImage(image=f"a:{n}{NASTY}", decision=d, reasons=(NASTY,) * 20, reasons_count=900)
        for n in range(200)
        for d in (Decision.WARN, Decision.DENY)
    )
    for decision in (Decision.WARN, Decision.DENY):
        given = Ruling(decision=decision, images=judged, note=NASTY, policy=NASTY)
        reply = protocol.answer(Question(images=("a:1",)), given)
        if protocol.name != "images":  # there each image has its own
            assert len(reply.body) < 16_384
        for value in strings(json.loads(reply.body)):
            assert value.replace("\n", "").isprintable() or "evil\x1b" in value
            assert protocol.name == "images" or "\x1b" not in value


def strings(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from strings(inner)


@pytest.mark.parametrize("status", [400, 401, 403, 408, 413, 500, 503])
@ALL
def test_refuses_in_its_own_words(protocol, status):
    reply = protocol.refuse(Refused(status=status, code="some-code", detail="that is why\x1b"))
    found = json.loads(reply.body)
    assert "that is why?" in text(found)
    assert reply.status in {status, 200}
    if reply.status == 200:
        assert not is_allowed(protocol.name, found)


@ALL
def test_says_what_it_is(protocol):
    module = importlib.import_module(f"scanner.admission.{protocol.name.replace('-', '_')}")
    assert re.search(r"^Source: https://", module.__doc__, re.MULTILINE)
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", protocol.name)
    assert protocol.documentation.startswith("https://")
    assert protocol.summary
    assert protocol.timeout_seconds > 0


def test_all_are_there():
    assert set(PROTOCOLS) >= {"gatekeeper", "image-review", "images", "kubernetes"}


def test_repeats_what_the_caller_knows_it_by():
    answer = told(
        PROTOCOLS["kubernetes"], ask(PROTOCOLS["kubernetes"], "a:1"), ruling(Decision.ALLOW)
    )
    assert answer["response"]["uid"] == UID
    assert answer["response"]["auditAnnotations"] == {
        "decision": "allow", "cause": "policy", "policy-digest": DIGEST, "images": "a:1=allow",
        "digests": DIGEST,
    }  # fmt: skip
    assert (answer["apiVersion"], answer["kind"]) == VERSIONS["kubernetes"]
