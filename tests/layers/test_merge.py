from __future__ import annotations

import msgspec
import pytest
from support.tree import (
    contents,
    directory,
    file,
    hardlink,
    merged,
    merged_entries,
    opaque,
    report,
    symlink,
    whiteout,
)

from scanner.errors import LimitExceededError
from scanner.layers.merge import finish
from scanner.model import (
    Distribution,
    FileIssue,
    Finding,
    Kept,
    Kind,
    LimitHit,
    OwnedFiles,
    Package,
    Severity,
)
from scanner.model.report import LayerTree
from scanner.ports import ImageView

USR_MERGE = [directory("usr"), directory("usr/lib"), symlink("lib", "usr/lib")]
STATUS = "var/lib/dpkg/status"


@pytest.mark.parametrize(
    ("layers", "want"),
    [
        pytest.param([], {}, id="no_layers"),
        pytest.param([[]], {}, id="empty_layer"),
        pytest.param([[file("a")], []], {"a": "0:a"}, id="untouched"),
        pytest.param([[file(STATUS)], [file(STATUS)]], {STATUS: f"1:{STATUS}"}, id="last_wins"),
        pytest.param([[file("a/x")], [whiteout("a/x")]], {}, id="whiteout_file"),
        pytest.param([[file("a/b/x"), file("y")], [whiteout("a")]], {"y": "0:y"}, id="whiteout_tree"),
        pytest.param(
            [[file("x")], [whiteout("x"), file("x")]], {"x": "1:x"}, id="whiteout_spares_own_layer"
        ),
        pytest.param(
            [[file("x")], [file("x"), whiteout("x")]], {"x": "1:x"}, id="whiteout_after_the_file"
        ),
        pytest.param(
            [[file("a/x"), file("a/b/y"), file("c")], [file("a/z"), opaque("a")]],
            {"c": "0:c", "a/z": "1:a/z"},
            id="opaque",
        ),
        pytest.param([[file("a/x")], [opaque(""), file("b")]], {"b": "1:b"}, id="opaque_root"),
        pytest.param([[file("x")], [whiteout("y"), opaque("z"), whiteout("x/y")]], {"x": "0:x"}, id="nothing_to_hide"),
        pytest.param([[file("a/x")], [file("a")]], {"a": "1:a"}, id="directory_to_file"),
        pytest.param([[file("a/x")], [symlink("a", "b")]], {}, id="directory_to_symlink"),
        pytest.param([[file("a")], [directory("a"), file("a/x")]], {"a/x": "1:a/x"}, id="file_to_directory"),
        pytest.param([[file("a")], [file("a/x")]], {"a/x": "1:a/x"}, id="file_to_unnamed_directory"),
        pytest.param([[file("a/x")], [directory("a")]], {"a/x": "0:a/x"}, id="directories_merge"),
        pytest.param(
            [USR_MERGE, [file("lib/x")]], {"usr/lib/x": "1:lib/x"}, id="written_through_symlink"
        ),
        pytest.param(
            [[*USR_MERGE, file("usr/lib/x")], [file("lib/x")]],
            {"usr/lib/x": "1:lib/x"},
            id="replaced_through_symlink",
        ),
        pytest.param(
            [[*USR_MERGE, file("usr/lib/x")], [whiteout("lib/x")]], {}, id="whiteout_through_symlink"
        ),
        pytest.param(
            [[*USR_MERGE, file("usr/lib/x")], [opaque("lib")]], {}, id="opaque_through_symlink"
        ),
        pytest.param(
            [[*USR_MERGE, file("usr/lib/x")], [directory("lib"), opaque("lib"), file("lib/y")]],
            {"usr/lib/x": "0:usr/lib/x", "lib/y": "1:lib/y"},
            id="symlink_to_opaque_directory",
        ),
        pytest.param(
            [[symlink("a", "../../../b/./c"), file("a/x")]], {"b/c/x": "0:a/x"}, id="stays_in_root"
        ),
        pytest.param(
            [[symlink("d/a", "/b"), symlink("b", "c"), file("d/a/x")]],
            {"c/x": "0:d/a/x"},
            id="absolute_then_relative",
        ),
        pytest.param(
            [[symlink("a", "b"), symlink("b", "a")], [file("a/x")]], {"a/x": "1:a/x"}, id="loop"
        ),
        pytest.param(
            [[file("d/x"), file("e/y")], [symlink("d", "e")], [file("d/x")]],
            {"e/y": "0:e/y", "e/x": "2:d/x"},
            id="directory_becomes_symlink_then_written",
        ),
        pytest.param(
            [[symlink("a", "b"), file("a/x"), directory("a"), file("a/y")]],
            {"b/x": "0:a/x", "a/y": "0:a/y"},
            id="symlink_replaced_in_its_own_layer",
        ),
        pytest.param(
            [[file("a"), hardlink("b", "a")]], {"a": "0:a"}, id="hardlink_shows_the_original"
        ),
        pytest.param(
            [[file("a"), hardlink("b", "a")], [whiteout("a")]], {"b": "0:a"}, id="hardlink_outlives"
        ),
        pytest.param(
            [[file("a")], [hardlink("b", "a")], [file("a")]],
            {"b": "0:a", "a": "2:a"},
            id="hardlink_to_older_layer",
        ),
        pytest.param(
            [[file("a")], [hardlink("b", "a"), whiteout("a")]], {"b": "0:a"}, id="hardlink_and_whiteout"
        ),
        pytest.param(
            [[hardlink("a/b", "z"), file("z")], [whiteout("z")]], {"a/b": "0:z"}, id="hardlink_before_target"
        ),
        pytest.param(
            [[file("a"), hardlink("b", "./a"), hardlink("c", "/b")], [whiteout("a"), whiteout("b")]],
            {"c": "0:a"},
            id="hardlink_chain",
        ),
    ],
)  # fmt: skip
def test_what_is_visible(layers, want):
    assert contents(merged_entries(*layers)) == want


