"""Amazon ECR by EventBridge, directly or in the envelope of SNS.

Source: https://docs.aws.amazon.com/AmazonECR/latest/userguide/ecr-eventbridge.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from scanner.errors import InputError
from scanner.ports.webhook import Headers, ImagePushed, Reply, WebhookSource
from scanner.webhooks._read import malformed, optional_text, pushed, read_table, table_at, text

_ACCOUNT: Final = re.compile(r"[0-9]{12}\Z")
_REGION: Final = re.compile(r"[a-z]{2,4}(?:-[a-z]{2,16}){1,2}-[0-9]{1,2}\Z")
_CONFIRMATION: Final = "SubscriptionConfirmation"
_CONFIRM_URL: Final = re.compile(
    r"https://sns\.[a-z0-9-]{1,32}\.amazonaws\.com(?:\.cn)?"
    r"/\?Action=ConfirmSubscription&[A-Za-z0-9&=:%._-]{1,1024}\Z"
)


def parse(_headers: Headers, body: bytes) -> list[ImagePushed]:
    """Return the push that succeeded; scans, deletions, replications and SNS's own messages are none."""
    event = read_table(body)
    if "Type" in event and "TopicArn" in event:
        if text(event, "Type") != "Notification":
            return []
        event = read_table(text(event, "Message"))
    if text(event, "source") != "aws.ecr" or text(event, "detail-type") != "ECR Image Action":
        return []
    return _pushes(event, table_at(event, "detail"))


def _pushes(event: Mapping[str, Any], detail: Mapping[str, Any]) -> list[ImagePushed]:
    if text(detail, "action-type") != "PUSH" or text(detail, "result") != "SUCCESS":
        return []
    return [
        pushed(
            host=_host(text(event, "account"), text(event, "region")),
            repository=text(detail, "repository-name"),
            tag=optional_text(detail, "image-tag"),
            digest=text(detail, "image-digest"),
            event_id=event.get("id"),
        )
    ]


def _host(account: str, region: str) -> str:
    if not _ACCOUNT.match(account) or not _REGION.match(region):
        raise malformed("account or region: not as Amazon writes them")
    suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    return f"{account}.dkr.ecr.{region}.{suffix}"


def reply(_headers: Headers, body: bytes) -> Reply | None:
    """Tell the operator to confirm a subscription of SNS: a URL out of a message is never fetched."""
    try:
        event = read_table(body)
        if event.get("Type") != _CONFIRMATION:
            return None
        url = text(event, "SubscribeURL")
    except InputError:
        return None
    if not _CONFIRM_URL.match(url):
        return None
    return Reply(notice=f"SNS asks to confirm a subscription; if it is yours, open {url}")


SOURCE: Final = WebhookSource(
    name="aws",
    parse=parse,
    reply=reply,
    summary="Amazon ECR, by EventBridge or SNS",
    documentation="https://docs.aws.amazon.com/AmazonECR/latest/userguide/ecr-eventbridge.html",
)
