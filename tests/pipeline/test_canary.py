"""A secret is told of, and never repeated: not by reports, not on standard error, not in the database."""

from __future__ import annotations

import io
import random
import sqlite3
import zipfile
from pathlib import Path

import pytest
import zstandard
from support.image_builder import Entry, image, write_oci_layout
from support.scanning import (
    OS_RELEASE,
    Outcome,
    bytes_below,
    dpkg_status,
    layer,
    python_package,
    run_scan,
    scan_json,
)
from support.secret_samples import base62, pem, with_crc

RNG = random.Random(5)
PLACES = (
    "env", "label", "history", "comment", "argument", "command", "entrypoint", "health", "file", "deleted",
    "replaced", "binary", "manifest", "metadata", "passwd", "release", "json", "settings", "status", "link",
)  # fmt: skip
TOKENS = {place: with_crc("ghp_", base62(RNG, 30)) for place in PLACES}
KEYS = {place: pem() for place in ("label", "history", "file")}
ENDED = {"no_equals": with_crc("ghp_", base62(RNG, 30)), "spaced": "correct horse battery"}


def jar() -> bytes:
    out = io.BytesIO()
    manifest = f"Manifest-Version: 1.0\nImplementation-Title: app\nImplementation-Version: 1\nX-Token: {TOKENS['manifest']}\n"
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("META-INF/MANIFEST.MF", manifest)
    return out.getvalue()


def layers() -> list[bytes]:
    metadata = python_package("thing")
    named = f"Metadata-Version: 2.1\nName: thing\nVersion: 1.0\nSummary: {TOKENS['metadata']}\n"
    old = [
        Entry(OS_RELEASE.path, OS_RELEASE.data + f"X_TOKEN={TOKENS['release']}\n".encode()),
        Entry(
            "var/lib/dpkg/status",
            dpkg_status("base").data[:-1] + f"Description: {TOKENS['status']}\n\n".encode(),
        ),
        Entry("etc/passwd", f"root:x:0:0:{TOKENS['passwd']}:/root:/bin/sh\n".encode()),
        Entry(metadata[0].path, named.encode()),
        Entry("app/token.txt", f"token = {TOKENS['file']}\n".encode()),
        Entry("app/key.pem", KEYS["file"].encode()),
        Entry("app/deleted.txt", f"token = {TOKENS['deleted']}\n".encode()),
        Entry("app/replaced.txt", f"token = {TOKENS['replaced']}\n".encode()),
        Entry("usr/bin/tool", b"\x7fELF\2\1\1" + bytes(200) + TOKENS["binary"].encode() + bytes(9)),
        Entry("app/app.jar", jar()),
        Entry(
            "app/node_modules/x/package.json",
            f'{{"name":"x","version":"1.0.0","t":"{TOKENS["json"]}"}}'.encode(),
        ),
        Entry("etc/ssh/sshd_config", f"PermitRootLogin yes\n# {TOKENS['settings']}\n".encode()),
    ]
    new = [Entry("app/.wh.deleted.txt"), Entry("app/replaced.txt", b"nothing\n")]
    return [layer(*old), layer(*new)]


def canary() -> object:
    config = {
        "Env": [
            "PATH=/bin",
            f"GH={TOKENS['env']}",
            ENDED["no_equals"],
            f"PASSPHRASE={ENDED['spaced']}",
        ],
        "Labels": {"org.example.build": f"by {TOKENS['label']}", "org.example.key": KEYS["label"]},
        "Cmd": ["run", f"--token={TOKENS['command']}"],
        "Entrypoint": ["/bin/sh", "-c", f"TOKEN={TOKENS['entrypoint']} exec run"],
        "Healthcheck": {"Test": ["CMD-SHELL", f"curl -H 'Authorization: {TOKENS['health']}' /"]},
        "User": "1000",
    }
    history = [
        {"created_by": f"RUN |1 GH={TOKENS['argument']} /bin/sh -c make # buildkit"},
        {"created_by": f"RUN /bin/sh -c echo {TOKENS['history']}", "comment": TOKENS["comment"]},
        {"created_by": f"RUN /bin/sh -c echo '{KEYS['history']}'", "empty_layer": True},
        {"created_by": f"ENV PASSPHRASE={ENDED['spaced']}", "empty_layer": True},
    ]
    return image(layers(), config, history=history)


def stored_reports(database: Path) -> bytes:
    """Return everything in the database, uncompressed."""
    connection = sqlite3.connect(database)
    try:
        tables = [
            n for (n,) in connection.execute("SELECT name FROM sqlite_master WHERE type='table'")
        ]
        cells = [c for t in tables for row in connection.execute(f"SELECT * FROM {t}") for c in row]
    finally:
        connection.close()
    found = []
    for cell in cells:
        if isinstance(cell, bytes):
            found.append(zstandard.ZstdDecompressor().decompress(cell))
        else:
            found.append(str(cell).encode())
    return b"\0".join(found)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("canary")


@pytest.fixture(scope="module")
def layout(home: Path) -> Path:
    return write_oci_layout([canary()], home / "layout")


@pytest.fixture(scope="module")
def outcome(home: Path, layout: Path) -> Outcome:
    return scan_json(home / "home", layout, "--timings")


WHERE = {
    "env": "config:Env/GH", "label": "config:Labels/org.example.build", "history": "config:History/1",
    "comment": "config:History/1", "argument": "config:History/0", "command": "config:Cmd",
    "entrypoint": "config:Entrypoint", "health": "config:Healthcheck", "file": "app/token.txt",
    "deleted": "app/deleted.txt", "replaced": "app/replaced.txt", "binary": "usr/bin/tool",
    "passwd": "etc/passwd", "release": "etc/os-release", "json": "app/node_modules/x/package.json",
    "settings": "etc/ssh/sshd_config", "status": "var/lib/dpkg/status",
}  # fmt: skip


@pytest.mark.parametrize("place", WHERE)
def test_every_secret_is_found(place, outcome):
    found = {f["path"] for f in outcome.image["findings"] if f["rule_id"] == "secret/github-token"}
    assert WHERE[place] in found


def test_secrets_of_deleted_and_replaced_files_are_marked(outcome):
    later = {f["path"] for f in outcome.image["findings"] if f.get("deleted_later")}
    assert later == {"app/deleted.txt", "app/replaced.txt"}


def test_build_step_is_named_without_values(outcome):
    (found,) = (f for f in outcome.image["findings"] if f["path"] == "app/token.txt")
    assert (found["layer_index"], found["build_step"]) == (0, "RUN …")


@pytest.fixture(scope="module")
def everything(outcome, home, layout) -> bytes:
    """Return all that was written: reports, standard error, every file, the database's content."""
    table = run_scan(home / "home", layout, "--format=table")
    told = f"{outcome.stdout}{outcome.stderr}{table.stdout}{table.stderr}".encode()
    database = stored_reports(home / "home/data/scanner.db")
    assert b"app/token.txt" in database
    return told + bytes_below([home / "home"]) + database


@pytest.mark.parametrize("place", [*TOKENS, *ENDED])
def test_no_secret_is_repeated(place, everything):
    assert (TOKENS | ENDED)[place].encode() not in everything


@pytest.mark.parametrize("place", KEYS)
def test_no_private_key_is_repeated(place, everything):
    lines = KEYS[place].splitlines()[1:-1]
    assert [line for line in lines if line.encode() in everything] == []
