"""How a scan tells of its progress. Called from several threads."""

from __future__ import annotations

from typing import Protocol


class LayerProgress(Protocol):
    """One layer being read."""

    def advance(self, compressed_bytes: int, uncompressed_bytes: int) -> None:
        """Tell how many bytes have been read *since the last call*."""

    def finish(self, state: str) -> None:
        """The layer is done: ``done``, ``cached``, ``waited`` (another scan read it) or ``failed``."""


class Progress(Protocol):
    """One scan."""

    def stage(self, name: str) -> None:
        """The scan has entered a stage: ``resolve``, ``extract``, ``merge``, ``report``."""

    def layer(self, digest: str, compressed_bytes: int, platform: str) -> LayerProgress:
        """A layer is about to be read (or was found in the store)."""


class _SilentLayer:
    def advance(self, compressed_bytes: int, uncompressed_bytes: int) -> None:
        pass

    def finish(self, state: str) -> None:
        pass


class SilentProgress:
    """Says nothing."""

    def stage(self, name: str) -> None:
        """Ignore."""

    def layer(self, digest: str, compressed_bytes: int, platform: str) -> LayerProgress:  # noqa: ARG002
        """Return a silent layer."""
        return _SilentLayer()
