"""What the service's routes work with, composed by ``scanner.app``: plain values and narrow contracts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from scanner.ports import ServiceStore
from scanner.ports.verdicts import AdmissionDesk, Judge
from scanner.ports.webhook import Credential, WebhookSource
from scanner.web._metrics import Metrics
from scanner.web._oidc_keys import OidcKeys


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

    store: ServiceStore
    judge: Judge
    admission: AdmissionDesk
    fingerprint: str
    """Of today's analyzers, rules and limits."""
    webhooks: Mapping[str, WebhookEndpoint]
    allowed_registries: tuple[str, ...]
    metrics: Metrics = field(default_factory=Metrics)
    body_bytes: int = 1024 * 1024
    public_url: str = ""
    is_open: bool = False
    """Answer without a token while none exists. The composition root sets it for loopback only."""
    client_names: tuple[str, ...] = ()
    """Of client certificates that may ask for admissions; none: any that was verified."""
    oidc_keys: OidcKeys = field(default_factory=OidcKeys)
    liveness: Liveness = field(default_factory=Liveness)
