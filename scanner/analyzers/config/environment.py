"""Environment variables and build arguments: secrets by name, loaders, paths, debug switches.

Values never leave this module: evidence holds a redacted form and a SHA-256.
Source: https://docs.docker.com/reference/build-checks/secrets-used-in-arg-or-env/
and https://man7.org/linux/man-pages/man8/ld.so.8.html
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from scanner.model import Finding, Kind, Severity
from scanner.ports import ImageAnalyzer, ImageView, Output

_SECRET_NAME: Final = re.compile(
    r"(?:^|_)(?:PASSWORD|PASSWD|PASSPHRASE|PASS|PW|SECRET|SECRETS|TOKEN|APIKEY|API_KEY|ACCESS_KEY|SECRET_KEY|"
    r"ACCOUNT_KEY|PRIVATE_KEY|ENCRYPTION_KEY|SIGNING_KEY|MASTER_KEY|AUTH_KEY|CREDENTIAL|CREDENTIALS)"
    r"(?:_?\d+|_BASE64|_B64|_VALUE|_ID)?$"
    r"|(?:PASSWORD|PASSWD|SECRET|APIKEY|APITOKEN|AUTHTOKEN|ACCESSTOKEN|SECRETKEY|PRIVATEKEY)$",
    re.IGNORECASE,
)
_NOT_SECRET_NAME: Final = re.compile(
    r"(?:PUBLIC|ALLOW_EMPTY|RANDOM_ROOT|DISABLE|ENABLE|USE|NO|REQUIRE|SKIP)_", re.IGNORECASE
)
_PLACEHOLDER: Final = re.compile(
    r"\s*(?:change[-_ ]?(?:me|it|this)|todo|tbd|none|null|nil|undefined|unset|empty|dummy|placeholder|example|"
    r"redacted|true|false|yes|no|on|off|enabled|disabled|[x*.\-_]+|<[^>]*>|\[[^\]]*\]|\$\{[^}]*\}|\$\w+|"
    r"%\w+%|\{\{.*\}\}|your[-_ ].*|/[\w./@+-]*|file:.*|0|1)\s*",
    re.IGNORECASE | re.DOTALL,
)
_URL_CREDENTIALS: Final = re.compile(r"://[^/\s:@]*:[^/\s@]+@")
_PROXIES: Final = frozenset({"http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "socks_proxy"})
_ALLOCATORS: Final = re.compile(r"lib(?:jemalloc|tcmalloc|mimalloc|gperftools|hardened_malloc)")
_LOADERS: Final = frozenset({"LD_PRELOAD", "LD_AUDIT"})
_WRITABLE: Final = re.compile(r"/(?:tmp|var/tmp|dev/shm)(?:/|\Z)")
_ARGUMENTS: Final = re.compile(r"\|\d+ (?P<text>.*?)(?= /\S*sh -\S*c |\Z)", re.DOTALL)
_ARGUMENT: Final = re.compile(r"(?:\A|(?<=\s))([A-Za-z_]\w*)=(\S*)")
_ARG_STEP: Final = re.compile(r"(?:\A|#\(nop\)\s+)ARG\s+([A-Za-z_]\w*)=(\S+)")
_VALUE_CHARS: Final = 65_536
_SHOWN_FROM_CHARS: Final = 16


class _Switch(NamedTuple):
    """Variables whose value switches something dangerous on."""

    names: re.Pattern[str]
    values: re.Pattern[str]
    rule_id: str
    kind: Kind
    severity: Severity
    title: str
    why: str
    remedy: str


_SWITCHES: Final = (
    _Switch(
        re.compile(r"NODE_TLS_REJECT_UNAUTHORIZED|PYTHONHTTPSVERIFY|PERL_LWP_SSL_VERIFY_HOSTNAME"),
        re.compile(r"0"),
        "crypto/tls-verification-off",
        Kind.CRYPTO,
        Severity.HIGH,
        "Certificate verification is switched off",
        "Every TLS connection of the process can be read and changed by whoever is on the way.",
        "Remove the variable; add the missing CA certificate to the trust store instead.",
    ),
    _Switch(
        re.compile(r"GIT_SSL_NO_VERIFY|AWS_NO_VERIFY_SSL|CURL_INSECURE|GOINSECURE|KUBE_INSECURE"),
        re.compile(r"(?!0\Z|false\Z|no\Z|off\Z).+", re.IGNORECASE),
        "crypto/tls-verification-off",
        Kind.CRYPTO,
        Severity.MEDIUM,
        "Certificate verification is switched off",
        "What is fetched over such connections can be read and changed by whoever is on the way.",
        "Remove the variable; add the missing CA certificate to the trust store instead.",
    ),
    _Switch(
        re.compile(r"(?:\w+_)?ALLOW_EMPTY_(?:ROOT_)?PASSWORD"),
        re.compile(r"1|true|yes|on", re.IGNORECASE),
        "config/empty-password-allowed",
        Kind.CONFIG,
        Severity.MEDIUM,
        "The service accepts an empty password",
        "Whoever reaches its port is its administrator.",
        "Remove the variable and give the password at run time from a secret.",
    ),
    _Switch(
        re.compile(r"POSTGRES_HOST_AUTH_METHOD"),
        re.compile(r"trust", re.IGNORECASE),
        "config/empty-password-allowed",
        Kind.CONFIG,
        Severity.MEDIUM,
        "The database trusts every connection",
        "Whoever reaches its port is its administrator.",
        "Use scram-sha-256 and give the password at run time from a secret.",
    ),
    _Switch(
        re.compile(r"(?:FLASK|DJANGO|APP|WERKZEUG|SYMFONY|LARAVEL|RAILS)_DEBUG|DEBUG"),
        re.compile(r"1|true|yes|on", re.IGNORECASE),
        "config/debug-enabled",
        Kind.CONFIG,
        Severity.LOW,
        "Debug mode is switched on",
        "Debug pages show source, variables and sometimes a console to whoever makes an error happen.",
        "Remove the variable from the image; set it where it is needed.",
    ),
    _Switch(
        re.compile(r"FLASK_ENV|NODE_ENV|RAILS_ENV|RACK_ENV|APP_ENV|ASPNETCORE_ENVIRONMENT"),
        re.compile(r"dev|development", re.IGNORECASE),
        "config/debug-enabled",
        Kind.CONFIG,
        Severity.LOW,
        "The application runs in development mode",
        "Development modes show errors in full and leave checks out.",
        "Set it to production in the image.",
    ),
)


def is_secret(name: str, value: str) -> bool:
    """Whether ``name`` says that ``value`` is a credential, and ``value`` is a literal one."""
    return bool(
        value
        and _SECRET_NAME.search(name)
        and not _NOT_SECRET_NAME.match(name)
        and not _PLACEHOLDER.fullmatch(value[:_VALUE_CHARS])
    )


def _redacted(value: str) -> dict[str, str]:
    shown = f"{value[:2]}…" if len(value) >= _SHOWN_FROM_CHARS else "…"
    return {
        "redacted": shown,
        "length": str(len(value)),
        "sha256": hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest(),
    }


def _secret_finding(rule: str, name: str, value: str, path: str, where: str) -> Finding:
    evidence = _redacted(value) | {"cis": "4.10", "name": name[:200]}
    return Finding(
        rule_id=rule,
        kind=Kind.SECRET,
        severity=Severity.HIGH,
        title=f"{where} {name[:100]} holds a credential",
        why="Whoever may pull the image can read it, and so can every process and every log of the environment.",
        remedy="Revoke it, then give it at run time (or by a build secret mount) and rebuild without it.",
        path=path,
        evidence=evidence,
        identity=evidence["sha256"],
    )


def _loader_finding(name: str, value: str) -> Finding:
    return Finding(
        rule_id="config/ld-preload",
        kind=Kind.CONFIG,
        severity=Severity.INFO if _ALLOCATORS.search(value) else Severity.MEDIUM,
        title=f"{name} loads a library into every process",
        why="A library that comes first can replace any function: a known way to hide and to stay.",
        remedy=f"Remove {name} from the image, or check that the library is what it should be.",
        path=f"config:Env/{name}",
        evidence={"value": value[:200]},
        identity=value[:200],
    )


def unsafe_path_parts(value: str) -> list[str]:
    """Return the parts of a PATH that are relative, empty, or below a directory anybody may write."""
    return [p for p in value.split(":") if not p.startswith("/") or _WRITABLE.match(p)]


def _path_finding(parts: list[str]) -> Finding:
    shown = ", ".join(repr(p[:100]) for p in parts[:10])
    return Finding(
        rule_id="config/unsafe-path",
        kind=Kind.CONFIG,
        severity=Severity.MEDIUM,
        title="PATH leads to directories that anybody may write, or to the current one",
        why="Whoever can write there chooses what the next command does.",
        remedy="Keep only absolute directories that root owns in PATH.",
        path="config:Env/PATH",
        evidence={"parts": shown},
        identity=shown,
    )


def _proxy_finding(name: str, value: str) -> Finding:
    evidence = _redacted(value) | {"redacted": _URL_CREDENTIALS.sub("://…:…@", value)[:200]}
    return Finding(
        rule_id="config/proxy-credentials",
        kind=Kind.SECRET,
        severity=Severity.HIGH,
        title=f"{name} holds the password of a proxy",
        why="Whoever may pull the image can use the proxy in its owner's name.",
        remedy="Change the password; give the proxy at build and run time from outside the image.",
        path=f"config:Env/{name}",
        evidence=evidence,
        identity=evidence["sha256"],
    )


def _switch_finding(switch: _Switch, name: str, value: str) -> Finding:
    return Finding(
        rule_id=switch.rule_id,
        kind=switch.kind,
        severity=switch.severity,
        title=f"{switch.title} ({name})",
        why=switch.why,
        remedy=switch.remedy,
        path=f"config:Env/{name}",
        evidence={"value": value[:50]},
        identity=name,
    )


def check_variable(name: str, value: str) -> Iterator[Finding]:
    """Yield what is wrong with one environment variable."""
    if is_secret(name, value):
        yield _secret_finding(
            "config/secret-in-env", name, value, f"config:Env/{name}", "Environment variable"
        )
    if name in _LOADERS and value.strip():
        yield _loader_finding(name, value)
    if name == "PATH" and (parts := unsafe_path_parts(value)):
        yield _path_finding(parts)
    if name.lower() in _PROXIES and _URL_CREDENTIALS.search(value[:_VALUE_CHARS]):
        yield _proxy_finding(name, value)
    for switch in _SWITCHES:
        if switch.names.fullmatch(name) and switch.values.fullmatch(value.strip()[:100]):
            yield _switch_finding(switch, name, value.strip())


def build_arguments(created_by: str) -> Iterator[tuple[str, str]]:
    """Yield (name, value) of the build arguments that a history entry gives in plain text."""
    step = created_by[:_VALUE_CHARS]
    if found := _ARGUMENTS.search(step):
        yield from _ARGUMENT.findall(found["text"])
    if arg := _ARG_STEP.search(step):
        yield arg[1], arg[2].strip("\"'")


def inspect(view: ImageView) -> Iterator[Output]:
    """Yield findings for the environment, then for the build arguments in the history."""
    for variable in view.config.env:
        name, equals, value = variable.partition("=")
        if equals:
            yield from check_variable(name, value)
    seen: set[tuple[str, str]] = set()
    for index, entry in enumerate(view.config.history):
        for name, value in build_arguments(entry.created_by):
            if (name, value) not in seen and is_secret(name, value):
                seen.add((name, value))
                yield _secret_finding(
                    "config/secret-in-build-arg",
                    name,
                    value,
                    f"config:History/{index}",
                    "Build argument",
                )


ANALYZERS: Final = (
    ImageAnalyzer(
        name="config/environment",
        version=1,
        inspect=inspect,
        summary="secrets by name in ENV and build arguments, LD_PRELOAD, PATH, proxies, debug switches",
    ),
)
