"""The command line as a person or a job meets it: words, files, exit codes, and nothing left behind."""

from __future__ import annotations

import concurrent.futures
import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.demo_images import broken_image, demo_image, write_demo
from support.image_builder import (
    Entry,
    image,
    image_index,
    oci_layout_files,
    tar_layer,
    write_oci_layout,
    write_tree,
)
from support.scanning import Outcome, command, environment, layer, run_scan, scan_json

from scanner import __version__

COMMANDS = ["attest", "backfill", "check", "completion", "db", "health", "key", "plugins", "policy", "query", "scan", "serve", "settings", "token", "verify", "worker"]  # fmt: skip
PASSWORD = "correct-horse-battery"


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    return write_demo(tmp_path_factory.mktemp("demo"))


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """One store for tests that do not look at it: compiled patterns are reused."""
    return tmp_path_factory.mktemp("home")


def run(home: Path, *arguments: object, **settings: object) -> Outcome:
    done = subprocess.run(
        command(*arguments),
        env=environment(home, **settings),
        cwd=home,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return Outcome(done.returncode, done.stdout, done.stderr)


def test_version(home):
    assert run(home, "--version").stdout == f"scanner, version {__version__}\n"


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help(home, name, flag):
    done = run(home, name, flag)
    assert done.code == 0
    assert done.stdout.startswith(f"Usage: scanner {name} ")


def test_help_lists_every_command(home):
    listed = re.findall(
        r"^  (\w+)  ", run(home, "--help").stdout.partition("Commands:")[2], re.MULTILINE
    )
    assert listed == COMMANDS


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(home, shell):
    done = run(home, "completion", shell)
    assert done.code == 0
    assert "_SCANNER_COMPLETE" in done.stdout


def test_completion_completes(home):
    done = subprocess.run(
        command(),
        env={
            **environment(home),
            "_SCANNER_COMPLETE": "bash_complete",
            "COMP_WORDS": "scanner sc",
            "COMP_CWORD": "1",
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "plain,scan\n"


def test_plugins(home):
    shown = run(home, "plugins").stdout
    for name in ("debian/dpkg-status", "secret/rules", "config/user", "oci-layout", "json"):
        assert re.search(rf"^  {name} ", shown, re.MULTILINE)


def test_settings_never_show_a_password(home):
    done = run(home, "settings", registry_password=PASSWORD)
    assert "registry.password = (set)" in done.stdout
    assert "SCANNER_REGISTRY_PASSWORD" in done.stdout
    assert PASSWORD not in done.stdout + done.stderr


BAD_USAGE = {
    "no_command": ([], "Usage:"),
    "unknown_command": (["scna"], "No such command 'scna'"),
    "no_reference": (["scan"], "Missing argument 'REF'"),
    "unknown_option": (["scan", "--nope", "x"], "No such option"),
    "unknown_format": (["scan", "oci:demo", "--format", "xml"], "'xml' is not one of"),
    "unknown_severity": (["scan", "oci:demo", "--fail-on", "bad"], "'bad' is not one of"),
    "bad_reference": (["scan", "UPPER/case"], "error: 'UPPER/case': the repository must be"),
    "bad_platform": (["scan", "oci:demo", "--platform", "a/b/c/d/e"], "error: "),
    "no_such_path": (["scan", "oci:nothing"], "no such file or directory"),
    "no_such_settings": (["scan", "oci:demo", "--config", "nothing.toml"], "error: nothing.toml: "),
    "unknown_shell": (["completion", "tcsh"], "'tcsh' is not one of"),
}


@pytest.mark.parametrize(("words", "message"), BAD_USAGE.values(), ids=BAD_USAGE.keys())
def test_usage_errors(home, words, message):
    done = run(home, *words)
    assert done.code == 2
    assert message in done.stderr


@pytest.mark.parametrize("name", ["scan", "settings"])
def test_a_bad_settings_file_is_one_line_with_file_and_key(home, tmp_path, name):
    file = tmp_path / "bad.toml"
    file.write_text(f'[registry]\npassword = "{PASSWORD}"\nusername = 7\n')
    reference = ["oci:demo"] if name == "scan" else []
    done = run(home, name, *reference, "--config", file)
    assert done.code == 2
    assert done.stderr.startswith(f"error: {file}: registry.username: ")
    assert done.stderr.count("\n") == 1
    assert PASSWORD not in done.stderr


def test_codes_of_finished_scans(home, demo):
    assert run_scan(home, f"oci:{demo}/demo").code == 0
    assert run_scan(home, f"oci:{demo}/demo", "--fail-on=critical").code == 0
    assert run_scan(home, f"oci:{demo}/demo", "--fail-on=high").code == 1
    assert run_scan(home, f"oci:{demo}/demo", scan_fail_on="medium").code == 1
    assert run_scan(home, f"docker-archive:{demo}/broken.tar").code == 3
    assert run_scan(home, f"docker-archive:{demo}/broken.tar", "--fail-on=info").code == 1


def test_code_of_an_image_that_cannot_be_scanned(home, tmp_path):
    files = oci_layout_files([demo_image()])
    whole = write_tree(files, tmp_path / "whole")
    shutil.rmtree(whole / "blobs")
    done = run_scan(home, f"oci:{whole}")
    assert done.code == 4
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")


def test_unknown_platform(home, demo):
    done = run_scan(home, f"oci:{demo}/demo", "--platform=linux/s390x")
    assert done.code == 4
    assert "linux/s390x" in done.stderr


def test_platform_of_an_index(home, tmp_path):
    layers = [layer(Entry("etc/hostname", b"x\n"))]
    both = image_index([image(layers), image(layers, architecture="arm64")])
    reference = f"oci:{write_oci_layout([both], tmp_path / 'both')}"
    platforms = [i["platform"] for i in scan_json(home, reference).report["images"]]
    assert len(platforms) == 2
    chosen = scan_json(home, reference, "--platform=linux/arm64").report["images"]
    assert [i["platform"] for i in chosen] == [{"os": "linux", "architecture": "arm64"}]


def test_offline_opens_no_connection(home):
    done = run_scan(home, "registry.example/team/app:1", "--offline")
    assert done.code != 0
    assert "offline" in done.stderr


def test_output_is_written_whole_and_alone(home, demo, tmp_path):
    target = tmp_path / "out/report.json"
    target.parent.mkdir()
    target.write_text("old")
    with subprocess.Popen([sys.executable, "-c", ""]) as dead:
        dead.wait()
    (target.parent / f".report.json.{dead.pid}.x_y.tmp").write_text("of a killed scan")
    done = run_scan(home, f"oci:{demo}/demo", "--format=json", "--output", target)
    assert (done.code, done.stdout) == (0, "")
    assert json.loads(target.read_text())["state"] == "complete"
    assert list(target.parent.iterdir()) == [target]


def test_output_to_what_is_no_file_writes_into_it(home, demo, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        read = pool.submit(pipe.read_text)
        done = run_scan(home, f"oci:{demo}/demo", "--format=json", "--output", pipe)
        assert done.code == 0, done.stderr
        assert json.loads(read.result(timeout=60))["state"] == "complete"
    assert pipe.is_fifo()


def test_output_into_a_directory_that_is_not_there(home, demo, tmp_path):
    done = run_scan(home, f"oci:{demo}/demo", "-o", tmp_path / "no/report.json")
    assert done.code == 2
    assert done.stderr.startswith(f"error: {tmp_path}/no/report.json: ")


def test_timings_are_told_beside_the_report(home, demo):
    done = run_scan(home, f"oci:{demo}/demo", "--timings", "--format=json")
    assert re.findall(r"^ +(\w+) +[0-9.]+ s$", done.stderr, re.MULTILINE)[-1] == "scan"
    assert json.loads(done.stdout)


def test_hostile_names_reach_the_terminal_as_text(home, tmp_path):
    path = "app/\x1b]0;owned\x07\u202e/node_modules/x/package.json"
    hostile = image([layer(Entry(path, b'{"name": '))], {"ExposedPorts": {"22/tcp\x1b[31m": {}}})
    layout = write_oci_layout([hostile], tmp_path / "evil\x1b[2J")
    for form in ("table", "json"):
        done = run_scan(home, f"oci:{layout}", f"--format={form}")
        assert done.code == 3
        assert all(c.isprintable() or c == "\n" for c in done.stdout + done.stderr)
    missing = run_scan(home, "oci:nothing\x1b[2J")
    assert all(c.isprintable() or c == "\n" for c in missing.stderr)


def on_terminal(home: Path, words: list[str], **variables: str) -> bytes:
    """Run a command whose output is a terminal; return everything it drew."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        command(*words),
        env={**environment(home), "TERM": "xterm", **variables},
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        drawn = b""
        while select.select([ours], [], [], 60)[0]:
            try:
                data = os.read(ours, 65_536)
            except OSError:  # the other end is closed
                break
            if not data:
                break
            drawn += data
        process.wait()
    os.close(ours)
    return drawn


def test_colour_only_on_a_terminal_that_wants_it(home, demo):
    words = ["scan", f"oci:{demo}/demo", "--quiet"]
    assert b"\x1b[1;31m HIGH " in on_terminal(home, words)
    assert b"\x1b" not in on_terminal(home, words, NO_COLOR="1")
    assert "\x1b" not in run_scan(home, *words[1:]).stdout


def test_progress_is_drawn_on_a_terminal_and_not_when_quiet(tmp_path):
    big = image([layer(Entry("a", os.urandom(8_000_000)))])
    words = ["scan", f"oci:{write_oci_layout([big], tmp_path / 'big')}", "-o", os.devnull]
    label = big.manifest_bytes.decode().rpartition("sha256:")[2][:12].encode()
    assert label in on_terminal(tmp_path / "one", words)
    assert on_terminal(tmp_path / "two", [*words, "--quiet"]) == b""


def big_layout(directory: Path) -> Path:
    """Return an image that takes long enough to be interrupted: 600 MB of text in a few MB."""
    body = b"".join(b"%d some words of a log file that goes on\n" % n for n in range(200_000))
    entries = [Entry(f"var/log/{n}", body) for n in range(60)]
    return write_oci_layout([image([tar_layer(entries)])], directory / "big")


def files_below(*directories: Path) -> list[str]:
    found = [p for d in directories for p in d.rglob("*") if p.is_file()]
    return sorted(p.name for p in found if not p.name.startswith("scanner.db"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda n: n.name)
def test_an_interrupted_scan_leaves_nothing(tmp_path, number):
    layout = big_layout(tmp_path)
    home, output = tmp_path / "home", tmp_path / "out"
    output.mkdir()
    run_scan(home, f"oci:{write_oci_layout([broken_image()], tmp_path / 'small')}")
    before = files_below(home)
    with subprocess.Popen(
        command("scan", f"oci:{layout}", "--output", output / "report"),
        env=environment(home),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        while not list((home / "data").rglob("*.lock")) and process.poll() is None:
            time.sleep(0.01)  # until it reads the layer
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    assert stdout == ""
    assert "Traceback" not in stderr
    assert files_below(home, output) == before
