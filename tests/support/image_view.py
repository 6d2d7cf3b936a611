"""A merged image for tests of image analyzers: plain values that satisfy ``scanner.ports.ImageView``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from scanner.model import ImageConfig, Kept, Package

_LINKS_COUNT = 40


@dataclass(frozen=True, slots=True)
class StillImage:
    """Config, visible packages and kept files as given; ``symlinks`` maps a path to its target as written."""

    config: ImageConfig = field(default_factory=ImageConfig)
    packages: Sequence[Package] = ()
    files: Sequence[Kept] = ()
    symlinks: Mapping[str, str] = field(default_factory=dict)

    def resolve(self, path: str) -> str:
        """Return ``path`` with symlinks of every part followed, inside the root (at most 40)."""
        done: list[str] = []
        todo = [p for p in reversed(path.split("/")) if p]
        followed = 0
        while todo:
            part = todo.pop()
            if part == "..":
                done = done[:-1]
                continue
            if part == ".":
                continue
            target = self.symlinks.get("/".join([*done, part]))
            if target is None or followed == _LINKS_COUNT:
                done.append(part)
                continue
            followed += 1
            if target.startswith("/"):
                done = []
            todo += [p for p in reversed(target.split("/")) if p]
        return "/".join(done)

    def kept(self, key: str) -> Sequence[Kept]:
        """Return the kept files with this key, by path."""
        return sorted((k for k in self.files if k.key == key), key=lambda k: k.path)

    def kept_at(self, key: str, path: str) -> Kept | None:
        """Return the kept file that ``path`` leads to."""
        real = self.resolve(path)
        return next((k for k in self.files if k.key == key and k.path == real), None)


def still_image(
    files: Mapping[str, bytes] | None = None,
    *,
    key: str,
    packages: Sequence[Package] = (),
    symlinks: Mapping[str, str] | None = None,
    config: ImageConfig | None = None,
) -> StillImage:
    """Return an image that keeps ``files`` (path to bytes), all under ``key``."""
    return StillImage(
        config=config or ImageConfig(),
        packages=packages,
        files=[Kept(key=key, path=p, data=d) for p, d in (files or {}).items()],
        symlinks=symlinks or {},
    )
