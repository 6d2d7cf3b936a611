"""Amazon: EventBridge, SNS around it, and a subscription that nobody confirms unseen."""

from __future__ import annotations

import json

import pytest
from support.webhook_samples import (
    BAD_DIGESTS,
    BAD_REPOSITORIES,
    BAD_TAGS,
    DIGEST,
    JSON,
    changed,
    encoded,
    image,
    without,
)

from scanner.errors import MalformedEventError
from scanner.webhooks.aws import SOURCE

HOST = "111122223333.dkr.ecr.eu-west-1.amazonaws.com"
EVENT = {
    "version": "0",
    "id": "event-1",
    "detail-type": "ECR Image Action",
    "source": "aws.ecr",
    "account": "111122223333",
    "time": "2026-01-02T03:04:05Z",
    "region": "eu-west-1",
    "resources": [],
    "detail": {
        "action-type": "PUSH",
        "result": "SUCCESS",
        "repository-name": "team/app",
        "image-digest": DIGEST,
        "image-tag": "1.2",
    },
}
ENVELOPE = {
    "Type": "Notification",
    "MessageId": "m",
    "TopicArn": "arn:aws:sns:eu-west-1:111122223333:pushes",
    "Signature": "s",
}
CONFIRMATION = {
    **ENVELOPE,
    "Type": "SubscriptionConfirmation",
    "SubscribeURL": "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription"
    "&TopicArn=arn:aws:sns:eu-west-1:111122223333:pushes&Token=0123abcd",
}


def enveloped(event):
    return {**ENVELOPE, "Message": json.dumps(event)}


@pytest.mark.parametrize(
    ("event", "want"),
    [
        pytest.param(EVENT, [image(host=HOST)], id="tagged"),
        pytest.param(without(EVENT, "detail.image-tag"), [image(host=HOST, tag="")], id="untagged"),
        pytest.param(
            changed(EVENT, "region", "cn-north-1"),
            [image(host="111122223333.dkr.ecr.cn-north-1.amazonaws.com.cn")],
            id="china",
        ),
        pytest.param(
            changed(EVENT, "region", "us-gov-west-1"),
            [image(host="111122223333.dkr.ecr.us-gov-west-1.amazonaws.com")],
            id="government",
        ),
        pytest.param(changed(EVENT, "detail.action-type", "DELETE"), [], id="delete"),
        pytest.param(changed(EVENT, "detail.result", "FAILURE"), [], id="failure"),
        pytest.param(changed(EVENT, "detail-type", "ECR Image Scan"), [], id="scan"),
        pytest.param(
            {"source": "aws.ec2", "detail-type": "EC2 Instance State-change Notification"},
            [],
            id="another_service",
        ),
    ],
)
def test_parse(event, want):
    assert SOURCE.parse(JSON, encoded(event)) == want
    assert SOURCE.parse({"content-type": "text/plain"}, encoded(enveloped(event))) == want


def _rows():
    bad = {
        "detail.repository-name": BAD_REPOSITORIES,
        "detail.image-tag": BAD_TAGS,
        "detail.image-digest": {**BAD_DIGESTS, "null": None},
        "account": {
            "url": "evil.example/",
            "number": 111122223333,
            "short": "1",
            "newline": "1" * 12 + "\n",
        },
        "region": {
            "host": "evil.example",
            "crlf": "eu-west-1\r\n",
            "path": "eu-west-1/..",
            "empty": "",
        },
        "detail": {"list": [], "null": None},
    }
    for path, values in bad.items():
        for name, value in values.items():
            yield pytest.param(changed(EVENT, path, value), id=f"{path}-{name}")


@pytest.mark.parametrize("event", [*_rows(), pytest.param({}, id="empty")])
def test_refuses(event):
    with pytest.raises(MalformedEventError):
        SOURCE.parse(JSON, encoded(event))
    with pytest.raises(MalformedEventError):
        SOURCE.parse(JSON, encoded(enveloped(event)))


@pytest.mark.parametrize("message", [None, 7, "", "not json", "[" * 100_000, {"source": "aws.ecr"}])
def test_refuses_envelope(message):
    with pytest.raises(MalformedEventError):
        SOURCE.parse(JSON, encoded({**ENVELOPE, "Message": message}))


def test_reports_a_subscription():
    body = encoded(CONFIRMATION)
    reply = SOURCE.reply(JSON, body)
    assert reply is not None
    assert (reply.status, reply.body) == (200, b"")
    assert CONFIRMATION["SubscribeURL"] in reply.notice
    assert SOURCE.parse(JSON, body) == []


@pytest.mark.parametrize(
    "url",
    [
        "http://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&Token=a",
        "https://sns.eu-west-1.amazonaws.com.evil.example/?Action=ConfirmSubscription&Token=a",
        "https://sns.eu-west-1.amazonaws.com@evil.example/?Action=ConfirmSubscription&Token=a",
        "https://evil.example/?Action=ConfirmSubscription&Token=a",
        "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&Token=a\r\nforged line",
        "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&Token=a\n",
        "https://sns.eu-west-1.amazonaws.com/?Action=Unsubscribe&Token=a",
        "",
        7,
    ],
)
def test_reports_no_url_but_of_sns(url):
    assert SOURCE.reply(JSON, encoded({**CONFIRMATION, "SubscribeURL": url})) is None


def test_replies_to_nothing_else():
    assert SOURCE.reply(JSON, encoded(EVENT)) is None
    assert SOURCE.reply(JSON, b"[" * 100_000) is None
