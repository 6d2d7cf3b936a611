"""The policy's file changes while the service runs."""

from __future__ import annotations

import asyncio
import logging

import pytest

from scanner.app_policy import read_policy, stamp_of
from scanner.errors import SettingsError
from scanner.service.current_policy import CurrentPolicy

FIRST = "version: 1\nname: first\n"
VEX = '{"@context": "https://openvex.dev/ns/v0.2.0", "@id": "i", "author": "a", "timestamp": "2026-01-01T00:00:00Z", "version": 1, "statements": []}'


def opened(path):
    return CurrentPolicy(lambda: read_policy(str(path)), lambda one: stamp_of(str(path), one))


def write(path, text):
    """Replace a file, as editors and clusters do."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)


def test_read_anew(tmp_path):
    path = tmp_path / "policy.yaml"
    path.write_text(FIRST)
    current = opened(path)
    before = current.policy
    current.refresh()
    assert current.policy is before
    write(path, FIRST.replace("first", "second"))
    current.refresh()
    assert (current.policy.document.name, current.error) == ("second", "")


@pytest.mark.parametrize("text", ["version: 7\n", "version: 1\nname: a\nrules: 7\n", "{", None])
def test_a_broken_one_changes_nothing(text, tmp_path, caplog):
    path = tmp_path / "policy.yaml"
    path.write_text(FIRST)
    current = opened(path)
    if text is None:
        path.unlink()
    else:
        write(path, text)
    with caplog.at_level(logging.ERROR):
        current.refresh()
        current.refresh()
    assert current.policy.document.name == "first"
    assert current.error
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    write(path, FIRST.replace("first", "third"))
    current.refresh()
    assert (current.policy.document.name, current.error) == ("third", "")


def test_an_openvex_document_that_it_names(tmp_path):
    path, vex = tmp_path / "policy.yaml", tmp_path / "a.json"
    vex.write_text(VEX)
    path.write_text(FIRST + "vex: [{file: a.json}]\n")
    current = opened(path)
    before = current.policy
    write(vex, VEX + "\n")
    current.refresh()
    assert current.policy is not before


def test_the_built_in_one_does_not_change():
    current = opened("default")
    current.refresh()
    assert (current.policy.document.name, current.error) == ("default", "")


def test_begins_with_a_right_one_only(tmp_path):
    with pytest.raises(SettingsError):
        opened(tmp_path / "missing.yaml")


def test_a_defect_in_reading_is_told_like_any_other():
    def read():
        if stamps[-1]:
            raise ZeroDivisionError
        return read_policy("default")

    stamps = [0]
    current = CurrentPolicy(read, lambda _policy: stamps[-1])
    stamps.append(1)
    current.refresh()
    assert (current.policy.document.name, current.error) == ("default", "ZeroDivisionError")


def test_watched(tmp_path):
    path = tmp_path / "policy.yaml"
    path.write_text(FIRST)
    current = opened(path)

    async def main():
        task = asyncio.create_task(current.watch(check_seconds=0.01))
        write(path, FIRST.replace("first", "second"))
        async with asyncio.timeout(20):
            while current.policy.document.name != "second":  # noqa: ASYNC110 - it is read in a thread
                await asyncio.sleep(0.01)
        task.cancel()

    asyncio.run(main())
