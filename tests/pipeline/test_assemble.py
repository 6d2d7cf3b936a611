"""From layers to one report, end to end: what is visible, whose it is, what of it was looked at."""

from __future__ import annotations

import random

import msgspec
import pytest
from support.image_builder import (
    Entry,
    directory,
    hardlink,
    image,
    symlink,
    write_oci_layout,
    write_tree,
)
from support.scanning import OS_RELEASE, dpkg_status, layer, python_package, scan_here
from support.secret_samples import base62, with_crc

from scanner.model import HistoryEntry, ImageReport, ScanState, Severity

TOKEN = with_crc("ghp_", base62(random.Random(11), 30))
BASE = layer(
    OS_RELEASE,
    dpkg_status("base", "python3-one"),
    Entry(
        "var/lib/dpkg/info/python3-one.list",
        b"/.\n/usr\n/usr/lib/python3/dist-packages/one-1.0.dist-info/METADATA\n/usr/share/one/test.key\n",
    ),
    *python_package("one"),
    *python_package("two"),
    Entry("usr/share/one/test.key", TOKEN.encode()),
    Entry("srv/old/package.txt", TOKEN.encode()),
)


@pytest.fixture
def scanned(context, tmp_path):
    def scan(*layers: bytes, config=(), **document) -> ImageReport:
        one = image(layers, {"User": "1", **dict(config)}, **document)
        return scan_here(write_oci_layout([one], tmp_path / "layout"), context).images[0]

    return scan


def named(report: ImageReport) -> dict[str, str]:
    return {p.name: p.path for p in report.packages}


def paths_of(report: ImageReport, rule: str) -> dict[str, bool]:
    return {f.path: f.deleted_later for f in report.findings if f.rule_id == rule}


SITE = "usr/lib/python3/dist-packages"


@pytest.mark.parametrize(
    ("entries", "want"),
    [
        pytest.param([Entry("x")], ["base", "one", "python3-one", "two"], id="nothing_deleted"),
        pytest.param(
            [Entry(f"{SITE}/.wh.two-1.0.dist-info")], ["base", "one", "python3-one"], id="whiteout"
        ),
        pytest.param(
            [Entry(f"{SITE}/.wh..wh..opq"), *python_package("new")],
            ["base", "new", "python3-one"],
            id="opaque",
        ),
        pytest.param([Entry(".wh.usr")], ["base", "python3-one"], id="whole_tree"),
        pytest.param([symlink("usr", "srv")], ["base", "python3-one"], id="type_change"),
        pytest.param([Entry("var/lib/dpkg/.wh.status")], ["one", "two"], id="database"),
        pytest.param([dpkg_status("other")], ["one", "other", "two"], id="newer_database"),
    ],
)
def test_what_newer_layers_hide(entries, want, scanned):
    assert sorted(named(scanned(BASE, layer(*entries)))) == want


def test_packages_below_linked_directories(scanned):
    first = layer(OS_RELEASE, directory("usr/lib"), symlink("lib", "usr/lib"))
    second = layer(*python_package("one", "lib/python3/dist-packages"))
    assert named(scanned(first, second)) == {"one": f"{SITE}/one-1.0.dist-info/METADATA"}


def test_hardlink_to_an_older_layer(scanned):
    second = layer(hardlink("srv/copy.txt", "srv/old/package.txt"), Entry("srv/.wh.old"))
    assert paths_of(scanned(BASE, second), "secret/github-token")["srv/copy.txt"] is False


def test_secrets_of_deleted_files_are_told(scanned):
    report = scanned(BASE, layer(Entry("srv/.wh.old")))
    assert paths_of(report, "secret/github-token")["srv/old/package.txt"] is True


def test_distribution_packages_carry_its_name(scanned):
    report = scanned(BASE)
    assert [p.purl for p in report.packages if p.from_distribution] == [
        "pkg:deb/debian/base@1.0?arch=amd64&distro=debian-12",
        "pkg:deb/debian/python3-one@1.0?arch=amd64&distro=debian-12",
    ]
    assert report.distribution.name == "Debian 12"
    assert report.coverage.distribution_recognised
    assert report.coverage.ecosystems == {"deb": 2, "pypi": 2}


def test_distribution_of_a_newer_layer_counts(scanned):
    newer = layer(Entry("etc/os-release", b"ID=ubuntu\nVERSION_ID=24.04\n"))
    purls = {p.purl for p in scanned(BASE, newer).packages if p.from_distribution}
    assert "pkg:deb/ubuntu/base@1.0?arch=amd64&distro=ubuntu-24.04" in purls


def test_unknown_distribution_is_told(scanned):
    report = scanned(layer(dpkg_status("base")))
    assert (report.state, report.coverage.distribution_recognised) == (ScanState.PARTIAL, False)
    assert [i.path for i in report.coverage.issues] == ["var/lib/dpkg/status"]


