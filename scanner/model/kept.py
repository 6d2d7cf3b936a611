"""What an analyzer keeps of a layer for the moment when layers are merged."""

from __future__ import annotations

import msgspec


class Kept(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A file's bytes, kept because only the merged image can say what they mean.

    ``key`` names the reader (``os-release``, ``passwd``, ``rpmdb``); keep it small.
    """

    key: str
    path: str
    data: bytes


class OwnedFiles(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The files that a package of the distribution owns.

    ``path`` is the database file that says so; ``paths`` are newline-joined, without leading slash.
    """

    package: str
    path: str
    paths: str
