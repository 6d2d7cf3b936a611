"""Who the image's process runs as, and accounts that open the door to root.

Source: https://github.com/opencontainers/image-spec/blob/main/config.md#properties (User)
and https://man7.org/linux/man-pages/man5/passwd.5.html
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from scanner.analyzers._lines import lenient_text
from scanner.model import Finding, Kept, Kind, Severity
from scanner.ports import FileAnalyzer, ImageAnalyzer, ImageView, Interest, LayerFile, Output

_PASSWD: Final = "passwd"  # noqa: S105 - a file's name
_GROUP: Final = "group"
_ACCOUNTS_COUNT: Final = 100_000
_UID_FIELDS: Final = 4
_UID_DIGITS: Final = 10


class Account(NamedTuple):
    """One line of passwd (or shadow, without uid)."""

    name: str
    password: str
    uid: int | None
    line: int
    can_log_in: bool


def _uid(text: str) -> int | None:
    is_number = text.isascii() and text.isdigit() and len(text) <= _UID_DIGITS
    return int(text) if is_number else None


def accounts(text: str) -> Iterator[Account]:
    """Yield the accounts of a passwd or shadow text; lines that are not accounts are left out."""
    for number, line in enumerate(text.splitlines()[:_ACCOUNTS_COUNT], 1):
        fields = line.split(":")
        if len(fields) < _UID_FIELDS or not fields[0] or fields[0].startswith(("#", "+", "-")):
            continue
        uid = _uid(fields[2])
        shell = fields[-1].rpartition("/")[2]
        yield Account(fields[0], fields[1], uid, number, shell not in {"nologin", "false"})


def _account_finding(path: str, account: Account, rule: str, title: str, remedy: str) -> Finding:
    return Finding(
        rule_id=rule,
        kind=Kind.PRIVILEGE,
        severity=Severity.HIGH,
        title=title,
        why="Anyone who reaches a login, su or sshd in the container can become this account.",
        remedy=remedy,
        path=path,
        line=account.line,
        evidence={"account": account.name[:100]},
        identity=account.name[:100],
    )


def _empty_password(path: str, account: Account) -> Iterator[Finding]:
    if account.password == "" and account.can_log_in:
        yield _account_finding(
            path,
            account,
            "privilege/empty-password",
            f"Account {account.name[:100]} has an empty password",
            f"Lock it: passwd -l {account.name[:100]}.",
        )


def parse_passwd(file: LayerFile) -> Iterator[Output]:
    """Keep who has which uid; yield accounts with uid 0 that are not root, and empty passwords."""
    yield Kept(key=_PASSWD, path=file.path, data=_without_texts(file, (0, 2, 3)))
    for account in accounts(lenient_text(file)):
        if account.uid == 0 and account.name != "root":
            yield _account_finding(
                file.path,
                account,
                "privilege/second-root",
                f"Account {account.name[:100]} has uid 0: it is root by another name",
                f"Remove it or give it a uid of its own: userdel {account.name[:100]}.",
            )
        yield from _empty_password(file.path, account)


def parse_shadow(file: LayerFile) -> Iterator[Output]:
    """Yield accounts with an empty password. Nothing of the file is kept."""
    for account in accounts(lenient_text(file)):
        yield from _empty_password(file.path, account)


def keep_group(file: LayerFile) -> Iterator[Output]:
    """Keep who is in which group."""
    yield Kept(key=_GROUP, path=file.path, data=_without_texts(file, (0, 2, 3)))


def _without_texts(file: LayerFile, wanted: tuple[int, ...]) -> bytes:
    """Return the lines with only these fields filled: passwords and comments are nothing to keep."""
    lines = []
    for line in file.data[:].split(b"\n"):
        fields = line.split(b":")
        shown = [field if i in wanted else b"" for i, field in enumerate(fields)]
        lines.append(b":".join(shown) if len(fields) > 1 else b"")
    return b"\n".join(lines)


def effective_uid(view: ImageView) -> int | None:
    """Return the uid of ``config.User``; None for a name that the image does not know.

    A name in passwd wins over a number, as in container runtimes.
    """
    name = view.config.user.strip().partition(":")[0]
    if name in {"", "root"}:
        return 0
    kept = view.kept_at(_PASSWD, "etc/passwd")
    known = accounts(kept.data.decode("utf-8", "replace")) if kept else ()
    uid = next((a.uid for a in known if a.name == name and a.uid is not None), None)
    return _uid(name) if uid is None else uid


def _root_finding(user: str) -> Finding:
    return Finding(
        rule_id="config/root-user",
        kind=Kind.CONFIG,
        severity=Severity.MEDIUM,
        title="The image runs as root",
        why="A process that is taken over has every right in the container and is one kernel flaw from the host.",
        remedy="Create an account and name it by USER as the last step of the build.",
        path="config:User",
        evidence={"cis": "4.1", "user": user[:100]},
    )


def _unknown_finding(user: str) -> Finding:
    return Finding(
        rule_id="config/user-unknown",
        kind=Kind.CONFIG,
        severity=Severity.MEDIUM,
        title="USER names an account that the image does not have",
        why="The container cannot start, and whether it would run as root cannot be told.",
        remedy="Create the account in the image, or name a numeric uid.",
        path="config:User",
        evidence={"cis": "4.1", "user": user[:100]},
    )


def inspect(view: ImageView) -> Iterator[Output]:
    """Yield a finding if the image runs as root or as somebody unknown. Linux images only."""
    if view.config.platform.os != "linux":
        return
    uid = effective_uid(view)
    if uid is None:
        yield _unknown_finding(view.config.user)
    elif uid == 0:
        yield _root_finding(view.config.user)


ANALYZERS: Final = (
    FileAnalyzer(
        name="config/passwd",
        version=2,
        interest=Interest(globs=("etc/passwd",)),
        parse=parse_passwd,
        max_file_bytes=4 * 1024 * 1024,
        summary="accounts: a second root, empty passwords",
    ),
    FileAnalyzer(
        name="config/shadow",
        version=1,
        interest=Interest(globs=("etc/shadow",)),
        parse=parse_shadow,
        max_file_bytes=4 * 1024 * 1024,
        summary="accounts with an empty password",
    ),
    FileAnalyzer(
        name="config/group",
        version=2,
        interest=Interest(globs=("etc/group",)),
        parse=keep_group,
        max_file_bytes=4 * 1024 * 1024,
        summary="groups, kept for resolving users",
    ),
    ImageAnalyzer(
        name="config/user", version=1, inspect=inspect, summary="effective user: root or unknown"
    ),
)