@pytest.mark.parametrize(
    ("layers", "want"),
    [
        pytest.param([[hardlink("b", "a")]], ["b"], id="nowhere"),
        pytest.param([[hardlink("b", "b")]], ["b"], id="itself"),
        pytest.param([[directory("a"), hardlink("b", "a")]], ["b"], id="directory"),
        pytest.param([[hardlink("b", "a"), hardlink("a", "b")]], [], id="each_other_ends"),
        pytest.param([[hardlink("b", "a")], [whiteout("b")]], [], id="hidden_later"),
        pytest.param([[hardlink("b", "../../a"), file("a")]], [], id="leaves_root"),
    ],
)
def test_hard_link_to_nowhere(layers, want):
    image = merged(*(report(entries) for entries in layers))
    if want:
        assert [(i.path, i.code, i.layer) for i in image.issues] == [
            (p, "malformed-file", "L0") for p in want
        ]
    else:
        assert len(image.issues) <= 1


def test_hard_link_to_an_older_file_that_holds_nothing_is_no_issue():
    image = merged(report([*USR_MERGE, file("lib/a")]), report([hardlink("b", "usr/lib/a")]))
    assert image.issues == ()


def package(path, **values):
    return Package(purl_type="generic", name="p", version="1", path=path, **values)


def finding(path, kind=Kind.SECRET, **values):
    words = {"title": "t", "why": "w", "remedy": "r", "severity": Severity.HIGH, **values}
    return Finding(rule_id="x/y", kind=kind, path=path, **words)


