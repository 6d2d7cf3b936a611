"""Tokens, database and health by command: what is printed, kept, refused."""

from __future__ import annotations

import re
import sqlite3

import pytest
from support.demo_images import write_demo
from support.scanning import bytes_below, timeless
from support.serving import run_command

from scanner.cli.commands.token import SCOPES
from scanner.web._route import Scope


def run(home, *arguments, **settings):
    return run_command(home, settings, *arguments)


def create(home, name="ci", scope="read,scan", *more):
    return run(home, "token", "create", name, "--scope", scope, *more)


def test_the_scopes_are_those_of_the_service():
    assert set(SCOPES) == {s.value for s in Scope}


def test_a_token_is_shown_once_and_kept_nowhere(tmp_path):
    made = create(tmp_path)
    assert made.code == 0
    token = made.stdout.removesuffix("\n")
    assert re.fullmatch(r"scn_[A-Za-z0-9_-]{40,}", token)
    assert re.fullmatch(r"token [0-9A-Z]{26} for read, scan, until it is revoked\n", made.stderr)
    listed = run(tmp_path, "token", "list")
    assert token not in listed.stdout + listed.stderr
    assert token.encode() not in bytes_below([tmp_path])


def test_tokens_end_and_are_revoked(tmp_path):
    assert run(tmp_path, "token", "list").stdout == ""
    first = create(tmp_path, "first", "read", "--expires", "90d")
    assert re.search(r"for read, until 20\d\d-\d\d-\d\d\n", first.stderr)
    second = create(tmp_path, "second", "admin")
    token_id = second.stderr.split()[1]
    assert run(tmp_path, "token", "revoke", token_id).code == 0
    again = run(tmp_path, "token", "revoke", token_id)
    assert (again.code, "revoked before" in again.stderr) == (2, True)
    lines = run(tmp_path, "token", "list").stdout.splitlines()
    assert ["first" in lines[0], "second" in lines[1]] == [True, True]
    assert ["until 20" in lines[0], "revoked 20" in lines[1]] == [True, True]


@pytest.mark.parametrize(
    ("name", "scope", "more", "reason"),
    [
        ("ci", "reed", (), "--scope"),
        ("ci", "", (), "--scope"),
        ("ci", "read", ("--expires", "soon"), "--expires"),
        ("ci", "read", ("--expires", "0d"), "--expires"),
        ("ci", "read", ("--expires", "99999w"), "--expires"),
        ("a\x1b[2J", "read", (), "NAME"),
        ("", "read", (), "NAME"),
    ],
)
def test_wrong_tokens(tmp_path, name, scope, more, reason):
    done = create(tmp_path, name, scope, *more)
    assert (done.code, done.stdout) == (2, "")
    assert reason in done.stderr
    assert run(tmp_path, "token", "list").stdout == ""


def test_migrate_and_backup(tmp_path):
    made = run(tmp_path, "db", "migrate")
    assert made.stdout == f"{tmp_path / 'data/scanner.db'}: up to date\n"
    create(tmp_path, "kept")
    copy = tmp_path / "copy.db"
    assert run(tmp_path, "db", "backup", copy).code == 0
    assert copy.stat().st_mode & 0o777 == 0o600
    connection = sqlite3.connect(copy)
    assert connection.execute("SELECT name FROM tokens").fetchall() == [("kept",)]
    connection.close()
    again = run(tmp_path, "db", "backup", copy)
    assert (again.code, "there already" in again.stderr) == (4, True)


def test_collect(tmp_path):
    done = run(tmp_path, "db", "collect")
    assert done.code == 0
    assert "scans: 0" in done.stdout


def test_a_database_that_is_not_there_shows_no_password(tmp_path):
    url = "postgresql://scanner:correct-horse@127.0.0.1:1/scanner"
    for words in (("token", "list"), ("db", "migrate"), ("query", f"sha256:{'0' * 64}")):
        done = run(tmp_path, *words, store_url=url)
        assert done.code == 4
        assert "127.0.0.1" in done.stderr
        assert "correct-horse" not in done.stderr


def test_what_was_scanned_here_is_known_here(tmp_path):
    reference = f"oci:{write_demo(tmp_path)}/demo"
    scanned = run(tmp_path, "scan", reference, "--format=json")
    digest = scanned.image["digest"]
    known = run(tmp_path, "query", digest, "--format=json", "--fail-on=high")
    assert known.code == 1
    assert timeless(known.image) == timeless(scanned.image)
    short = run(tmp_path, "query", digest)
    told = short.stdout.splitlines()[3:]
    assert (short.code, told[:2]) == (1, ["complete: 1 high, 1 info", "deny by policy default"])
    assert told[2].startswith("  deny credentials: Private key")
    (tmp_path / "policy.yaml").write_text("version: 1\nname: mine\n")
    allowed = run(tmp_path, "query", digest, policy_file=tmp_path / "policy.yaml")
    assert (allowed.code, "by policy mine" in allowed.stdout) == (0, True)


def test_nobody_is_well(tmp_path):
    done = run(tmp_path, "health", server_listen="0.0.0.0:1")
    assert (done.code, done.stdout) == (4, "")
    assert "refused" in done.stderr
