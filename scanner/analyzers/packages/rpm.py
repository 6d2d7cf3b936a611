"""What rpm installed, from whichever of its databases counts in the merged image.

A layer cannot tell: ``rpmdb.sqlite`` and its write-ahead log may come from different layers, and a database
of an older format may be a leftover. So layers only keep the files, compressed, and one image analyzer
reads the database that rpm would: sqlite before ndb before Berkeley DB before the manifest of Azure Linux's
distroless images. The files that packages own come from there too.

Source: https://rpm-software-management.github.io/rpm/manual/format_header.html
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from typing import Final

from scanner.analyzers._rpm_bdb import read_bdb
from scanner.analyzers._rpm_header import RpmHeader, parse_header
from scanner.analyzers._rpm_manifest import read_manifest
from scanner.analyzers._rpm_ndb import read_ndb
from scanner.analyzers._sqlite import read_blobs, replay_wal
from scanner.errors import MalformedFileError, UnsupportedError
from scanner.model import FileIssue, Kept, OwnedFiles, Package
from scanner.ports import FileAnalyzer, ImageAnalyzer, ImageView, Interest, LayerFile, Output

_KEY: Final = "rpmdb"
_NAME: Final = "rpm/packages"
_DATABASE_BYTES: Final = 256 * 1024 * 1024
"""Of one database, not compressed; a server with 2,000 packages has 150 MB."""
_DIRECTORIES: Final = ("usr/lib/sysimage/rpm/", "var/lib/rpm/", "usr/share/rpm/")
_SQLITE, _NDB, _BDB = "rpmdb.sqlite", "Packages.db", "Packages"
_WAL: Final = "-wal"
_MANIFEST: Final = "var/lib/rpmmanifest/container-manifest-2"
_PREFERENCE: Final = (*(d + n for n in (_SQLITE, _NDB, _BDB) for d in _DIRECTORIES), _MANIFEST)
_KEPT: Final = frozenset({*_PREFERENCE, *(f"{d}{_SQLITE}{_WAL}" for d in _DIRECTORIES)})
_NO_PACKAGES: Final = frozenset({"gpg-pubkey"})
"""Signing keys, which rpm stores as if they were packages."""


def keep(file: LayerFile) -> Iterator[Output]:
    """Yield the file, compressed; a database below another root is told, not kept."""
    import zstandard  # noqa: PLC0415 - 20 ms that images without rpm need not pay

    if file.path not in _KEPT:
        reason = "package database of a root file system inside the image"
        yield FileIssue(
            path=file.path, reason=reason, code="skipped", analyzer="rpm/database-files"
        )
        return
    with memoryview(file.data) as view:
        data = zstandard.ZstdCompressor(level=1).compress(view)
    yield Kept(key=_KEY, path=file.path, data=data)


def inspect(view: ImageView) -> Iterator[Output]:
    """Yield packages and their files from the first database, in rpm's order, that holds any."""
    kept = {k.path: k for k in view.kept(_KEY)}
    chosen = ""
    for path in _PREFERENCE:
        if path not in kept:
            continue
        if chosen:
            yield _issue(path, f"not read: {chosen} is the database that counts", "skipped")
            continue
        for output in _read(path, kept):
            chosen = path if isinstance(output, Package) else chosen
            yield output
    for path in sorted(kept):
        if path.endswith(_WAL) and path.removesuffix(_WAL) not in kept:
            yield _issue(path, "write-ahead log without its database", MalformedFileError.code)


def _issue(path: str, reason: str, code: str) -> FileIssue:
    return FileIssue(path=path, reason=reason, code=code, analyzer=_NAME)


def _read(path: str, kept: Mapping[str, Kept]) -> Iterator[Output]:
    """Yield what one database holds, and an issue for what of it cannot be read."""
    read_count = broken_count = 0
    reason = ""
    try:
        data = yield from _database(path, kept)
        for header in _headers(data, path):
            if isinstance(header, MalformedFileError):
                broken_count, reason = broken_count + 1, reason or header.reason
                continue
            read_count += 1
            if header.name not in _NO_PACKAGES:
                yield _package(header, path)
                yield OwnedFiles(package=header.name, path=path, paths="\n".join(header.paths))
    except (MalformedFileError, UnsupportedError) as error:
        yield _issue(path, error.reason, error.code)
        return
    if broken_count:
        reason = f"{broken_count} packages cannot be read; the first: {reason}"
        yield _issue(path, reason, MalformedFileError.code)
    elif not read_count:
        yield _issue(path, "holds no package", MalformedFileError.code)


def _inflated(kept: Kept) -> bytes:
    import zstandard  # noqa: PLC0415 - as in keep

    try:
        return zstandard.ZstdDecompressor().decompress(kept.data, max_output_size=_DATABASE_BYTES)
    except zstandard.ZstdError as error:
        raise MalformedFileError(kept.path, f"as kept: {error}") from error


def _database(path: str, kept: Mapping[str, Kept]) -> Generator[Output, None, bytes]:
    """Return the database, its write-ahead log applied; where that fails, an issue, and it as it is."""
    data = _inflated(kept[path])
    wal = kept.get(path + _WAL)
    if wal is None:
        return data
    try:
        return replay_wal(data, _inflated(wal), wal.path, database_bytes=_DATABASE_BYTES)
    except MalformedFileError as error:
        yield _issue(wal.path, error.reason, error.code)
        return data


def _headers(data: bytes, path: str) -> Iterator[RpmHeader | MalformedFileError]:
    """Yield each package of the database, or the error where one alone cannot be read."""
    if path == _MANIFEST:
        yield from read_manifest(data, path)
        return
    for blob in _blobs(data, path):
        try:
            yield parse_header(blob, path)
        except MalformedFileError as error:
            yield error


def _blobs(data: bytes, path: str) -> Iterator[bytes]:
    if path.endswith(_SQLITE):
        return read_blobs(data, path, table="Packages", column="blob")
    return read_ndb(data, path) if path.endswith(_NDB) else read_bdb(data, path)


def _package(header: RpmHeader, path: str) -> Package:
    source_name, source_version = _source(header.source_rpm)
    qualifiers = {
        "arch": header.architecture,
        "epoch": "" if header.epoch is None else str(header.epoch),
        "rpmmod": "" if header.modularity == "(none)" else header.modularity,
        "upstream": header.source_rpm,
    }
    return Package(
        purl_type="rpm",
        name=header.name,
        version=f"{header.version}-{header.release}" if header.release else header.version,
        path=path,
        qualifiers={key: value for key, value in qualifiers.items() if value},
        source_name=source_name or header.name,
        source_version=source_version,
        licenses=(header.license,) if header.license else (),
        from_distribution=True,
    )


def _source(source_rpm: str) -> tuple[str, str]:
    """Return name and version-release of ``bash-5.1.8-9.el9.src.rpm`` (also ``.nosrc.rpm``)."""
    stem = source_rpm.removesuffix(".rpm").removesuffix(".src").removesuffix(".nosrc")
    name, *rest = stem.rsplit("-", 2)
    return (name, "-".join(rest)) if len(rest) > 1 else ("", "")


ANALYZERS: Final = (
    FileAnalyzer(
        name="rpm/database-files",
        version=1,
        interest=Interest(
            globs=tuple("**/" + path for path in sorted(_KEPT)),
        ),
        parse=keep,
        max_file_bytes=_DATABASE_BYTES,
        summary="rpm databases, for the merged image",
    ),
    ImageAnalyzer(
        name=_NAME,
        version=1,
        inspect=inspect,
        summary="packages installed by rpm, and their files",
        purl_types=("rpm",),
    ),
)