@pytest.mark.parametrize(
    ("path", "files", "gone", "want"),
    [
        pytest.param("app.jar!/x", ["app.jar"], "app.jar", [], id="in_an_archive"),
        pytest.param("app.jar!/x", ["app.jar"], "other", ["app.jar!/x"], id="archive_stays"),
        pytest.param("a.ear!/b.jar!/x", ["a.ear"], "a.ear", [], id="in_nested_archives"),
        pytest.param("wow!/x", ["wow!/x"], "wow!/x", [], id="odd_directory"),
        pytest.param("wow!/b.jar!/x", ["wow!/b.jar"], "wow!", [], id="archive_in_odd_directory"),
        pytest.param(
            "a.jar!/x", ["a.jar", "a.jar!/x"], "a.jar!/x", ["a.jar!/x"], id="ambiguous_stays"
        ),
        pytest.param("config:Env/A", [], "config:Env", ["config:Env/A"], id="config"),
        pytest.param("not/in/tree", [], "not", ["not/in/tree"], id="not_in_the_tree"),
    ],
)
def test_where_items_live(path, files, gone, want):
    image = merged(
        report([file(f) for f in files], packages=(package(path),)), report([whiteout(gone)])
    )
    assert [p.path for p in image.packages] == want


def test_path_inside_an_archive_follows_the_archive():
    image = merged(
        report([*USR_MERGE, file("lib/a.jar"), hardlink("b.jar", "lib/a.jar")],
               packages=(package("lib/a.jar!/x"),)),
        report([whiteout("usr/lib/a.jar")]),
    )  # fmt: skip
    assert [p.path for p in image.packages] == ["b.jar!/x"]


def test_secrets_of_every_layer_and_nothing_else():
    image = merged(
        report([file("key"), file("conf")], findings=(
            finding("key", identity="1"), finding("conf", Kind.CONFIG, identity="2"))),
        report([whiteout("key"), file("conf"), file("new")], findings=(finding("new", identity="3"),)),
    )  # fmt: skip
    assert [
        (f.path, f.deleted_later, f.layer, f.layer_index, f.build_step, len(f.fingerprint))
        for f in image.findings
    ] == [("key", True, "L0", 0, "RUN step 0", 32), ("new", False, "L1", 1, "RUN step 1", 32)]


@pytest.mark.parametrize(
    ("layers", "want"),
    [
        pytest.param(
            [[finding("a", identity="1", line=1)], [finding("a", identity="1", line=9)]],
            [("L1", 9, False)],
            id="visible_rather_than_hidden",
        ),
        pytest.param(
            [[finding("a", identity="1")], [finding("a", identity="1")], []],
            [("L0", None, True)],
            id="where_it_came_in",
        ),
        pytest.param(
            [[finding("a", identity="1"), finding("a", identity="2")]],
            [("L0", None, False), ("L0", None, False)],
            id="other_identity",
        ),
        pytest.param(
            [[finding("a", line=1), finding("a", line=2), finding("a", line=2)]],
            [("L0", 1, False), ("L0", 2, False)],
            id="no_identity_but_place",
        ),
    ],
)
def test_equal_findings_are_one(layers, want):
    image = merged(*(report([file("a")], findings=tuple(f)) for f in layers))
    assert [(f.layer, f.line, f.deleted_later) for f in image.findings] == want


def test_equal_packages_are_one_and_installed_wins():
    lock = package("a", declared=True)
    image = merged(report([file("a")], packages=(lock, package("a"), lock)))
    assert image.packages == (package("a", layer="L0", layer_index=0),)


def test_the_rest_of_a_layer_report():
    parts = {
        "kept": (Kept(key="k", path="a", data=b"1"),),
        "owned": (OwnedFiles(package="p", path="a", paths="x"),),
        "issues": (
            FileIssue(path="a", reason="r", code="malformed-file"),
            FileIssue(path="", reason="whole layer", code="malformed-layer"),
        ),
        "limits": (LimitHit(limit="file_bytes", allowed=1, path="a"),),
    }
    lower = report([file("a")], **parts)
    shown, hidden = merged(lower), merged(lower, report([whiteout("a")]))
    assert shown.kept_files == parts["kept"]
    assert shown.owned == parts["owned"]
    assert [(i.path, i.layer) for i in shown.issues] == [("a", "L0"), ("", "L0")]
    assert (hidden.kept_files, hidden.owned) == ((), ())
    assert [(i.path, i.layer) for i in hidden.issues] == [("", "L0")]
    assert shown.limits == hidden.limits == (
        LimitHit(limit="file_bytes", allowed=1, path="a", layer="L0"),
    )  # fmt: skip


