"""What a recipe is, and how recipes are found."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from imagebuild import recipes
from imagebuild.build import Build

_FORMAT = 1
"""Rises when the builder itself would make other images from the same recipes."""


@dataclass(frozen=True)
class Recipe:
    """One image. ``needs`` are commands of this machine; ``on_demand`` ones are built only by name.

    ``gzip_level`` is low where only the content matters, so that tests need not wait.
    """

    name: str
    summary: str
    build: Callable[[Build], None]
    needs: tuple[str, ...] = ()
    needs_root: bool = True
    on_demand: bool = False
    gzip_level: int = 1

    @property
    def version(self) -> str:
        """Changes whenever the recipe's file does."""
        source = Path(inspect.getfile(self.build)).read_bytes()
        return hashlib.sha256(source + f"{_FORMAT} {self.name}".encode()).hexdigest()[:16]


def find_recipes() -> dict[str, Recipe]:
    """Return every recipe by name."""
    found: dict[str, Recipe] = {}
    for info in pkgutil.iter_modules(recipes.__path__):
        module = importlib.import_module(f"{recipes.__name__}.{info.name}")
        for recipe in module.RECIPES:
            found[recipe.name] = recipe
    return found
