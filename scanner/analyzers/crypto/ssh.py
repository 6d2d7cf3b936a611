"""SSH server and client settings: weak algorithms, protocol 1, root and password log-in.

Source: https://man.openbsd.org/sshd_config and https://man.openbsd.org/ssh_config
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

from scanner.analyzers._lines import LineCheck, check_lines
from scanner.model import Kind, Severity
from scanner.ports import FileAnalyzer, Interest, LayerFile, Output

_ALGORITHMS: Final = re.compile(
    r"(?:Ciphers|MACs|KexAlgorithms|HostKeyAlgorithms|PubkeyAcceptedKeyTypes|PubkeyAcceptedAlgorithms|"
    r"HostKeyAlgorithms)\b",
    re.IGNORECASE,
)
_WEAK_ALGORITHM: Final = re.compile(
    r"(?:3des-cbc|blowfish-cbc|cast128-cbc|arcfour\d*|des-cbc|aes(?:128|192|256)-cbc|"
    r"rijndael-cbc@lysator\.liu\.se|hmac-md5(?:-96)?(?:-etm@openssh\.com)?|"
    r"hmac-sha1-96(?:-etm@openssh\.com)?|hmac-ripemd160.*|umac-32@.*|none|"
    r"diffie-hellman-group1-sha1|diffie-hellman-group14-sha1|diffie-hellman-group-exchange-sha1|"
    r"gss-group1-sha1-.*|ssh-dss(?:-cert-v0[01]@openssh\.com)?|ssh-rsa)\Z",
    re.IGNORECASE,
)
_WORD: Final = re.compile(r"[\s=]+")


def weak_algorithms(line: str) -> str | None:
    """Return keyword and weak algorithms of an algorithm list; a list that removes (``-``) has none."""
    keyword, *rest = _WORD.split(line, maxsplit=1)
    if not rest or not _ALGORITHMS.match(keyword):
        return None
    names = rest[0].strip("\"' ")
    if names.startswith("-"):
        return None
    weak = [n.strip() for n in names.lstrip("+^").split(",") if _WEAK_ALGORITHM.match(n.strip())]
    return f"{keyword} {','.join(weak)}" if weak else None


def setting(keyword: str, *values: str) -> Callable[[str], str | None]:
    """Return a matcher for ``keyword value`` (or ``keyword=value``), in any case."""

    def matches(line: str) -> str | None:
        words = [w for w in _WORD.split(line, maxsplit=3) if w]
        is_ours = len(words) > 1 and words[0].lower() == keyword.lower()
        wrong = is_ours and words[1].strip("\"'").lower() in values
        return " ".join(words[:2]) if wrong else None

    return matches


_WEAK: Final = LineCheck(
    rule_id="crypto/weak-ssh-algorithm",
    severity=Severity.MEDIUM,
    title="SSH accepts weak algorithms",
    why="What these ciphers, MACs, key exchanges or keys protect can be read or forged with known methods.",
    remedy="Remove the algorithms from the list; the defaults of OpenSSH leave them out.",
    matches=weak_algorithms,
    words=("ciphers", "macs", "algorithms", "keytypes"),
)
_PROTOCOL: Final = LineCheck(
    rule_id="crypto/ssh-protocol-1",
    severity=Severity.HIGH,
    title="SSH protocol 1 is allowed",
    why="Protocol 1 is broken: sessions can be read and changed on the way.",
    remedy="Remove the Protocol line, or set Protocol 2.",
    matches=setting("Protocol", "1", "1,2", "2,1"),
    words=("protocol",),
)
_SERVER: Final = (
    _WEAK,
    _PROTOCOL,
    LineCheck(
        rule_id="privilege/ssh-root-login",
        kind=Kind.PRIVILEGE,
        severity=Severity.MEDIUM,
        title="The SSH server lets root log in with a password",
        why="One guessed password is the whole container.",
        remedy="Set PermitRootLogin no, or leave the SSH server out of the image.",
        matches=setting("PermitRootLogin", "yes"),
        words=("permitrootlogin",),
    ),
    LineCheck(
        rule_id="privilege/ssh-password-login",
        kind=Kind.PRIVILEGE,
        severity=Severity.LOW,
        title="The SSH server accepts passwords",
        why="Passwords can be guessed over the network; keys cannot.",
        remedy="Set PasswordAuthentication no.",
        matches=setting("PasswordAuthentication", "yes"),
        words=("passwordauthentication",),
    ),
    LineCheck(
        rule_id="privilege/ssh-empty-password",
        kind=Kind.PRIVILEGE,
        severity=Severity.HIGH,
        title="The SSH server accepts empty passwords",
        why="Any account without a password is open to the network.",
        remedy="Set PermitEmptyPasswords no.",
        matches=setting("PermitEmptyPasswords", "yes"),
        words=("permitemptypasswords",),
    ),
)
_CLIENT: Final = (
    _WEAK,
    _PROTOCOL,
    LineCheck(
        rule_id="crypto/ssh-host-key-unchecked",
        severity=Severity.MEDIUM,
        title="The SSH client does not check host keys",
        why="Whoever is on the way can take the server's place and read what is sent.",
        remedy="Put the host keys into known_hosts and remove StrictHostKeyChecking no.",
        matches=setting("StrictHostKeyChecking", "no", "off"),
        words=("stricthostkeychecking",),
    ),
)


def parse_server(file: LayerFile) -> Iterator[Output]:
    """Yield findings of an sshd_config."""
    return check_lines(file, _SERVER, comments="#")


def parse_client(file: LayerFile) -> Iterator[Output]:
    """Yield findings of an ssh_config."""
    return check_lines(file, _CLIENT, comments="#")


ANALYZERS: Final = (
    FileAnalyzer(
        name="crypto/ssh-server",
        version=1,
        interest=Interest(globs=("**/sshd_config", "**/sshd_config.d/*")),
        parse=parse_server,
        max_file_bytes=1024 * 1024,
        summary="weak or open settings of SSH servers",
    ),
    FileAnalyzer(
        name="crypto/ssh-client",
        version=1,
        interest=Interest(globs=("**/ssh_config", "**/ssh_config.d/*", "**/.ssh/config")),
        parse=parse_client,
        max_file_bytes=1024 * 1024,
        summary="weak or careless settings of SSH clients",
    ),
)
