"""What the service's routes work with, composed by ``scanner.app``: plain values and narrow contracts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from scanner.ports import Credential, ImagePushed, WebhookSource
from scanner.web._metrics import Metrics


@dataclass(frozen=True, slots=True)
class TokenGrant:
    """What a token's holder may do; the token itself is nowhere."""

    name: str
    scopes: frozenset[str]


@dataclass(frozen=True, slots=True)
class AcceptedPush:
    """A push that may be queued: its sender is known and its host allowed."""

    source: str
    push: ImagePushed
    """Its host is never empty."""


@dataclass(frozen=True, slots=True)
class QueueState:
    """The queue at one moment."""

    counts: Mapping[str, int]
    """Scans by state."""
    age_seconds: float
    """How long the oldest scan that could start has waited; 0 if none does."""


class Tokens(Protocol):
    """Tokens by the SHA-256 of their text."""

    async def load_token(self, token_hash: str) -> TokenGrant | None:
        """Return what a token that is not revoked grants; raises StoreError."""

    async def has_tokens(self) -> bool:
        """Return whether any token was ever created; raises StoreError."""


class Intake(Protocol):
    """Where pushes go."""

    async def save_pushes(self, pushes: Sequence[AcceptedPush]) -> Sequence[str]:
        """Record and queue all in one transaction; return the scan id of each. Raises StoreError."""

    async def queue_state(self) -> QueueState:
        """Return the queue as it is now; raises StoreError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookEndpoint:
    """One configured sender."""

    name: str
    source: WebhookSource
    credential: Credential
    host: str = ""
    """The registry, whatever the event says; empty: as the event says, if it is allowed."""


@dataclass(slots=True)
class Liveness:
    """What changes while the service runs."""

    draining: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class WebContext:
    """Everything that routes need."""

    tokens: Tokens
    intake: Intake
    webhooks: Mapping[str, WebhookEndpoint]
    allowed_registries: tuple[str, ...]
    metrics: Metrics
    body_bytes: int = 1024 * 1024
    public_url: str = ""
    is_open: bool = False
    """Answer without a token while none exists. The composition root sets it for loopback only."""
    oidc_keys: tuple[Mapping[str, Any], ...] = ()
    liveness: Liveness = field(default_factory=Liveness)