def test_owners(scanned):
    owners = {p.name: p.owner for p in scanned(BASE).packages}
    owner = "pkg:deb/debian/python3-one@1.0?arch=amd64&distro=debian-12"
    assert owners == {"base": "", "python3-one": "", "one": owner, "two": ""}


def test_secret_that_the_distribution_ships_is_lowered(scanned):
    found = {f.path: f for f in scanned(BASE).findings if f.rule_id == "secret/github-token"}
    shipped = found["usr/share/one/test.key"]
    assert shipped.severity is Severity.LOW
    assert shipped.evidence["shipped_by"].startswith("pkg:deb/debian/python3-one@")
    assert found["srv/old/package.txt"].severity.rank > Severity.LOW.rank


@pytest.mark.parametrize(
    ("path", "is_shipped", "want"),
    [
        ("usr/share/one/a.js", True, (Severity.LOW, "")),
        ("usr/share/one/tests/a.js", True, (Severity.INFO, "test data")),
        ("usr/share/one/tests/a.js", False, (Severity.LOW, "test data")),
        ("srv/node_modules/one/docs/a.js", False, (Severity.LOW, "documentation")),
        ("srv/node_modules/one/README.md", False, (Severity.LOW, "documentation")),
        ("srv/node_modules/one/index.d.ts", False, (Severity.LOW, "documentation")),
        ("srv/node_modules/one/index.ts", False, None),
        ("srv/docs/README.md", False, None),
    ],
)
def test_what_is_hardly_in_use_is_lowered(path, is_shipped, want, scanned):
    owned = Entry("var/lib/dpkg/info/one.list", f"/{path}\n".encode() if is_shipped else b"/.\n")
    report = scanned(layer(OS_RELEASE, dpkg_status("one"), owned, Entry(path, TOKEN.encode())))
    (found,) = (f for f in report.findings if f.rule_id == "secret/github-token")
    if want is None:
        assert found.severity.rank > Severity.LOW.rank
    else:
        assert (found.severity, found.evidence.get("context", "")) == want


def test_layer_and_build_step_of_what_is_found(scanned):
    history = [
        {"created_by": "ADD rootfs.tar / # buildkit"},
        {"created_by": "ENV A=b", "empty_layer": True},
        {"created_by": "COPY app /app # buildkit"},
    ]
    report = scanned(BASE, layer(Entry("app/t", TOKEN.encode())), history=history)
    places = {f.path: (f.layer_index, f.build_step) for f in report.findings if f.layer}
    assert places["app/t"] == (1, "COPY app /app # buildkit")
    assert places["srv/old/package.txt"] == (0, "ADD rootfs.tar / # buildkit")
    assert [x.build_step for x in report.layers] == [
        "ADD rootfs.tar / # buildkit",
        "COPY app /app # buildkit",
    ]
    assert report.config.history[1] == HistoryEntry(created_by="ENV A=…", empty_layer=True)
    assert {p.name: p.layer_index for p in report.packages}["base"] == 0


@pytest.mark.parametrize("count", [0, 1, 3])
def test_history_that_does_not_fit_names_no_step(count, scanned):
    history = [{"created_by": f"step {n}"} for n in range(count)]
    report = scanned(BASE, layer(Entry("app/t")), history=history)
    assert [x.build_step for x in report.layers] == ["", ""]


def test_what_the_whole_image_tells_names_the_layer_of_its_file(scanned):
    report = scanned(BASE, layer(dpkg_status("base", "sudo")), layer(Entry("x")))
    places = {f.path: f.layer_index for f in report.findings if not f.path.startswith("config:")}
    assert places["var/lib/dpkg/status"] == 1
    assert {f.layer_index for f in report.findings if f.path.startswith("config:")} == {None}
    (summary,) = (x for x in report.layers if x.index == 1)
    assert {f.layer for f in report.findings if f.layer_index == 1} == {summary.digest}


def compiled(name: str) -> bytes:
    """Return bytes like those of a compiled module that holds a token."""
    return b"\xa7\r\r\n" + name.encode() + b"\0\xda" + TOKEN.encode() + b"\0\xe9"


@pytest.mark.parametrize(
    ("entries", "want"),
    [
        pytest.param(
            ["app/a.py", "app/__pycache__/a.cpython-311.pyc", "app/a.pyc"],
            {"app/a.py"},
            id="beside",
        ),
        pytest.param(["a.py", "__pycache__/a.cpython-311.opt-1.pyc"], {"a.py"}, id="root"),
        pytest.param(["app/b.pyc"], {"app/b.pyc"}, id="without_source"),
        pytest.param(
            ["app/a.py", "lib/__pycache__/a.cpython-311.pyc"],
            {"app/a.py", "lib/__pycache__/a.cpython-311.pyc"},
            id="of_another_directory",
        ),
        pytest.param(
            ["app/a.py", "app/__pycache__/b.cpython-311.pyc"],
            {"app/a.py", "app/__pycache__/b.cpython-311.pyc"},
            id="of_another_module",
        ),
    ],
)
def test_compiled_python_does_not_repeat_its_source(entries, want, scanned):
    contents = {p: compiled(p) if p.endswith("c") else f"t = '{TOKEN}'\n".encode() for p in entries}
    report = scanned(layer(OS_RELEASE, *(Entry(p, c) for p, c in contents.items())))
    assert set(paths_of(report, "secret/github-token")) == want


