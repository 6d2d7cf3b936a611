from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest
from imagebuild.tree import snapshot, write_changes


def _layer(root: Path, before: dict[str, tuple[int, ...]]) -> dict[str, bytes]:
    """Return name -> tar type of every entry of the layer that turns ``before`` into the root."""
    out = io.BytesIO()
    write_changes(root, before, snapshot(root), out)
    out.seek(0)
    with tarfile.open(fileobj=out) as tar:
        return {member.name: member.type for member in tar}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for path in ("keep/file", "drop/a/b", "drop/c", "turn"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(path)
    return tmp_path


def test_first_layer_holds_everything(root: Path) -> None:
    assert set(_layer(root, {})) == {
        "keep", "keep/file", "drop", "drop/a", "drop/a/b", "drop/c", "turn",
    }  # fmt: skip


def test_no_change_is_an_empty_layer(root: Path) -> None:
    assert _layer(root, snapshot(root)) == {}


def test_same_size_and_time_is_still_a_change(root: Path) -> None:
    before = snapshot(root)
    when = (root / "keep/file").stat()
    (root / "keep/file").write_text("KEEP/FILE")
    os.utime(root / "keep/file", ns=(when.st_atime_ns, when.st_mtime_ns))
    assert _layer(root, before) == {"keep/file": tarfile.REGTYPE}


def test_only_the_topmost_deleted_path_is_a_whiteout(root: Path) -> None:
    before = snapshot(root)
    for path in ("drop/a/b", "drop/c"):
        (root / path).unlink()
    (root / "drop/a").rmdir()
    (root / "drop").rmdir()
    assert _layer(root, before) == {".wh.drop": tarfile.REGTYPE}


def test_change_of_type_needs_no_whiteout(root: Path) -> None:
    before = snapshot(root)
    (root / "turn").unlink()
    (root / "turn").mkdir()
    (root / "drop/c").unlink()
    (root / "drop/a/b").unlink()
    (root / "drop/a").rmdir()
    (root / "drop").rmdir()
    (root / "drop").symlink_to("keep")
    assert _layer(root, before) == {"turn": tarfile.DIRTYPE, "drop": tarfile.SYMTYPE}


def test_hard_links_of_one_layer_stay_links(root: Path) -> None:
    before = snapshot(root)
    (root / "keep/one").write_text("1")
    (root / "keep/two").hardlink_to(root / "keep/one")
    layer = _layer(root, before)
    assert (layer["keep/one"], layer["keep/two"]) == (tarfile.REGTYPE, tarfile.LNKTYPE)
