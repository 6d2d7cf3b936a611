"""The file that tells how far a backfill has come."""

from __future__ import annotations

import os

import pytest

from scanner.errors import StoreError
from scanner.service._cursor import Cursor

PURPOSE = "registry.example/team f1"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "below" / "one.cursor"


def fill(path, purpose=PURPOSE):
    with Cursor(path, purpose) as cursor:
        cursor.add_tags("team/app", ["1", "2"])
        cursor.add_repository("team/done")
        cursor.add_tags("team/app", [])


def test_what_was_done_is_known_again(path):
    fill(path)
    with Cursor(path, PURPOSE) as cursor:
        assert [cursor.has_tag("team/app", tag) for tag in "123"] == [True, True, False]
        assert [cursor.has_repository(f"team/{name}") for name in ("app", "done")] == [False, True]
    assert path.read_text() == f"backfill 1 {PURPOSE}\nT team/app 1\nT team/app 2\nR team/done\n"
    assert path.stat().st_mode & 0o777 == 0o600


def test_another_purpose_begins_anew(path):
    fill(path, "something longer than the purpose asked for")
    with Cursor(path, PURPOSE) as cursor:
        assert not cursor.has_repository("team/done")
        cursor.add_repository("x")
    assert path.read_text() == f"backfill 1 {PURPOSE}\nR x\n"


@pytest.mark.parametrize("cut", range(1, 90, 7))
def test_a_line_cut_off_is_done_again(path, cut):
    fill(path)
    whole = path.read_bytes()
    os.truncate(path, max(0, len(whole) - cut))
    with Cursor(path, PURPOSE) as cursor:
        had = cursor.has_repository("team/done"), cursor.has_tag("team/app", "2")
        cursor.add_repository("x")
    assert had == (cut < 1, cut < 14)
    assert path.read_text().endswith("\nR x\n")


@pytest.mark.parametrize(
    "content", [b"", b"\0" * 100, b"\xff\xfe\n", b"R team/done\n"], ids=["empty", "nul", "bad", "x"]
)
def test_anything_else_is_no_cursor(path, content):
    path.parent.mkdir()
    path.write_bytes(content)
    with Cursor(path, PURPOSE) as cursor:
        assert not cursor.has_repository("team/done")
    assert path.read_text() == f"backfill 1 {PURPOSE}\n"


def test_forget_and_remove(path):
    fill(path)
    with Cursor(path, PURPOSE) as cursor:
        cursor.forget()
        assert not cursor.has_repository("team/done")
        cursor.add_tags("a", ["1"])
        assert path.read_text() == f"backfill 1 {PURPOSE}\nT a 1\n"
        cursor.remove()
        cursor.remove()
    assert not path.exists()


def test_one_run_at_a_time(path):
    with Cursor(path, PURPOSE), pytest.raises(StoreError, match="is running"):
        Cursor(path, PURPOSE)
    Cursor(path, PURPOSE).close()


def test_where_no_file_can_be(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError):
        Cursor(tmp_path / "file" / "x.cursor", PURPOSE)