def test_image_view():
    release = Kept(key="os", path="usr/lib/os-release", data=b"1")
    other = Kept(key="os", path="a", data=b"2")
    image: ImageView = merged(
        report([file("usr/lib/os-release"), symlink("etc/os-release", "../usr/lib/os-release"),
                symlink("loop", "loop"), file("a"), hardlink("b", "a")], kept=(release, other)),
    )  # fmt: skip
    assert image.kept("os") == (other, release)
    assert image.kept("none") == ()
    assert image.kept_at("os", "etc/os-release") == release
    assert image.kept_at("os", "b") == Kept(key="os", path="b", data=b"2")
    assert image.kept_at("other", "a") is None
    assert image.resolve("/etc/./os-release") == "usr/lib/os-release"
    assert image.resolve("loop/x") == "loop/x"


WANTED = {STATUS, "lib/apk/db/installed"}


@pytest.mark.parametrize(
    ("layers", "want"),
    [
        pytest.param([[file(STATUS)]], [], id="no_link"),
        pytest.param([[file("x"), symlink(STATUS, "/x")]], [(STATUS, "x")], id="symlink"),
        pytest.param([[file("x"), hardlink(STATUS, "x")]], [(STATUS, "x")], id="hardlink"),
        pytest.param(
            [[file("x")], [symlink(STATUS, "/y"), symlink("y", "x")]], [(STATUS, "x")], id="chain"
        ),
        pytest.param(
            [[file("o/status")], [symlink("var/lib/dpkg", "/o")]],
            [(STATUS, "o/status")],
            id="directory",
        ),
        pytest.param([[symlink(STATUS, "/x")]], [], id="dangling"),
        pytest.param([[directory("x"), file("x/y"), symlink(STATUS, "/x")]], [], id="no_file"),
        pytest.param([[file("x"), symlink(STATUS, "/x")], [whiteout("x")]], [], id="target_hidden"),
        pytest.param([[file("x"), hardlink(STATUS, "x")], [file(STATUS)]], [], id="link_replaced"),
        pytest.param(
            [[*USR_MERGE, file("lib/apk/db/installed")]], [], id="read_under_its_written_name"
        ),
        pytest.param(
            [[file(STATUS), hardlink("x", STATUS), symlink("lib/apk/db/installed", "/x")]],
            [],
            id="content_was_read",
        ),
        pytest.param([[file("x"), symlink("other", "x")]], [], id="unwanted_name"),
    ],
)
def test_unread_links(layers, want):
    image = merged(*(report(entries) for entries in layers))
    issues = image.unread_links(WANTED.__contains__, sorted(WANTED))
    assert [(i.path, i.reason, i.code) for i in issues] == [
        (path, f"a link to {target}, which no analyzer reads", "skipped") for path, target in want
    ]


@pytest.mark.parametrize(
    "tree",
    [
        pytest.param(LayerTree(names=b"odd"), id="odd_fields"),
        pytest.param(LayerTree(names=b"\0\0\0d/f/l//\0\0"), id="empty_names"),
        pytest.param(LayerTree(names=b"\0la", symlinks=(("a", ""),)), id="empty_target"),
        pytest.param(LayerTree(names=b"\0la", symlinks=(("a", "x/" * 9_999),)), id="long_target"),
        pytest.param(LayerTree(names=b"\0la"), id="symlink_without_target"),
        pytest.param(LayerTree(symlinks=(("a", "b"),), hardlinks=(("c", "d"),)), id="links_without_names"),
        pytest.param(LayerTree(whiteouts=("", "/"), opaques=("a/b",)), id="empty_marks"),
        pytest.param(LayerTree(names=b"\xff/x\0f\xfe"), id="not_utf8"),
        pytest.param(LayerTree(names=b"/".join([b"a"] * 50_000) + b"\0fx"), id="deep"),
    ],
)  # fmt: skip
def test_hostile_trees_are_harmless(tree):
    one = msgspec.structs.replace(report([], packages=(package("a/x"),)), tree=tree)
    image = merged(one, one)
    assert len(image.packages) <= 1
    assert image.resolve("a/a/a/b") is not None


