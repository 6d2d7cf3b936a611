"""What a webhook source is: a registry's way of telling us that an image was pushed.

A source translates; it does not act. Reading the request within its bounds, authentication, the allow-list
of hosts, de-duplication, queueing and the answer are the same for all of them and live elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, TypeAlias

Headers: TypeAlias = Mapping[str, str]
"""Header values by their names in lower case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePushed:
    """Somebody says that this image was pushed. A claim: the tag is to be resolved again, never believed."""

    host: str = ""
    """``host[:port]`` of the registry in lower case; empty if the event does not tell, so that settings must."""
    repository: str
    tag: str = ""
    """Empty if unknown; tag and digest are never both empty."""
    digest: str = ""
    """``sha256:…`` or ``sha512:…``, empty if unknown."""
    event_id: str = ""
    """The sender's name for the delivery, at most 200 printable ASCII characters, empty if it has none.

    All pushes of one body may share it, and repeated deliveries do: good for logs, not for de-duplication alone.
    """


@dataclass(frozen=True, slots=True)
class Signature:
    """How a sender signs the raw body: an HMAC in lower-case hex, after a prefix that tells the algorithm."""

    header: str
    """In lower case."""
    forms: tuple[tuple[str, Literal["sha256", "sha1"]], ...]
    """(prefix, algorithm), the longest prefix first; a prefix may be empty."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that the sender's handshake asks for, instead of the usual one."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    media_type: str = ""
    notice: str = ""
    """What the operator must be told to do by hand; one printable line for the log."""


class CredentialKind(StrEnum):
    """How a sender proves who it is."""

    NONE = "none"  # anybody may send: only where the network decides who can
    SIGNATURE = "signature"  # HMAC over the raw body, as the source's ``signature`` says
    BEARER = "bearer"  # Authorization: Bearer <secret>
    BASIC = "basic"  # Authorization: Basic <username:secret>
    AUTHORIZATION = "authorization"  # Authorization: <secret>, word by word
    HEADER = "header"  # <header>: <secret>
    PATH = "path"  # /v1/webhooks/{source}/<secret>
    OIDC = "oidc"  # Authorization: Bearer <signed token of an identity provider>


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """What a sender must show. An empty secret is never right, except for ``none`` and ``oidc``."""

    kind: CredentialKind
    secret: str = field(default="", repr=False)
    username: str = ""
    """For ``basic``."""
    header: str = ""
    """For ``header``; its name in lower case."""
    audience: str = ""
    """For ``oidc``: the ``aud`` that the token must carry."""
    emails: frozenset[str] = frozenset()
    """For ``oidc``: accounts that may send."""
    issuers: frozenset[str] = frozenset({"accounts.google.com", "https://accounts.google.com"})
    """For ``oidc``: who may have signed the token."""


def no_reply(_headers: Headers, _body: bytes) -> Reply | None:
    """Return None: a source without handshake."""
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookSource:
    """One dialect. A leaf module below ``scanner.webhooks`` exports ``SOURCE`` and is found by walking.

    ``parse`` returns the pushes a request tells of, in its order; none if it tells of something else. It is
    pure, and raises InputError only, whatever the bytes: MalformedEventError, LimitExceededError.
    ``reply`` answers a handshake, or returns None. It repeats only what it checked, and so may be asked
    before the sender is known; also for ``OPTIONS``. It never raises.
    """

    name: str
    """Kebab-case; the path's last part."""
    parse: Callable[[Headers, bytes], list[ImagePushed]]
    signature: Signature | None = None
    """How the sender signs, if it can."""
    reply: Callable[[Headers, bytes], Reply | None] = no_reply
    summary: str
    documentation: str
    """The sender's own page on its notifications."""
