"""Dart's versions: semantic ones, but a build counts: ``1.0.0+1`` follows on ``1.0.0``.

Source: https://pub.dev/documentation/pub_semver/latest/
"""

from __future__ import annotations

from typing import Final

from scanner.matching._semver import parts_of as key
from scanner.ports.version import VersionScheme

SCHEME: Final = VersionScheme("pub", ("pub",), key)