@pytest.mark.parametrize(
    ("entries", "limit"),
    [
        pytest.param(
            [symlink(f"{'d' * 200}/{i}/" + "/".join("x" * 15 for _ in range(240)) + "/l", "t")
             for i in range(150)],
            "merged_tree_chars",
            id="deep_directories",
        ),
        pytest.param(
            [symlink(f"l{i}", "y/../" * 800) for i in range(500)]
            + [file(f"l{i}/f") for i in range(500)],
            "merged_steps_count",
            id="tangled_links",
        ),
        pytest.param(
            [e for i in range(900) for e in (
                symlink("a/b", "c"), file("a/b/" + "/".join("x" * 240) + "/f"), file("a/b"))],
            "merged_steps_count",
            id="links_that_never_rest",
        ),
    ],
)  # fmt: skip
def test_absurd_trees_hit_a_limit(entries, limit, monkeypatch):
    monkeypatch.setattr("scanner.layers._tree._LAYER_STEPS_COUNT", 200_000)
    with pytest.raises(LimitExceededError) as caught:
        merged(report(entries))
    assert caught.value.limit == limit


def test_name_that_is_not_utf8_is_found():
    one = report([], packages=(package("d\\xff/p"),))
    one = msgspec.structs.replace(one, tree=LayerTree(names=b"d\xff\0fp"))
    assert merged(one, report([whiteout("d\\xff")])).packages == ()


DEBIAN = Distribution(id="debian", version="12", codename="bookworm")


def deb(name, **values):
    return Package(
        purl_type="deb", name=name, version="1", path=STATUS, from_distribution=True, **values
    )


@pytest.mark.parametrize(
    ("distribution", "purl"),
    [
        pytest.param(DEBIAN, "pkg:deb/debian/x@1?arch=all&distro=debian-12", id="version"),
        pytest.param(
            Distribution(id="debian", codename="sid"),
            "pkg:deb/debian/x@1?arch=all&distro=debian-sid",
            id="codename",
        ),
        pytest.param(
            Distribution(id="arch"), "pkg:deb/arch/x@1?arch=all&distro=arch", id="neither"
        ),
        pytest.param(None, "pkg:deb/x@1?arch=all", id="unknown"),
    ],
)
def test_finish_names_the_distribution(distribution, purl):
    done = finish([deb("x", qualifiers={"arch": "all"}), package("a")], [], distribution)
    assert [p.purl for p in done] == [purl, "pkg:generic/p@1"]


@pytest.mark.parametrize(
    ("path", "listed", "owned"),
    [
        pytest.param("usr/bin/tool", "usr/bin/tool", True, id="same"),
        pytest.param("usr/lib/x/METADATA", "lib/x/METADATA", True, id="database_spells_lib"),
        pytest.param("lib/x/METADATA", "usr/lib/x/METADATA", True, id="database_spells_usr_lib"),
        pytest.param("usr/share/a.jar!/b/c", "usr/share/a.jar", True, id="inside_an_archive"),
        pytest.param("opt/lib/x", "usr/opt/lib/x", False, id="no_merged_directory"),
        pytest.param("usr/bin/tool", "usr/bin/tool2\nusr/bin/too", False, id="whole_lines"),
    ],
)
def test_finish_marks_owners(path, listed, owned):
    lists = [
        OwnedFiles(package="gone", path="g.list", paths=listed),
        OwnedFiles(package="x", path="x.list", paths=f"usr\n{listed}\nend"),
    ]
    done = finish([deb("x"), package(path)], lists, DEBIAN)
    assert [p.owner for p in done] == ["", done[0].purl if owned else ""]
