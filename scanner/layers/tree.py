"""Write down every path of a layer, compactly, while it is walked."""

from __future__ import annotations

from typing import Final

from scanner.layers._groups import written_directory
from scanner.layers.tar_walk import Member, normalise
from scanner.model import LayerTree

_WHITEOUT: Final = b".wh."
_OPAQUE: Final = b".wh..wh..opq"
_AUFS: Final = b".wh..wh."
_LETTERS: Final = {"directory": b"d", "symlink": b"l"}


def _text(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")


class TreeBuilder:
    """Gathers a ``LayerTree``. Costs about the bytes of the base names, however deep they are."""

    def __init__(self) -> None:
        self._names = bytearray()
        self._directory: bytes | None = None
        """Of the group being written."""
        self._symlinks: list[tuple[str, str]] = []
        self._hardlinks: list[tuple[str, str]] = []
        self._whiteouts: list[str] = []
        self._opaques: list[str] = []

    def add(self, member: Member) -> bool:
        """Add one entry; returns False for a whiteout marker, which is no file of the image."""
        name, directory = member.name, member.directory
        if name[:4] == _WHITEOUT:
            self._whiteout(directory, name)
            return False
        if not name:  # the root directory itself
            return member.kind == "directory"
        if directory != self._directory:
            if self._directory is not None:
                self._names += b"\0"
            self._names += written_directory(self._directory or b"", directory) + b"\0"
            self._directory = directory
        else:
            self._names += b"/"
        kind = member.kind
        self._names += _LETTERS.get(kind, b"f") + name
        if kind == "symlink":
            self._symlinks.append((_text(member.path), _text(member.link)))
        elif kind == "hardlink":
            self._hardlinks.append((_text(member.path), _text(normalise(member.link)[0])))
        return True

    def _whiteout(self, directory: bytes, name: bytes) -> None:
        if name == _OPAQUE:
            self._opaques.append(_text(directory))
        elif not name.startswith(_AUFS) and len(name) > len(_WHITEOUT):
            target = name[len(_WHITEOUT) :]
            self._whiteouts.append(_text(directory + b"/" + target if directory else target))

    def build(self) -> LayerTree:
        """Return what was gathered."""
        return LayerTree(
            names=bytes(self._names),
            symlinks=tuple(self._symlinks),
            hardlinks=tuple(self._hardlinks),
            whiteouts=tuple(self._whiteouts),
            opaques=tuple(self._opaques),
        )
