"""Archives of many records: whatever they are compressed with, and however they are broken."""

from __future__ import annotations

import json
import struct
import zipfile

import pytest
from support.feed_files import COMPRESSIONS, osv_zip, parse, record, tarred, zipped

from scanner.advisories import _feed_files, _feed_zip
from scanner.errors import InputError, LimitExceededError, MalformedFileError
from scanner.model.advisory import Advisory
from scanner.ports.feed import RefusedRecord

RECORDS = {f"GHSA-aaaa-bbbb-000{n}.json": record(f"GHSA-aaaa-bbbb-000{n}") for n in range(3)}
IDS = [name.removesuffix(".json") for name in RECORDS]
LINES = b"\n".join(RECORDS.values())


def ids(items):
    return [i.id if isinstance(i, Advisory) else i for i in items]


@pytest.mark.parametrize("compress", COMPRESSIONS.values(), ids=COMPRESSIONS)
@pytest.mark.parametrize(
    "content", [LINES, LINES + b"\n\n", tarred(RECORDS)], ids=["lines", "lines_end", "tar"]
)
def test_every_compression(tmp_path, content, compress):
    assert ids(parse(tmp_path, "osv", compress(content), "npm")) == IDS


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED], ids=["deflated", "stored"])  # fmt: skip
def test_zip(tmp_path, method):
    entries = {"README.md": b"no record", **RECORDS, "modified_id.csv": b"x"}
    assert ids(parse(tmp_path, "osv", zipped(entries, method), "npm")) == IDS


def test_a_zip_of_more_entries_than_16_bits_count(tmp_path):
    content = zipped({f"{n}.json": b"{}" for n in range(65_537)}, zipfile.ZIP_STORED)
    items = parse(tmp_path, "osv", content, "npm")
    assert len(items) == 65_537
    assert {type(i) for i in items} == {RefusedRecord}


def test_every_cut_of_a_zip_is_refused(tmp_path):
    content = osv_zip(3)
    for length in range(0, len(content), 37):
        with pytest.raises(InputError):
            parse(tmp_path, "osv", content[:length] or b"PK\x03\x04", "npm")


def test_a_flipped_bit_is_refused_or_changes_nothing(tmp_path):
    content = osv_zip(2)
    whole = parse(tmp_path, "osv", content, "npm")
    for at in range(0, len(content), 3):
        bad = bytearray(content)
        bad[at] ^= 0x10
        try:
            got = parse(tmp_path, "osv", bytes(bad), "npm")
        except InputError:
            continue
        assert [i for i in got if isinstance(i, Advisory)] in (whole, whole[:1], whole[1:], [])


def _forged(change):
    """Return a zip of one record whose directory entry was changed."""
    content = bytearray(zipped({"a.json": record("GHSA-aaaa-bbbb-0001")}))
    change(content, content.rfind(b"PK\x01\x02"))
    return bytes(content)


def _put(offset, form, value):
    return lambda content, at: struct.pack_into(form, content, at + offset, value)


FORGED = {
    "size_larger": _put(24, "<L", 900),
    "size_smaller": _put(24, "<L", 3),
    "compressed_beyond_the_end": _put(20, "<L", 1 << 24),
    "offset_beyond_the_end": _put(42, "<L", 1 << 30),
    "crc": _put(16, "<L", 1),
    "method": _put(10, "<H", 99),
    "encrypted": _put(8, "<H", 1),
    "name_beyond_the_end": _put(28, "<H", 60_000),
}


@pytest.mark.parametrize("change", FORGED.values(), ids=FORGED)
def test_a_forged_directory_is_refused(tmp_path, change):
    with pytest.raises(MalformedFileError):
        parse(tmp_path, "osv", _forged(change), "npm")


def test_a_directory_that_counts_billions_is_refused(tmp_path):
    content = bytearray(osv_zip(1))
    at = content.rfind(b"PK\x05\x06")
    struct.pack_into("<2H", content, at + 8, 60_000, 60_000)
    with pytest.raises(MalformedFileError):
        parse(tmp_path, "osv", bytes(content), "npm")