def test_compiled_python_whose_source_is_deleted_is_told(scanned):
    path = "app/__pycache__/a.cpython-311.pyc"
    first = layer(OS_RELEASE, Entry("app/a.py", TOKEN.encode()), Entry(path, compiled("a")))
    report = scanned(first, layer(Entry("app/.wh.a.py")))
    assert paths_of(report, "secret/github-token") == {"app/a.py": True, path: False}


def test_a_secret_in_the_key_of_a_label_is_shown_nowhere(scanned):
    labels = {"fine": "1", f"key-{TOKEN}": "2", f"other {TOKEN} too": TOKEN, "last": "3"}
    report = scanned(BASE, config={"Labels": labels})
    assert report.config.labels == {"fine": "1", "…1": "…", "…2": "…", "last": "3"}
    found = {p for p in paths_of(report, "secret/github-token") if p.startswith("config:")}
    assert found == {"config:Labels/…1", "config:Labels/…2"}
    assert TOKEN.encode() not in msgspec.json.encode(report)


def test_fingerprints_survive_other_layers(scanned):
    def prints(report):
        return {
            f.path: f.fingerprint for f in report.findings if f.rule_id == "secret/github-token"
        }

    first = prints(scanned(BASE))
    assert prints(scanned(layer(Entry("x")), BASE)) == first
    assert len(set(first.values())) == len(first) == 2


def test_worst_findings_come_first(scanned):
    ranks = [f.severity.rank for f in scanned(BASE, config={"Env": ["A_TOKEN=x1y2z3w4"]}).findings]
    assert ranks == sorted(ranks, reverse=True)


def test_one_bad_file_leaves_the_rest(scanned):
    report = scanned(BASE, layer(Entry("app/package-lock.json", b"{" * 100)))
    assert sorted(named(report)) == ["base", "one", "python3-one", "two"]
    (issue,) = report.coverage.issues
    assert (issue.path, issue.code) == ("app/package-lock.json", "malformed-file")
    assert report.state is ScanState.PARTIAL


def test_bad_file_that_is_deleted_later_is_no_issue(scanned):
    report = scanned(
        BASE,
        layer(Entry("app/package-lock.json", b"{" * 100)),
        layer(Entry("app/.wh.package-lock.json")),
    )
    assert (report.state, report.coverage.issues) == (ScanState.COMPLETE, ())


def test_bare_directory_has_no_config_to_judge(context, tmp_path):
    files = {
        "etc/os-release": OS_RELEASE.data,
        "var/lib/dpkg/status": dpkg_status("base").data,
        "app/t": TOKEN.encode(),
        "etc/passwd": b"root:x:0:0::/root:/bin/sh\nadmin:x:0:0::/:/bin/sh\n",
    }
    reference = f"dir:{write_tree(files, tmp_path / 'root')}"
    (report,) = scan_here(reference, context).images
    assert named(report) == {"base": "var/lib/dpkg/status"}
    assert sorted(f.rule_id for f in report.findings) == [
        "privilege/second-root",
        "secret/github-token",
    ]
    assert (report.config, report.state) == (None, ScanState.COMPLETE)


def test_bare_directory_is_read_anew_each_time(context, tmp_path):
    root = write_tree({"etc/os-release": OS_RELEASE.data}, tmp_path / "root")
    assert named(scan_here(f"dir:{root}", context).images[0]) == {}
    write_tree({"var/lib/dpkg/status": dpkg_status("base").data}, root)
    (report,) = scan_here(f"dir:{root}", context).images
    assert named(report) == {"base": "var/lib/dpkg/status"}
    assert not report.layers[0].cached


def test_annotation_of_a_bare_directory_switches_nothing_off(context, tmp_path):
    """Any image may carry the mark that a bare directory's made-up manifest has."""
    config = {"User": "0", "Env": [f"TOKEN={TOKEN}"]}

    def rules(path, **more):
        one = image([BASE], config, **more)
        (report,) = scan_here(write_oci_layout([one], tmp_path / path), context).images
        return sorted((f.rule_id, f.path) for f in report.findings), report.config

    marked = rules("a", annotations={"dev.scanner.source": "rootfs"})
    assert marked == rules("b")
    assert ("config/root-user", "config:User") in marked[0]
    assert ("secret/github-token", "config:Env/TOKEN") in marked[0]
