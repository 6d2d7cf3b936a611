"""Every section of the settings: names, types, defaults, and what each is for.

The text below a field is its documentation; ``scanner settings`` and ``docs/settings.md`` show it.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from scanner.ports.limits import Limits


class StoreSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where results are kept."""

    directory: str = ""
    """Directory of the database and its locks. Default: $XDG_DATA_HOME/scanner or ~/.local/share/scanner."""
    url: str = ""
    """Database of the service: postgresql://user:password@host/name. Default: SQLite in ``store.directory``."""
    cache_directory: str = ""
    """Compiled patterns and spool files. Default: $XDG_CACHE_HOME/scanner or ~/.cache/scanner."""


class RegistrySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How registries are spoken to."""

    insecure: tuple[str, ...] = ()
    """host[:port] of registries that may be spoken to over plain http."""
    ca_file: str = ""
    """PEM bundle of certificate authorities to trust instead of the system's."""
    username: str = ""
    """User for the registry; credentials of the docker config are used when empty."""
    password: str = ""
    """Password or token of that user. Prefer the environment to the file."""
    docker_config: str = ""
    """Docker config file or its directory. Default: $DOCKER_CONFIG or ~/.docker."""
    token_hosts: tuple[str, ...] = ()
    """Hosts of token servers, other than the registry's own, that may be given its credentials."""
    connect_seconds: float = 5.0
    """Longest wait for a connection."""
    retries_count: int = 4
    """Tries after a failure that can pass (429, 5xx, cut connections)."""


class ScanSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How images are scanned."""

    platforms: tuple[str, ...] = ()
    """Platforms of an index to scan, as os/architecture[/variant]; all runnable ones when empty."""
    fail_on: str = ""
    """Lowest severity that makes the exit code 1: critical, high, medium, low or info; never when empty."""
    layers_parallel: int = 2
    """Layers read at once."""
    offline: bool = False
    """Never open a network connection."""
    secret_rules: tuple[str, ...] = ()
    """Files with further secret rules, in the form of the built-in ones."""


class PolicySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What images are judged by."""

    file: str = ""
    """Policy file (docs/policy.md), or ``default`` for the built-in one. ``scanner scan`` judges only if there is one."""


class AdmissionSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How clusters are answered that ask whether images may run."""

    wait_seconds: float = 0.0
    """Longest that an answer waits for the scan of an image that is not known; never longer than whoever asks does."""
    tag_seconds: float = 10.0
    """How long it is remembered what a tag led to."""
    registry_seconds: float = 2.0
    """Longest wait for a registry to say what a tag leads to."""
    exempt_namespaces: tuple[str, ...] = ()
    """Namespaces that are not judged, as kube-*."""
    fail_open_namespaces: tuple[str, ...] = ()
    """Namespaces that let in what cannot be judged because the service or a registry is in trouble; denied elsewhere."""
    pod_security: tuple[str, ...] = ()
    """Pod Security Standards by namespace: NAMESPACE=LEVEL[:VERSION], as prod-*=restricted or *=baseline:v1.33; the first that matches counts."""


class ServerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How ``scanner serve`` is reached, and what it may be asked."""

    listen: str = "127.0.0.1:8080"
    """host:port to listen on; [::]:8080 for every address."""
    tls_certificate: str = ""
    """PEM file with the certificate and its chain; with ``server.tls_key`` makes it https. Read anew when it changes."""
    tls_key: str = ""
    """PEM file with the certificate's private key."""
    client_ca: str = ""
    """PEM bundle: whoever shows a certificate of one of these may ask for admissions without a token."""
    client_names: tuple[str, ...] = ()
    """Common names or DNS names that such a certificate must have one of; any when empty."""
    public_url: str = ""
    """Where clients reach the service, if not at the address it listens on: https://scanner.example."""
    open: bool = False
    """Answer without a token as long as none exists; only where ``server.listen`` is this machine alone."""
    allowed_registries: tuple[str, ...] = ()
    """host[:port] of registries that webhooks and requests may have scanned; ``*.example.com`` for all below, ``*`` for any. Those of ``webhooks.NAME.host`` are always allowed."""
    workers: int = 1
    """Worker processes that ``scanner serve`` runs; 0 where they run elsewhere (``scanner worker``)."""
    reconcile: tuple[str, ...] = ()
    """registry or registry/repository to be walked now and then for what no event told of; its host is allowed, too."""
    reconcile_seconds: float = 3_600.0
    """Between the end of one such round and the begin of the next."""
    reconcile_per_second: float = 5.0
    """Requests to a registry in such a round, at most."""
    body_bytes: int = 1024 * 1024
    """Largest request body."""
    drain_seconds: float = 30.0
    """Longest that requests and workers may take to finish when told to stop."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least important lines to log: debug, info, warning or error."""
    log_format: Literal["json", "text"] = "json"
    """Form of a log line: json or text."""


class QueueSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How queued scans are done."""

    lease_seconds: float = 60.0
    """A scan whose worker has not been heard of for this long is given to another."""
    attempts_count: int = 5
    """Tries of one scan whose failures can pass."""
    registry_parallel: int = 4
    """Scans of one registry at once, whatever the number of workers."""


class RetentionSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long what nobody needs any more is kept; 0 keeps it for ever."""

    every_seconds: float = 3_600.0
    """Between two looks for it."""
    scans_days: float = 30.0
    """Scans that are over, but for the newest of each image."""
    images_days: float = 0.0
    """Results of images that no tag leads to, from their last scan on."""
    deliveries_days: float = 14.0
    """Webhook calls."""
    decisions_days: float = 90.0
    """What admissions were told."""


class AttestSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is signed, with which key, and whose signatures count."""

    enabled: Literal["auto", "yes", "no"] = "auto"
    """Whether ``scanner serve`` signs what was scanned: yes, no, or auto: if ``attest.key`` is set or a key was made before."""
    publish: bool = False
    """Whether ``scanner serve`` publishes what it has signed beside the images; its credentials must be good for pushing."""
    key: str = ""
    """Private key to sign with: a PEM file, or the URI of a KMS or HSM. Default: signing.key beside the embedded database, made when it is first needed."""
    public_key: str = ""
    """File with the public key that belongs to a key in a KMS or HSM."""
    predicates: tuple[str, ...] = ()
    """What is stated of a digest, by the names that ``scanner plugins`` lists; everything when empty."""
    valid_days: float = 7.0
    """How long after its scan a statement counts; of others' statements, which do not say so themselves, too."""
    trusted_keys: tuple[str, ...] = ()
    """Files with public keys whose signatures ``scanner verify`` accepts; several while a key is being changed."""
    revoked_keys: tuple[str, ...] = ()
    """Ids of keys (64 hex digits, ``scanner key show``) that neither sign nor prove anything any more."""


class AdvisoriesSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where known vulnerabilities come from, and how old they may be."""

    directory: str = ""
    """Directory of the databases. Default: ``advisories`` in ``store.directory``."""
    urls: tuple[str, ...] = ()
    """FEED=URL: another address of a feed, laid out as its publisher's; docs/advisories.md lists the feeds."""
    feeds: tuple[str, ...] = ()
    """ECOSYSTEM=FEED: take an ecosystem from this feed, where several know it: Debian=osv."""
    hosts: tuple[str, ...] = ()
    """host[:port] that a feed's address may redirect to, beside its own."""
    max_age_hours: float = 24.0
    """Older data is out of date: ``scanner db update`` asks for newer, reports say so."""
    file_bytes: int = 4 * 1024 * 1024 * 1024
    """Largest file of a feed."""
    fetch_seconds: float = 3_600.0
    """Longest that a file of a feed may take."""


class ClientSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a server is asked by ``scanner query`` and ``scanner scan --server``."""

    url: str = ""
    """The server to ask: https://scanner.example. Option: ``--server``."""
    token: str = ""
    """Token to show it, made by ``scanner token create`` there. The variable SCANNER_TOKEN goes before it."""
    token_file: str = ""
    """File that holds the token; white space around it does not count."""
    ca_file: str = ""
    """PEM bundle of certificate authorities to trust instead of the system's."""
    insecure: bool = False
    """Speak plain http to a server that is not this machine: the token can be read on the way."""


class WebhookSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One sender of push events, at ``/v1/webhooks/NAME``."""

    dialect: str = ""
    """Whose events these are, as ``scanner plugins`` lists them. Default: the section's name."""
    auth: Literal[
        "bearer", "signature", "basic", "authorization", "header", "path", "oidc", "none"
    ] = "bearer"
    """How the sender proves who it is: bearer, signature (HMAC), basic, authorization (the whole header), header, path (/v1/webhooks/NAME/SECRET), oidc or none."""
    secret: str = ""
    """What is shared with the sender. Prefer the environment or ``secret_file``."""
    secret_file: str = ""
    """File that holds the secret; white space around it does not count."""
    username: str = ""
    """For basic."""
    header: str = ""
    """For header: its name."""
    audience: str = ""
    """For oidc: the audience that the token must be for."""
    emails: tuple[str, ...] = ()
    """For oidc: accounts that may send."""
    host: str = ""
    """host[:port] of the registry, whatever the event says. Needed where events do not tell (Zot, Nexus)."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every setting there is."""

    store: StoreSettings = StoreSettings()
    registry: RegistrySettings = RegistrySettings()
    scan: ScanSettings = ScanSettings()
    policy: PolicySettings = PolicySettings()
    server: ServerSettings = ServerSettings()
    admission: AdmissionSettings = AdmissionSettings()
    queue: QueueSettings = QueueSettings()
    retention: RetentionSettings = RetentionSettings()
    attest: AttestSettings = AttestSettings()
    advisories: AdvisoriesSettings = AdvisoriesSettings()
    client: ClientSettings = ClientSettings()
    webhooks: dict[str, WebhookSettings] = {}
    limits: Limits = Limits()