def test_an_advisory_of_10_gb_is_refused_unread(tmp_path):
    def lie(content, at):
        struct.pack_into("<L", content, at + 24, 0xFFFF_FFFE)

    (one,) = parse(tmp_path, "osv", _forged(lie), "npm")
    assert one == RefusedRecord("a.json", f"larger than {_feed_zip.RECORD_BYTES} bytes")


def test_a_bomb_is_not_inflated(tmp_path):
    bomb = zipped({"a.json": bytes(40 * 1024 * 1024)})
    assert len(bomb) < 100_000
    (one,) = parse(tmp_path, "osv", bomb, "npm")
    assert isinstance(one, RefusedRecord)


@pytest.mark.parametrize("name", ["gzip", "xz", "zstd"])
def test_a_line_without_end_is_refused(tmp_path, monkeypatch, name):
    monkeypatch.setattr(_feed_files, "RECORD_BYTES", 1024 * 1024)
    with pytest.raises(LimitExceededError):
        parse(tmp_path, "osv", COMPRESSIONS[name](b"x" * 4 * 1024 * 1024), "npm")


def test_an_archive_of_too_much_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(_feed_files, "TOTAL_BYTES", 500)
    with pytest.raises(LimitExceededError, match="feed_bytes"):
        parse(tmp_path, "osv", LINES, "npm")
    monkeypatch.setattr(_feed_files, "ENTRIES_COUNT", 2)
    with pytest.raises(LimitExceededError, match="feed_entries"):
        parse(tmp_path, "osv", zipped(dict.fromkeys(["a.json", "b.json", "c.json"], b"{}")), "npm")


@pytest.mark.parametrize("name", [n for n in COMPRESSIONS if n != "plain"])
@pytest.mark.parametrize("content", [LINES, tarred(RECORDS)], ids=["lines", "tar"])
def test_cut_off_compression_is_refused(tmp_path, content, name):
    packed = COMPRESSIONS[name](content)
    with pytest.raises(MalformedFileError):
        parse(tmp_path, "osv", packed[: len(packed) * 3 // 5], "npm")


HOSTILE = {
    "not_json": b"nonsense",
    "wrong_type": b'{"id": 7}',
    "array": b"[]",
    "no_id": b"{}",
    "deep": b"[" * 100_000,
    "deep_inside": b'{"id":"X-1","database_specific":' + b'{"a":' * 50_000,
    "bad_utf8": b'{"id": "\xff\xfe"}',
    "nul": b"\0" * 100,
    "huge_number": b'{"id": "X-1", "affected": ' + b"9" * 5_000 + b"}",
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
def test_a_bad_record_is_told_and_the_others_are_read(tmp_path, body):
    items = parse(tmp_path, "osv", zipped({"a.json": body, **RECORDS}), "npm")
    assert isinstance(items[0], RefusedRecord)
    assert ids(items[1:]) == IDS


def test_a_tar_that_lies_about_a_size(tmp_path):
    whole = tarred({"a.json": record("GHSA-aaaa-bbbb-0001")})
    with pytest.raises(InputError):
        parse(tmp_path, "ubuntu-osv", whole[:700], "Ubuntu")


def test_ubuntu(tmp_path):
    body = json.loads(record("UBUNTU-CVE-2024-1234", "openssl", "Ubuntu:22.04:LTS", "3.0.2-0ubuntu1.2"))  # fmt: skip
    body["severity"] = [{"type": "Ubuntu", "score": "medium"}]
    content = COMPRESSIONS["xz"](tarred({"osv/cve/2024/a.json": json.dumps(body).encode()}))
    (one,) = parse(tmp_path, "ubuntu-osv", content, "Ubuntu")
    assert (one.id, one.rating, one.affected[0].ecosystem) == ("UBUNTU-CVE-2024-1234", "medium", "Ubuntu:22.04:LTS")  # fmt: skip
